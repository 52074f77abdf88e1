"""How does a fake listen on a real port? Under uvicorn, in a thread or in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from fake_server.adapters.asgi import Application, app
from fake_server.adapters.delivery import Handler
from kling_contract.hosts import is_loopback

__all__ = ["BaseURL", "ListenError", "live", "serve"]

_GRACE = 0.1  # seconds that replies under way have to be finished in when the server stops
_KEEP_ALIVE = 75  # seconds; longer than programs wait between two polls
_BACKLOG = 2048
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ListenError(OSError):
    """The host and port asked for cannot be had. The message says why."""


class BaseURL(str):
    """The URL of a fake that listens. `ca_pem` is the certificate that clients must trust (None: no TLS)."""

    ca_pem: str | None = None


@contextlib.contextmanager
def live(
    fake: Handler | Application, *, host: str = "127.0.0.1", port: int = 0, tls: bool = False
) -> Iterator[BaseURL]:
    """Serve a fake, or an ASGI application, from a thread while the context lasts, and give its base URL.

    Port 0 takes any free one. With `tls` it is https, under a certificate made for the occasion by trustme.
    Raise ListenError when the port cannot be had.
    """
    ready = threading.Event()
    server, listener, url = _prepare(fake, host, port, tls, ready.set)
    with listener:
        bound = listener.getsockname()[0]
        if not is_loopback(bound):
            text = f"the fake listens on {bound}, for whoever reaches this machine; 127.0.0.1 keeps it to yourself"
            warnings.warn(text, RuntimeWarning, stacklevel=3)

        def run() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                ready.set()

        thread = threading.Thread(target=run, name=f"fake server {url}", daemon=True)
        thread.start()
        ready.wait()
        try:
            yield url
        finally:
            server.stop()
            thread.join()


def serve(
    fake: Handler | Application,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: bool = False,
    on_ready: Callable[[BaseURL], None],
) -> None:
    """Serve a fake, or an ASGI application, in the foreground; return at once on Ctrl-C or SIGTERM, whoever is connected.

    `on_ready` is called with the base URL when the port answers. The rest is as for `live`.
    """
    server, listener, url = _prepare(fake, host, port, tls, lambda: on_ready(url))
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """A uvicorn server that begins and ends when it is told to, not at its next tick."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
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

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_ready()
        if not self.should_exit:
            await self._stopped.wait()

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


def _prepare(
    fake: Handler | Application, host: str, port: int, tls: bool, on_ready: Callable[[], None]
) -> tuple[_Server, socket.socket, BaseURL]:
    context, ca_pem = _certificate(host) if tls else (None, None)
    config = uvicorn.Config(
        fake if callable(fake) else app(fake),
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
        backlog=_BACKLOG,
    )
    config.load()
    config.ssl = context
    listener = _listen(host, port)
    bound, number = listener.getsockname()[:2]
    name = _WILDCARDS.get(bound, host)
    url = BaseURL(f"{'https' if tls else 'http'}://{f'[{name}]' if ':' in name else name}:{number}")
    url.ca_pem = ca_pem
    return _Server(config, on_ready), listener, url


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket: whoever connects from now on will be served."""
    with contextlib.ExitStack() as on_failure:
        try:
            if not 0 <= port <= 65_535:
                raise OverflowError("a port is a number from 0 to 65535")
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            # asyncio sends without delay where the protocol is named; else small replies wait 40 ms for an ACK
            listener = on_failure.enter_context(socket.socket(family, kind, protocol))
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except (OSError, OverflowError, UnicodeError) as refused:
            why = refused.strerror if isinstance(refused, OSError) and refused.strerror else str(refused)
            raise ListenError(
                f"cannot listen on {host}, port {port}: {why}; choose another port (0 takes any free one) or host"
            ) from refused
        on_failure.pop_all()
    return listener


def _certificate(host: str) -> tuple[ssl.SSLContext, str]:
    """Return the server's side of TLS for `host` and this machine, and its authority's certificate in PEM."""
    try:
        import trustme
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "TLS needs a certificate: install trustme, which makes one", name="trustme"
        ) from missing
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*dict.fromkeys((host, "localhost", "127.0.0.1", "::1"))).configure_cert(context)
    return context, authority.cert_pem.bytes().decode("ascii")
