"""The gate of a fake that stands for other hosts: on one port it takes TLS, plain HTTP, and what clients send to a proxy.

The first bytes of a connection say which of them it is, so that a client may find the port by whatever way it likes: as
its HTTP proxy, by a look-up that leads here, or by a preload that connects here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable, Collection
from typing import Protocol
from urllib.parse import urlsplit

from fake_server.adapters.authority import Authority
from fake_server.adapters.splice import connected, splice

__all__ = ["ESCAPE_LINE", "PACE_LINE", "Gate", "covers"]

PACE_LINE = b"KLING-PACE "
"""Begins the first line of a connection that follows the fake's clock."""

ESCAPE_LINE = b"KLING-REFUSED "
"""Begins the only line of a connection by which a preload says what it has refused: `HOST:PORT` follows."""

_TLS = b"\x16"  # the type of a handshake record (RFC 8446, 5.1)
_LONGEST = 2**16 - 1
_PATIENCE = 0.005  # seconds between two looks at a line that has begun to arrive
_ABSOLUTE = re.compile(rb"[A-Z]+ ((https?)://[^ ]+) HTTP/1\.[01]\r?\n", re.IGNORECASE)
_PORTS = {b"http": 80, b"https": 443}


class ServesConnections(Protocol):
    """A server that takes connections one by one."""

    async def serve_connection(self, connection: socket.socket, *, tls: bool) -> None: ...


class Gate:
    """Takes connections, and leads each where it belongs.

    Connections for `hosts` (names, or wildcards such as `*.example.com`) end in the server. A client that asks for another
    host, as it does of a proxy, is connected to that if `allows` says so; otherwise it gets the status 403, and `on_refused`
    the host and the port. `on_pace` gets each connection that begins with PACE_LINE, and that line.
    """

    def __init__(
        self,
        authority: Authority,
        hosts: Collection[str],
        *,
        allows: Callable[[str, int], bool] = lambda _host, _port: False,
        on_refused: Callable[[str, int], None] = lambda _host, _port: None,
        on_pace: Callable[[socket.socket, bytes], None] | None = None,
    ) -> None:
        self.authority = authority
        self._hosts = frozenset(hosts)
        self._allows = allows
        self._on_refused = on_refused
        self._on_pace = on_pace
        self._open: set[asyncio.Task[None]] = set()

    async def accept(self, listener: socket.socket, server: ServesConnections) -> None:
        """Take connections from a listening socket for ever."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        try:
            while True:
                connection, _ = await loop.sock_accept(listener)
                task = loop.create_task(self._lead(connection, server))
                self._open.add(task)
                task.add_done_callback(self._open.discard)
        finally:
            for task in tuple(self._open):
                task.cancel()

    async def _lead(self, connection: socket.socket, server: ServesConnections) -> None:
        connection.setblocking(False)
        with contextlib.ExitStack() as unless_handed_over, contextlib.suppress(OSError):
            unless_handed_over.callback(connection.close)
            while start := await _first_line(connection):
                if start.startswith(b"CONNECT "):
                    if not await self._tunnel(connection):
                        return
                    continue
                if start.startswith(ESCAPE_LINE):
                    await self._note_escape(connection)
                    return
                unless_handed_over.pop_all()
                if start.startswith(PACE_LINE) and self._on_pace is not None:
                    self._on_pace(connection, await _taken(connection, b"\n"))
                elif absolute := _ABSOLUTE.match(start):
                    await self._request(connection, server, absolute[1].decode("latin-1"), _PORTS[absolute[2].lower()])
                else:
                    await server.serve_connection(connection, tls=start.startswith(_TLS))
                return

    async def _tunnel(self, connection: socket.socket) -> bool:
        """Answer a CONNECT request; return whether the tunnel ends here, so that what follows is a connection of ours."""
        head = await _taken(connection, b"\r\n\r\n")
        target = head.split(b" ", 2)[1].decode("latin-1")
        place = _place(f"//{target}", 443)
        if place is None:
            await _answer(connection, 400, f"{target[:100]!r} is no host and port")
            return False
        if self._is_ours(*place, connection):
            await _answer(connection, 200)
            return True
        if upstream := await self._upstream(connection, *place):
            await _answer(connection, 200)
            await splice(connection, upstream)
        return False

    async def _request(self, connection: socket.socket, server: ServesConnections, url: str, port: int) -> None:
        """Lead a request in the absolute form, as proxies get it, to its host. It is the last one of its connection.

        In this form a client gives its proxy the task of speaking TLS; that is done for the API alone.
        """
        place = _place(url, port)
        if place is None or self._is_ours(*place, connection):
            await server.serve_connection(connection, tls=False)
            return
        with connection:
            head = await _taken(connection, b"\r\n\r\n")
            if port == _PORTS[b"https"]:
                self._on_refused(*place)
                await _answer(connection, 403, "this proxy does not speak TLS to another host: use CONNECT")
            elif upstream := await self._upstream(connection, *place):
                await asyncio.get_running_loop().sock_sendall(upstream, _for_origin(head))
                await splice(connection, upstream)

    async def _upstream(self, connection: socket.socket, host: str, port: int) -> socket.socket | None:
        """Return a connection to another host; None, after an answer that says why, if there is none."""
        if not self._allows(host, port):
            self._on_refused(host, port)
            await _answer(
                connection, 403, f"{host}:{port} is not the API that this fake stands for, and is not allowed"
            )
            return None
        try:
            return await connected(host, port)
        except OSError as failed:
            await _answer(connection, 502, f"{host}:{port} cannot be reached: {failed.strerror or failed}")
            return None

    def _is_ours(self, host: str, port: int, connection: socket.socket) -> bool:
        bound: tuple[str, int] = connection.getsockname()[:2]
        return covers(self._hosts, host) or (host, port) in (bound, ("localhost", bound[1]))

    async def _note_escape(self, connection: socket.socket) -> None:
        line = await _taken(connection, b"\n")
        if place := _place(f"//{line.removeprefix(ESCAPE_LINE).strip().decode('latin-1')}", 0):
            self._on_refused(*place)


def covers(hosts: Collection[str], name: str) -> bool:
    """Return whether a name is one of `hosts`, which may hold wildcards for names under a domain."""
    name = name.lower().rstrip(".")
    return name in hosts or any(host.startswith("*.") and name.endswith(host[1:]) for host in hosts)


async def _first_line(connection: socket.socket) -> bytes:
    """Return how a connection begins, without taking it: its first line, or all there is of TLS. Empty: it has ended."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
        while True:
            start = connection.recv(_LONGEST, socket.MSG_PEEK)
            if not start or start.startswith(_TLS) or b"\n" in start or len(start) == _LONGEST:
                return start
            await asyncio.sleep(_PATIENCE)
    finally:
        loop.remove_reader(connection)


async def _taken(connection: socket.socket, end: bytes) -> bytes:
    """Take what a connection sends up to and with `end`. Raise ConnectionError if that does not come."""
    while True:
        start = connection.recv(_LONGEST, socket.MSG_PEEK)
        if (found := start.find(end)) >= 0:
            return connection.recv(found + len(end))
        if not start or len(start) == _LONGEST:
            raise ConnectionAbortedError("no head of a request")
        await asyncio.sleep(_PATIENCE)


async def _answer(connection: socket.socket, status: int, reason: str = "") -> None:
    phrase = {200: "Connection established", 400: "Bad Request", 403: "Forbidden", 502: "Bad Gateway"}[status]
    head = f"HTTP/1.1 {status} {phrase}\r\n"
    if status != 200:
        reason = reason.encode("ascii", "backslashreplace").decode()
        head += f"x-fake-reason: {reason}\r\nconnection: close\r\ncontent-length: {len(reason)}\r\n"
    await asyncio.get_running_loop().sock_sendall(connection, f"{head}\r\n{reason}".encode())


def _place(url: str, port: int) -> tuple[str, int] | None:
    """Return host and port of a URL, None if it has none. `port` stands for one that is not named."""
    try:
        parts = urlsplit(url)
        return (parts.hostname, parts.port or port) if parts.hostname else None
    except ValueError:
        return None


def _for_origin(head: bytes) -> bytes:
    """Return the head of a request to a proxy as the server itself gets it, with the end of the connection after it."""
    line, *fields = head.split(b"\r\n")
    method, url, version = line.split(b" ")
    path = b"/" + (url.split(b"/", 3)[3:] or [b""])[0]
    dropped = (b"proxy-connection:", b"proxy-authorization:", b"connection:", b"keep-alive:")
    kept = [field for field in fields if field and not field.lower().startswith(dropped)]
    return b"\r\n".join([b" ".join((method, path, version)), *kept, b"Connection: close", b"", b""])
