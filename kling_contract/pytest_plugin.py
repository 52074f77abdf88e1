"""Which fixtures does a test of an integration get? A fake in this process or on a real port, its clock, and clients for it.

It is loaded by every run of pytest where the package is installed: whatever is heavy is imported by what needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from fake_server.adapters.asgi import Receive, Send
    from fake_server.messages import Reply, Request
    from fake_server.server import FakeServer
    from kling_contract.client import AsyncClient, Client
    from kling_contract.clock import Clock, VirtualClock

_KEY = "a-key-for-tests"
_TOLERATED = "kling_tolerated"
_STRICTNESS = ("strict", "lax", "off")
_FAIL_ON = ("never", "warning")
_DEFAULTS = {
    "revision": "revision of the contract that fakes speak",
    "scenario": "scenario of fakes: a shipped name, or a JSON file beside the configuration file",
    "strictness": f"what fakes refuse: {', '.join(_STRICTNESS)}",
    "progression": "what moves the generations of fakes along: time, immediate, polls",
}
_MARKER = (
    "kling(**options): how the fake of this test is made, by the keyword arguments of fake_server.FakeServer; "
    "of several markers the nearest wins"
)


class KlingServer(NamedTuple):
    """A fake on a real port: the base URL to use instead of the API's, and the fake itself."""

    url: str
    fake: FakeServer


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kling", "fake Kling server")
    group.addoption("--kling-strictness", choices=_STRICTNESS, help="What fakes refuse, where no marker says it.")
    group.addoption("--kling-fail-on", choices=_FAIL_ON, help="Fail the run on violations that a fake has tolerated.")
    for name, help_ in _DEFAULTS.items():
        parser.addini(f"kling_{name}", f"{help_} (default of the marker's {name})", default="")
    parser.addini("kling_fail_on", f"what tolerated violations do to the run: {', '.join(_FAIL_ON)}", default="never")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    for name, choices in (("kling_strictness", ("", *_STRICTNESS)), ("kling_fail_on", _FAIL_ON)):
        if (value := config.getini(name)) not in choices:
            raise pytest.UsageError(f"{name} must be one of {', '.join(filter(None, choices))}, not {value!r}")
    config.pluginmanager.register(_Tolerated(config), "kling-tolerated")


@pytest.fixture
def kling_clock(request: pytest.FixtureRequest) -> VirtualClock:
    """The virtual clock of this test's fakes and clients. `sleep` is a jump."""
    from kling_contract.clock import VirtualClock

    clock: Clock | None = _options(request).get("clock")
    if clock is None:
        return VirtualClock()
    if not isinstance(clock, VirtualClock):
        pytest.fail(f"kling_clock is a VirtualClock, and the marker gives {clock!r}: use kling.clock", pytrace=False)
    return clock


@pytest.fixture
def kling(request: pytest.FixtureRequest) -> Iterator[FakeServer]:
    """A FakeServer that answers what this process sends to the API's host and the media host while the test runs."""
    with closing(_fake(request)) as fake, fake.intercept():
        yield fake
    _note(request, fake)


@pytest.fixture
def kling_server(request: pytest.FixtureRequest, _kling_port: _Port) -> Iterator[KlingServer]:
    """A fake on a real port, as `.url` and `.fake`. The port is the session's, and each test has a fake of its own behind it."""
    with closing(_fake(request)) as fake:
        _kling_port.application = fake.asgi
        yield KlingServer(_kling_port.url, fake)
        _kling_port.application = _kling_port.idle
    _note(request, fake)


@pytest.fixture
def kling_client(request: pytest.FixtureRequest, kling: FakeServer) -> Iterator[Client]:
    """A Client of the `kling` fake, on its clock."""
    import httpx

    from kling_contract.client import Client

    with httpx.Client(transport=kling.transport()) as http:
        yield Client(http=http, **_of(request, kling))


@pytest.fixture
def kling_async_client(request: pytest.FixtureRequest, kling: FakeServer) -> AsyncClient:
    """An AsyncClient of the `kling` fake, on its clock. It holds no connection, so nothing needs to be closed."""
    import httpx

    from kling_contract.client import AsyncClient

    return AsyncClient(http=httpx.AsyncClient(transport=kling.transport()), **_of(request, kling))


@pytest.fixture
def kling_virtual_time(kling_clock: VirtualClock) -> Iterator[VirtualClock]:
    """Let code that waits by itself wait on `kling_clock`: `time.sleep` and `asyncio.sleep` jump, for the whole process."""
    from fake_server.adapters.virtual_time import on_virtual_time

    with on_virtual_time(kling_clock) as clock:
        yield clock


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


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the arguments of this test's fake: of the configuration, then the command line, then the markers."""
    config = request.config
    options: dict[str, Any] = {name: value for name in _DEFAULTS if (value := config.getini(f"kling_{name}"))}
    if scenario := options.get("scenario"):
        from fake_server.scenario.scenario import Scenario

        options["scenario"] = Scenario.load(
            scenario, folder=config.inipath.parent if config.inipath else config.rootpath
        )
    if strictness := config.getoption("kling_strictness"):
        options["strictness"] = strictness
    for marker in reversed(list(request.node.iter_markers("kling"))):
        _check(marker)
        if {"contract", "revision"} & set(marker.kwargs):  # they say the same thing: the nearest of them counts
            options = {name: value for name, value in options.items() if name not in ("contract", "revision")}
        options |= marker.kwargs
    return options


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


def _of(request: pytest.FixtureRequest, fake: FakeServer) -> dict[str, Any]:
    key = _options(request).get("api_key") or _KEY
    return {"api_key": key, "contract": fake.contract, "clock": fake.clock, "strictness": fake.strictness}


def _note(request: pytest.FixtureRequest, fake: FakeServer) -> None:
    """Put what the fake has tolerated into the test's report, which also comes through from a worker of xdist."""
    tolerated = (v for exchange in fake.journal for v in exchange.violations if v.severity == "warning")
    for text in dict.fromkeys(map(str, tolerated)):
        request.node.user_properties.append((_TOLERATED, text))


class _Tolerated:
    """Gathers what was tolerated, shows it at the end of the run, and fails the run if that was asked for."""

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
        out.line(f"The service is known to take these, and the contract does not: {ending}.")
