"""The pytest plugin: fixtures for a fake in this process or on a real port, its clock, and clients of it.

Every run of pytest loads it where the package is installed, so fixtures import what they need only when they are used.
The module is long because pytest finds options, hooks and fixtures in one module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import pytest

if TYPE_CHECKING:
    from fake_server.adapters.asgi import Receive, Send
    from fake_server.messages import Reply, Request
    from fake_server.server import FakeOptions, FakeServer
    from kling_contract.client import AsyncClient, Client
    from kling_contract.clock import Clock, VirtualClock

_KEY = "a-key-for-tests"
_TOLERATED = "kling_tolerated"
_FAIL_ON = ("never", "warning")
_DEFAULTS = {  # by option of FakeServer: help, metavar, and choices
    "revision": ("revision of the contract that fakes follow, or latest", "ID", None),
    "model": ("model of payloads that name none", "ID", None),
    "scenario": ("scenario of fakes: a shipped name, or a JSON file", "NAME", None),
    "strictness": ("what fakes refuse", None, ("strict", "lax", "off")),
    "progression": ("what moves the generations of fakes on", None, ("time", "immediate", "polls")),
}
_MARKER = (
    "kling(**options): the keyword arguments of fake_server.FakeServer for the fake of this test; "
    "of several markers the nearest wins"
)


_OPTIONS = pytest.StashKey[Mapping[str, Any]]()


class KlingServer(NamedTuple):
    """A fake on a real port: the base URL to use instead of that of the API, and the fake itself."""

    url: str
    fake: FakeServer


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kling", "fake Kling server")
    for name, (help_, metavar, choices) in _DEFAULTS.items():
        group.addoption(f"--kling-{name}", metavar=metavar, choices=choices, help=f"Default {help_}.")
        listed = f": {', '.join(choices)}" if choices else ""
        parser.addini(f"kling_{name}", f"default {help_}{listed}", default="")
    group.addoption("--kling-fail-on", choices=_FAIL_ON, help="Fail the run on violations that a fake has tolerated.")
    parser.addini("kling_fail_on", f"what tolerated violations do to the run: {', '.join(_FAIL_ON)}", default="never")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    for name, choices in (*((name, choices) for name, (_, _, choices) in _DEFAULTS.items()), ("fail_on", _FAIL_ON)):
        if choices and (value := config.getini(f"kling_{name}")) and value not in choices:
            raise pytest.UsageError(f"kling_{name} must be one of {', '.join(choices)}, not {value!r}")
    config.stash[_OPTIONS] = _configured(config)
    config.pluginmanager.register(_Tolerated(config), "kling-tolerated")


@pytest.fixture
def kling_clock(request: pytest.FixtureRequest) -> VirtualClock:
    """The virtual clock of this test's fakes and clients: `sleep` moves it on and returns at once."""
    from kling_contract.clock import VirtualClock

    clock: Clock | None = _options(request).get("clock")
    if clock is None:
        return VirtualClock()
    if not isinstance(clock, VirtualClock):
        pytest.fail(f"kling_clock is a VirtualClock, and the marker gives {clock!r}: use kling.clock", pytrace=False)
    return clock


@pytest.fixture
def kling(request: pytest.FixtureRequest) -> Iterator[FakeServer]:
    """A FakeServer that responds to what this process sends to the hosts of the API and its videos.

    While the test runs, it patches httpx and httpx2 (through respx) and requests (through responses), where installed.
    """
    with closing(_fake(request)) as fake, fake.intercept():
        yield fake
    _report_tolerated(request, fake)


@pytest.fixture
def kling_server(request: pytest.FixtureRequest, _kling_port: _Port) -> Iterator[KlingServer]:
    """A fake on a real port, as `.url` and `.fake`. All tests share the port, and each has a fake of its own. Patches nothing."""
    with closing(_fake(request)) as fake:
        _kling_port.application = fake.asgi
        yield KlingServer(_kling_port.url, fake)
        _kling_port.application = _kling_port.idle
    _report_tolerated(request, fake)


@pytest.fixture
def kling_client(request: pytest.FixtureRequest, kling: FakeServer) -> Iterator[Client]:
    """A Client of the `kling` fake, on its clock."""
    import httpx

    from kling_contract.client import Client

    with httpx.Client(transport=kling.transport()) as http:
        yield Client(http=http, **_client_options(request, kling))


@pytest.fixture
def kling_async_client(request: pytest.FixtureRequest, kling: FakeServer) -> AsyncClient:
    """An AsyncClient of the `kling` fake, on its clock. It holds no connection, so it need not be closed."""
    import httpx

    from kling_contract.client import AsyncClient

    return AsyncClient(http=httpx.AsyncClient(transport=kling.transport()), **_client_options(request, kling))


@pytest.fixture
def kling_virtual_time(kling_clock: VirtualClock) -> Iterator[VirtualClock]:
    """Put the whole process on `kling_clock`: code that sleeps or waits moves that clock on instead of waiting.

    While the test runs, in every thread, `time`, `datetime.now`, `time.sleep`, locks, queues and futures with a timeout, and
    the event loops of asyncio and trio follow the clock. Timeouts of sockets, other processes and uvloop stay real;
    `fake_server.on_virtual_time` says more.
    """
    from fake_server.adapters.virtual_time import on_virtual_time

    with on_virtual_time(kling_clock) as clock:
        yield clock


@pytest.fixture(scope="session")
def kling_server_factory(pytestconfig: pytest.Config) -> Iterator[Callable[..., KlingServer]]:
    """A function that starts another fake on a port of its own, until the session ends.

    It takes the keyword arguments of FakeServer, and returns what `kling_server` is: for fixtures of a wider scope, and
    for tests of more than one service. Markers do not affect it.
    """
    from fake_server.server import FakeServer

    with ExitStack() as stack:

        def start(**options: Unpack[FakeOptions]) -> KlingServer:
            fake = FakeServer(**_merged(pytestconfig.stash[_OPTIONS], options))
            stack.callback(fake.close)
            return KlingServer(stack.enter_context(fake.listen()), fake)

        yield start


class _Port:
    """The port of the session: each request goes to the fake of the test that runs."""

    def __init__(self) -> None:
        from fake_server.adapters.asgi import app
        from kling_contract.clock import SystemClock

        self.url = ""
        self.idle = app(_refuse, body_limit=0, clock=SystemClock())
        self.application = self.idle

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        await self.application(scope, receive, send)


def _refuse(request: Request) -> Reply:
    from fake_server.messages import Headers, Reply

    return Reply(503, Headers({"x-fake-reason": "no test that uses kling_server is running"}))


@pytest.fixture(scope="session")
def _kling_port() -> Iterator[_Port]:
    from fake_server.adapters.listen import listen

    port = _Port()
    with listen(port) as port.url:
        yield port


def _configured(config: pytest.Config) -> dict[str, Any]:
    """Return the options of fakes in the ini file and on the command line. Raise UsageError for one that cannot be used."""
    from_ini: dict[str, Any] = {name: value for name in _DEFAULTS if (value := config.getini(f"kling_{name}"))}
    given = {name: value for name in _DEFAULTS if (value := config.getoption(f"kling_{name}"))}
    options = from_ini | given
    if not {"revision", "model", "scenario"} & set(options):
        return options
    from fake_server.scenario.scenario import Scenario
    from kling_contract.contract import Contract
    from kling_contract.errors import KlingError

    try:
        if {"revision", "model"} & set(options):
            Contract.load(options.get("revision"), model=options.get("model"))
        if "scenario" in options:
            folder = config.inipath.parent if config.inipath else config.rootpath
            options["scenario"] = Scenario.load(
                options["scenario"], folder=config.invocation_params.dir if "scenario" in given else folder
            )
    except KlingError as unusable:
        raise pytest.UsageError(str(unusable)) from unusable
    return options


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options of this test's fake: those of the configuration, and over them those of the markers."""
    options: Mapping[str, Any] = request.config.stash[_OPTIONS]
    for marker in reversed(list(request.node.iter_markers("kling"))):
        _check(marker)
        options = _merged(options, marker.kwargs)
    return dict(options)


def _merged(options: Mapping[str, Any], nearer: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` with `nearer` over them.

    A contract takes the place of a revision and a model, and a revision that of a contract.
    """
    replaced: set[str] = set()
    if "contract" in nearer:
        replaced = {"contract", "revision", "model"}
    elif "revision" in nearer:
        replaced = {"contract"}
    return {name: value for name, value in options.items() if name not in replaced} | dict(nearer)


def _check(marker: pytest.Mark) -> None:
    import inspect

    from fake_server.server import FakeServer
    from kling_contract.display import nearest

    known = list(inspect.signature(FakeServer).parameters)
    wrong = [repr(value) for value in marker.args]
    for name in marker.kwargs:
        if name not in known:
            near = nearest(name, known)
            wrong.append(f"{name} (did you mean {near[0]}?)" if near else name)
    if wrong:
        pytest.fail(
            f"@pytest.mark.kling does not take {', '.join(wrong)}; it takes, by name: {', '.join(known)}",
            pytrace=False,
        )


def _fake(request: pytest.FixtureRequest) -> FakeServer:
    from fake_server.server import FakeServer
    from kling_contract.clock import VirtualClock

    options = _options(request)
    if isinstance(options.get("clock"), VirtualClock | None):
        options["clock"] = request.getfixturevalue("kling_clock")
    return FakeServer(**options)


def _client_options(request: pytest.FixtureRequest, fake: FakeServer) -> dict[str, Any]:
    key = _options(request).get("api_key") or _KEY
    return {"api_key": key, "contract": fake.contract, "clock": fake.clock, "strictness": fake.strictness}


def _report_tolerated(request: pytest.FixtureRequest, fake: FakeServer) -> None:
    """Add what the fake has tolerated to the report of the test, which also arrives from a worker of xdist."""
    violations = (violation for exchange in fake.journal for violation in exchange.violations)
    tolerated = (violation for violation in violations if violation.severity == "warning")
    for text in dict.fromkeys(map(str, tolerated)):
        request.node.user_properties.append((_TOLERATED, text))


class _Tolerated:
    """Collects what was tolerated, shows it at the end of the run, and fails the run if --kling-fail-on says so."""

    def __init__(self, config: pytest.Config) -> None:
        self._fails = (config.getoption("kling_fail_on") or config.getini("kling_fail_on")) == "warning"
        self._tests: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            for name, value in report.user_properties:
                if name == _TOLERATED:
                    self._tests.setdefault(str(value), []).append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._tests and self._fails and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._tests:
            return
        out = terminalreporter
        out.section("kling: tolerated violations", red=self._fails, yellow=not self._fails)
        for text, tests in self._tests.items():
            out.line(text)
            for test in tests[:5]:
                out.line(f"    {test}")
            if len(tests) > 5:
                out.line(f"    and {len(tests) - 5} more")
        ending = "they fail this run" if self._fails else "--kling-fail-on warning makes them fail the run"
        out.line(f"The service is known to accept these, although the contract does not: {ending}.")
