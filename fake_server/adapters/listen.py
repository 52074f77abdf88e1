"""A real port: an ASGI application under uvicorn, in a thread or in the foreground."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from fake_server.adapters.asgi import Application
from fake_server.adapters.uvicorn_internals import Server, configured
from kling_contract.errors import ListenError
from kling_contract.hosts import is_loopback

if TYPE_CHECKING:
    from fake_server.adapters.authority import Authority
    from fake_server.adapters.gate import Gate

__all__ = ["BaseURL", "bind", "listen", "serve"]

_BACKLOG = 2048
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class BaseURL(str):
    """The base URL of a port. `ca_pem` is the certificate that clients must trust (None: no TLS)."""

    ca_pem: str | None = None


@contextlib.contextmanager
def listen(
    application: Application,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: bool = False,
    gate: Gate | None = None,
    listeners: Collection[socket.socket] = (),
) -> Iterator[BaseURL]:
    """Serve an ASGI application from a thread while the context lasts, and give its base URL.

    Port 0 takes any free one. With `tls` it is https, with a certificate for this port. With a `gate` the port takes
    https and http and is an HTTP proxy. `listeners` are listening sockets to use with a gate instead of a port; the URL is
    that of the first one, and they are closed in the end. Raise ListenError if the port cannot be listened on.
    """
    ready = threading.Event()
    server, listener, url = _prepare(application, host, port, tls, ready.set, gate, listeners)
    with listener:
        bound = listener.getsockname()[0]
        if not is_loopback(bound):
            text = f"the fake listens on {bound}: other machines can reach it; listen on 127.0.0.1 to prevent that"
            warnings.warn(text, RuntimeWarning, stacklevel=3)

        def run() -> None:
            try:
                server.run(sockets=[] if gate else [listener])
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
    application: Application,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: bool = False,
    on_ready: Callable[[BaseURL], None],
) -> None:
    """Serve an ASGI application in the foreground; return at once on Ctrl-C or SIGTERM, even if clients are connected.

    `on_ready` is called with the base URL when the port answers. The rest is as for `listen`.
    """
    server, listener, url = _prepare(application, host, port, tls, lambda: on_ready(url))
    server.run(sockets=[listener])


def _prepare(
    application: Application,
    host: str,
    port: int,
    tls: bool,
    on_ready: Callable[[], None],
    gate: Gate | None = None,
    listeners: Collection[socket.socket] = (),
) -> tuple[Server, socket.socket, BaseURL]:
    authority = gate.authority if gate else _authority(host) if tls else None
    context = authority.server_context() if authority else None
    config = configured(application, backlog=_BACKLOG, tls=None if gate else context)
    listener = next(iter(listeners), None) or bind(host, port)
    bound, number = listener.getsockname()[:2]
    name = _WILDCARDS.get(bound, host)
    url = BaseURL(f"{'https' if tls else 'http'}://{f'[{name}]' if ':' in name else name}:{number}")
    url.ca_pem = authority.certificate if authority else None
    accepting = [functools.partial(gate.accept, each) for each in listeners or [listener]] if gate else []
    return Server(config, on_ready, accepting=accepting, tls=context), listener, url


def _authority(host: str) -> Authority:
    from fake_server.adapters.authority import Authority

    return Authority([host])


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket: connections wait there until a server runs. Raise ListenError if that is not possible."""
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
