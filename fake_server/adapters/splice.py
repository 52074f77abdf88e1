"""Splices two connections: what one side sends arrives at the other, and an end of one direction leaves the other open."""

from __future__ import annotations

import asyncio
import contextlib
import socket

__all__ = ["connected", "splice"]

_CHUNK = 2**16


async def connected(host: str, port: int) -> socket.socket:
    """Return a socket that is connected to a host and does not block. Raise OSError if none of its addresses answers."""
    loop = asyncio.get_running_loop()
    failed: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, address)
        except OSError as refused:
            connection.close()
            failed = refused
        else:
            return connection
    raise failed or OSError("it has no address")


async def splice(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until both sides have ended, or one breaks off; then close both.

    Both sockets are connected and do not block.
    """
    with one, other:
        directions = [asyncio.ensure_future(_carry(one, other)), asyncio.ensure_future(_carry(other, one))]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)


async def _carry(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, _CHUNK):
        await loop.sock_sendall(target, data)
    with contextlib.suppress(OSError):  # the other side has gone already
        target.shutdown(socket.SHUT_WR)
