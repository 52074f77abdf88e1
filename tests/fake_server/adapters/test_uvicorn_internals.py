"""What we need of uvicorn, beyond what it documents. If a new uvicorn fails here, `uvicorn_internals.py` must change."""

from __future__ import annotations

import inspect
import threading
import time
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from fake_server.adapters.listen import listen
from fake_server.adapters.uvicorn_internals import Server, configured, transport_of


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nobody calls this")


def test_this_is_what_we_need_of_uvicorn() -> None:
    """uvicorn calls these methods of a server, keeps connections and tasks in these places, and takes a TLS context so."""
    for name, parameters in {
        "main_loop": ["self"],
        "shutdown": ["self", "sockets"],
        "handle_exit": ["self", "sig", "frame"],
        "run": ["self", "sockets"],
    }.items():
        assert list(inspect.signature(getattr(uvicorn.Server, name)).parameters) == parameters
    assert inspect.iscoroutinefunction(uvicorn.Server.main_loop)
    assert inspect.iscoroutinefunction(uvicorn.Server.shutdown)
    source = inspect.getsource(uvicorn.Server)
    assert all(call in source for call in ("self.main_loop()", "self.shutdown(", "self.handle_exit"))
    state = ServerState()
    assert state.connections == state.tasks == set()
    config = configured(nothing, backlog=7, tls=None)
    assert (config.loaded, config.ssl, config.backlog, config.lifespan) == (True, None, 7, "off")
    server = Server(config, lambda: None)
    assert server.should_exit is False
    assert isinstance(server.server_state, ServerState)


@pytest.mark.parametrize(
    "name", ["uvicorn.protocols.http.h11_impl.H11Protocol", "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol"]
)
def test_its_send_has_the_connection(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under each of its parsers, `send` is a method of an object that has the transport; closing it ends the connection."""
    module, _, protocol = name.rpartition(".")
    if "httptools" in module:
        pytest.importorskip("httptools")
    monkeypatch.setattr(
        "uvicorn.protocols.http.auto.AutoHTTPProtocol", getattr(__import__(module, fromlist=["x"]), protocol)
    )
    seen: list[Any] = []

    async def hang_up(scope: Any, receive: Any, send: Any) -> None:
        seen.append(transport_of(send))
        seen[0].close()
        while (message := await receive())["type"] == "http.request":
            pass
        seen.append(message["type"])

    with listen(hang_up) as url, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url, verify=False)
    assert seen[0].get_extra_info("sockname")
    assert seen[1] == "http.disconnect"


def test_no_other_send_has_one() -> None:
    """A `send` that is no method of uvicorn's has no connection to close."""
    assert transport_of(nothing) is None


def test_it_starts_and_stops_at_once() -> None:
    """Ten servers start and stop in less than the ten ticks of a tenth of a second that uvicorn itself would wait for."""
    threads = threading.active_count()
    began = time.perf_counter()
    for _ in range(10):
        with listen(nothing):
            pass
    assert time.perf_counter() - began < 0.9
    assert threading.active_count() == threads
