"""How do one request and its answer pass? Part by part, and each to its end, also where the other side has gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection

import httpx

from fake_server.adapters.asgi import Receive, Scope, Send, hang_up
from fake_server.recording.capture import BodyCapture

__all__ = ["MARK", "Fields", "Relay", "end_to_end"]

MARK = "x-kling-contract-proxy"
"""The header of an answer that is the proxy's own. It says why there is no other."""

Fields = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_LINGER = 2.0  # seconds that the rest of a body has to come in when the answer is there already


class Relay(httpx.AsyncByteStream):
    """One request and its answer on their way. Iterated over, it is the body of the request, as that comes in."""

    def __init__(self, limit: int, receive: Receive, send: Send) -> None:
        self.sent = BodyCapture(limit)
        self.came = BodyCapture(limit)
        self.status: int | None = None
        self.headers: Fields = []
        self.whole = False
        self.trouble: str | None = None
        self._receive = receive
        self._send = send
        self._not_read = asyncio.Event()  # by the upstream, from now on
        self._all_in = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._all_in.is_set():
            message = await self._receive()
            if message["type"] != "http.request":
                self._not_read.set()
                await asyncio.Event().wait()  # until `client_disconnected` has seen the same, which ends this
            if part := self._part(message):
                yield part
        self._not_read.set()

    def has_no_body(self) -> None:
        """Nobody will iterate over it."""
        self._not_read.set()

    async def client_disconnected(self) -> None:
        """Return when the program has gone. What it goes on sending to nobody is read until then."""
        await self._not_read.wait()
        while (message := await self._receive())["type"] == "http.request":
            self._part(message)
        self._all_in.set()

    async def start(self, status: int, headers: Fields) -> None:
        self._not_read.set()
        self.status, self.headers = status, headers
        await self._send({"type": "http.response.start", "status": status, "headers": end_to_end(headers)})

    async def forward(self, part: bytes) -> None:
        self.came.add(part)
        await self._send({"type": "http.response.body", "body": part, "more_body": True})

    async def finish(self) -> None:
        self.whole = True
        await self._rest_of_the_body()
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, status: int, why: str) -> None:
        """Say that there is no answer, or let what has begun break off."""
        self.trouble = why
        self._not_read.set()
        if self.status is not None:
            await hang_up(self._receive, self._send)
            return
        await self._rest_of_the_body()
        said = why.encode("ascii", "backslashreplace")
        headers = [
            (b"content-type", b"text/plain"),
            (b"content-length", b"%d" % len(said)),
            (MARK.encode(), b" ".join(said.split())),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": said})

    async def _rest_of_the_body(self) -> None:
        """Wait until the program has sent all: to close while it still does would lose the answer on its way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                await self._all_in.wait()

    def _part(self, message: Scope) -> bytes:
        part: bytes = message.get("body", b"")
        if part:
            self.sent.add(part)
        if not message.get("more_body", False):
            self._all_in.set()
        return part


def end_to_end(headers: Collection[tuple[bytes, bytes]]) -> Fields:
    """Return the header fields that are not about one connection only."""
    about = {
        name.strip().lower() for field, value in headers if field.lower() == b"connection" for name in value.split(b",")
    }
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP | about]
