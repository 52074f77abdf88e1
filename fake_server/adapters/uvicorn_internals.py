"""What we need of uvicorn, beyond what it documents: to start and stop at once, and to break off a response.

uvicorn looks at its flag to stop ten times a second and waits for its clients; a fake in a test begins and ends at once.
ASGI has no message for a broken connection; uvicorn's own object has the transport. `tests/fake_server/adapters/`
`test_uvicorn_internals.py` says what of uvicorn this rests on.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import FrameType
from typing import Any

import uvicorn

__all__ = ["Server", "configured", "transport_of"]

_GRACE = 0.1  # seconds that replies under way have to be finished in when the server stops
_KEEP_ALIVE = 75  # seconds; longer than programs wait between two polls


def configured(application: Callable[..., Any], *, backlog: int, tls: ssl.SSLContext | None) -> uvicorn.Config:
    """Return the configuration for an ASGI 3 application: no logs, and no headers but the application's own."""
    config = uvicorn.Config(
        application,
        interface="asgi3",
        lifespan="off",
        ws="none",
        workers=1,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        backlog=backlog,
    )
    config.load()
    config.ssl = tls
    return config


class Server(uvicorn.Server):
    """A uvicorn server that calls `on_ready` as soon as it answers, and stops as soon as `stop` is called.

    `accepting` are coroutine functions that take connections in a way of their own, and give them to `serve_connection`.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        *,
        accepting: Sequence[Callable[[Server], Coroutine[Any, Any, None]]] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._accepting = accepting
        self._tls = tls
        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Make `run` return. Safe from any thread and from a signal handler."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stopped.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stop()

    async def serve_connection(self, connection: socket.socket, *, tls: bool) -> None:
        """Serve what a connected socket asks for, with `tls` after a handshake. It is closed if that fails."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._protocol, connection, ssl=self._tls if tls else None)
        except OSError:  # no handshake, or a client that has gone: both are the client's
            connection.close()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        tasks = [self._loop.create_task(accept(self)) for accept in self._accepting]
        with _signals_waking(self._loop):
            self._on_ready()
            if not self.should_exit:
                await self._stopped.wait()
        for task in tasks:
            task.cancel()

    def _protocol(self) -> asyncio.Protocol:
        made: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = made(config=self.config, server_state=self.server_state, app_state={})
        return protocol

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()  # now, or after the reply under way
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_GRACE)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)  # the transports close their sockets
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_GRACE)


@contextlib.contextmanager
def _signals_waking(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let a signal wake the loop, whichever thread it is delivered to: a loop that only waits runs no handler otherwise."""
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":  # there asyncio does it
        yield
        return
    sender, receiver = socket.socketpair()
    with sender, receiver:
        for end in (sender, receiver):
            end.setblocking(False)
        before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)

        def wake() -> None:  # in Python: uvloop runs none otherwise, and handlers of signals run between its steps only
            receiver.recv(4096)

        loop.add_reader(receiver, wake)
        try:
            yield
        finally:
            loop.remove_reader(receiver)
            signal.set_wakeup_fd(before)


def transport_of(send: Callable[..., Any]) -> asyncio.Transport | None:
    """Return the connection that an ASGI `send` writes to; None if the server is not uvicorn."""
    transport: asyncio.Transport | None = getattr(getattr(send, "__self__", None), "transport", None)
    return transport
