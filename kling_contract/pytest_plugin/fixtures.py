"""The fixtures: a fake in this process or on a real port, its clock, and clients of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import pytest

from kling_contract.pytest_plugin.settings import configured_options, merged, options_of
from kling_contract.pytest_plugin.use import share, use

if TYPE_CHECKING:
    from fake_server.adapters.asgi import Receive, Send
    from fake_server.messages import Reply, Request
    from fake_server.server import FakeOptions, FakeServer
    from kling_contract.client import AsyncClient, Client
    from kling_contract.clock import Clock, VirtualClock

__all__ = [
    "KlingServer",
    "_kling_port",
    "kling",
    "kling_async_client",
    "kling_client",
    "kling_clock",
    "kling_server",
    "kling_server_factory",
    "kling_session_server",
    "kling_virtual_time",
]

_KEY = "a-key-for-tests"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class KlingServer(NamedTuple):
    """A fake on a real port: the base URL to use instead of that of the API, and the fake itself."""

    url: str
    fake: FakeServer


@pytest.fixture
def kling_clock(request: pytest.FixtureRequest) -> VirtualClock:
    """The virtual clock of this test's fakes and clients: `sleep` moves it on and returns at once."""
    from kling_contract.clock import VirtualClock

    clock: Clock | None = options_of(request).get("clock")
    if clock is None:
        return VirtualClock()
    if not isinstance(clock, VirtualClock):
        pytest.fail(f"kling_clock is a VirtualClock, and the marker gives {clock!r}: use kling.clock", pytrace=False)
    return clock


@pytest.fixture
def kling(request: pytest.FixtureRequest) -> Iterator[FakeServer]:
    """A FakeServer that responds to what this process sends to the hosts of the API and its videos.

    While the test runs, every client of this process is caught. Calls to other machines are refused, unless `others` in the
    marker or `kling_others` is "pass".
    """
    others = options_of(request).get("others", "block")
    with closing(_fake(request)) as fake:
        if others == "block" and (pytest_socket := sys.modules.get("pytest_socket")):
            pytest_socket.enable_socket()  # else it would not find its own patch again; nothing is let out all the same
        with fake.intercept(others=others):
            yield fake


@pytest.fixture
def kling_server(request: pytest.FixtureRequest, _kling_port: _Port) -> Iterator[KlingServer]:
    """A fake on a real port, as `.url` and `.fake`. All tests share the port, and each has a fake of its own. Patches nothing."""
    with closing(_fake(request)) as fake, _no_proxy_to_loopback():
        _kling_port.application = fake.asgi
        yield KlingServer(_kling_port.url, fake)
        _kling_port.application = _kling_port.idle


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
    with ExitStack() as stack:

        def start(**options: Unpack[FakeOptions]) -> KlingServer:
            return stack.enter_context(_session_server(pytestconfig, "kling_server_factory", options))

        yield start


@pytest.fixture(scope="session")
def kling_session_server(pytestconfig: pytest.Config) -> Iterator[KlingServer]:
    """One fake on a port, for all tests of the session and for fixtures of a wider scope. Markers do not affect it.

    It remembers what every test did: begin a test with `kling_session_server.fake.reset()` if that disturbs it.
    """
    with _session_server(pytestconfig, "kling_session_server", {}) as server:
        yield server


@contextmanager
def _session_server(config: pytest.Config, fixture: str, options: FakeOptions) -> Iterator[KlingServer]:
    from fake_server.server import FakeServer

    with closing(FakeServer(**merged(configured_options(config), options))) as fake, _no_proxy_to_loopback():
        share(config, fixture, fake)
        with fake.listen() as url:
            yield KlingServer(url, fake)


@contextmanager
def _no_proxy_to_loopback() -> Iterator[None]:
    """Add this machine to NO_PROXY while the context lasts: a proxy cannot reach a port that only this machine has."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("no_proxy", "NO_PROXY"):  # a client reads one of them, and another client the other
            hosts = [host for host in os.environ.get(name, "").split(",") if host]
            hosts = hosts or [host for host in os.environ.get(name.swapcase(), "").split(",") if host]
            if "*" not in hosts:
                patch.setenv(name, ",".join(dict.fromkeys([*hosts, *_LOOPBACK])))
        yield


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


def _fake(request: pytest.FixtureRequest) -> FakeServer:
    from fake_server.server import FakeServer
    from kling_contract.clock import VirtualClock

    options = options_of(request)
    options.pop("others", None)
    if isinstance(options.get("clock"), VirtualClock | None):
        options["clock"] = request.getfixturevalue("kling_clock")
    fake = FakeServer(**options)
    use(request, fake)
    return fake


def _client_options(request: pytest.FixtureRequest, fake: FakeServer) -> dict[str, Any]:
    key = options_of(request).get("api_key") or _KEY
    return {"api_key": key, "contract": fake.contract, "clock": fake.clock, "strictness": fake.strictness}
