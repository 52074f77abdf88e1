"""Connections between a command in a network namespace and the outside: what it may reach, and what may reach it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from kling_contract.errors import ListenError

if TYPE_CHECKING:
    import asyncio

__all__ = ["Forward", "Forwarding", "forwards", "host_lines", "published"]

_BLOCK = 65_536  # bytes that are passed on at once
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: the other side sees the connection reset


class Forward(NamedTuple):
    """A place outside that a command in a network namespace may reach.

    `inside` are the addresses at which it is found in the namespace, and `is_address` says whether `host` is one itself.
    """

    host: str
    port: int
    inside: tuple[str, ...]
    is_address: bool = False


class SocketInside(Protocol):
    """Makes sockets in the network namespace of a command."""

    def __call__(self, family: Literal["IPv4", "IPv6"]) -> socket.socket: ...


def forwards(allowed: Iterable[tuple[str, int]]) -> list[Forward]:
    """Return where the command finds each of the allowed hosts and ports.

    This machine is at its usual addresses, and so is a host that is given by its address. Any other has an address of its own in
    127.77.0.0/16: `host_lines` tells it to the command.
    """
    found: list[Forward] = []
    addresses: dict[str, str] = {}
    for host, port in allowed:
        if host.lower() == "localhost":
            found.append(Forward(host, port, ("127.0.0.1", "::1")))
        elif address := _address(host):
            found.append(Forward(str(address), port, (str(address),), is_address=not address.is_loopback))
        else:
            number = len(addresses) + 1
            inside = addresses.setdefault(host.lower(), f"127.77.{number >> 8}.{number & 255}")
            found.append(Forward(host, port, (inside,)))
    return found


def host_lines(allowed: Iterable[Forward]) -> str:
    """Return the lines of a hosts file with which the command finds the places that it may reach."""
    named = {f"{forward.inside[0]}\t{forward.host}\n" for forward in allowed if forward.host not in forward.inside}
    return "".join(sorted(line for line in named if not line.endswith("\tlocalhost\n")))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def published(port: int) -> socket.socket:
    """Return a socket that listens at a port of this machine. Raise ListenError if that is not possible."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError) as refused:
        why = refused.strerror if isinstance(refused, OSError) else str(refused)
        raise ListenError(f"port {port} cannot be published: {why}") from refused


class Forwarding:
    """Joins connections to others, from a thread that starts with the first listener."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._servers: list[asyncio.Server] = []

    def forward(self, listener: socket.socket, place: Forward) -> None:
        """Join each connection that a listener accepts to a place outside."""
        import asyncio

        async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                others = await asyncio.open_connection(place.host, place.port)
            except OSError as error:
                self._say_once(
                    f"{place.host}:{place.port}, which the command may reach, cannot be reached: {_why(error)}"
                )
                _abort(writer)
            else:
                await _join(reader, writer, *others)

        self._serve(asyncio.start_server(join, sock=listener))

    def publish(self, listener: socket.socket, port: int, socket_inside: SocketInside) -> None:
        """Join each connection that a listener outside accepts to a port in the namespace."""
        import asyncio

        async def inside(family: Literal["IPv4", "IPv6"], host: str) -> socket.socket:
            made = await asyncio.to_thread(socket_inside, family)
            try:
                made.setblocking(False)
                await asyncio.get_running_loop().sock_connect(made, (host, port))
            except BaseException:
                made.close()
                raise
            return made

        async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                try:
                    made = await inside("IPv4", "127.0.0.1")
                except ConnectionRefusedError:
                    made = await inside("IPv6", "::1")
            except OSError as error:
                self._say_once(f"port {port} is published, but the command does not listen there: {_why(error)}")
                _abort(writer)
            else:
                await _join(reader, writer, *await asyncio.open_connection(sock=made))

        self._serve(asyncio.start_server(join, sock=listener))

    def close(self) -> None:
        """End all connections and listeners."""
        if self._loop is not None and self._thread is not None:
            import asyncio

            for server in self._servers:
                self._loop.call_soon_threadsafe(server.close)
            asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def _serve(self, server: Coroutine[Any, Any, asyncio.Server]) -> None:
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="forwarding", daemon=True)
            self._thread.start()
        self._servers.append(asyncio.run_coroutine_threadsafe(server, self._loop).result())


async def _end_others() -> None:
    """End all other tasks of the running loop, and the threads that it uses."""
    import asyncio

    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader,
    other_writer: asyncio.StreamWriter,
) -> None:
    """Pass on all that comes from either side to the other. The end of one direction leaves the other open."""
    import asyncio

    try:
        await asyncio.gather(_pass(reader, other_writer), _pass(other_reader, writer))
    except OSError:
        _abort(writer)
        _abort(other_writer)
    finally:
        writer.close()
        other_writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_BLOCK):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):  # the other side has ended the connection itself
        writer.write_eof()


def _abort(writer: asyncio.StreamWriter) -> None:
    """End a connection so that the other side sees it reset."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    writer.transport.abort()


def _why(error: OSError) -> str:
    return error.strerror or str(error)
