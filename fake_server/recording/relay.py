"""Relays one request and its response chunk by chunk, draining both even if a peer disconnects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection

import httpx

from fake_server.adapters.asgi import Receive, Scope, Send, hang_up
from fake_server.recording.capture import BodyCapture

__all__ = ["PROXY_ERROR_HEADER", "Fields", "Relay", "end_to_end"]

PROXY_ERROR_HEADER = "x-kling-contract-proxy"
"""Marks a response made by the proxy itself; the value says why."""

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
_LINGER = 2.0  # seconds that the rest of a request body has to arrive in once the response is complete
_LONGEST_ERROR = 500  # characters


class Relay(httpx.AsyncByteStream):
    """One request and its response on their way. As an async iterator it is the body of the request as it arrives.

    `status` is None until the response has begun; `complete` says whether all of it was received; `error` why not (None: no
    error, so far).
    """

    def __init__(self, limit: int, receive: Receive, send: Send) -> None:
        self.request_body = BodyCapture(limit)
        self.response_body = BodyCapture(limit)
        self.status: int | None = None
        self.headers: Fields = []
        self.complete = False
        self.error: str | None = None
        self._receive = receive
        self._send = send
        self._upstream_stopped_reading = asyncio.Event()
        self._request_complete = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._request_complete.is_set():
            message = await self._receive()
            if message["type"] != "http.request":
                self._upstream_stopped_reading.set()
                await asyncio.Event().wait()  # for ever: `client_disconnected` returns, and then this task is cancelled
            if chunk := self._chunk(message):
                yield chunk
        self._upstream_stopped_reading.set()

    def skip_request_body(self) -> None:
        """Declare that nobody will iterate over the request body."""
        self._upstream_stopped_reading.set()

    async def client_disconnected(self) -> None:
        """Return when the client disconnects, discarding what it still sends."""
        await self._upstream_stopped_reading.wait()
        while (message := await self._receive())["type"] == "http.request":
            self._chunk(message)
        self._request_complete.set()

    async def start(self, status: int, headers: Fields) -> None:
        """Send the status and the header fields of the response."""
        self._upstream_stopped_reading.set()
        self.status, self.headers = status, headers
        await self._send({"type": "http.response.start", "status": status, "headers": end_to_end(headers)})

    async def forward(self, chunk: bytes) -> None:
        """Send the next chunk of the response body."""
        self.response_body.add(chunk)
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def finish(self) -> None:
        """End the response."""
        self.complete = True
        await self._wait_for_request_body()
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, status: int, error: str) -> None:
        """Respond with `status` and the error, or break the response off if it has begun."""
        self.error = error = _header_value(error)
        self._upstream_stopped_reading.set()
        if self.status is not None:
            await hang_up(self._receive, self._send)
            return
        await self._wait_for_request_body()
        body = error.encode()
        headers = [
            (b"content-type", b"text/plain"),
            (b"content-length", b"%d" % len(body)),
            (PROXY_ERROR_HEADER.encode(), body),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def _wait_for_request_body(self) -> None:
        """Wait until the client has sent everything: closing earlier could lose the response on its way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                await self._request_complete.wait()

    def _chunk(self, message: Scope) -> bytes:
        chunk: bytes = message.get("body", b"")
        if chunk:
            self.request_body.add(chunk)
        if not message.get("more_body", False):
            self._request_complete.set()
        return chunk


def end_to_end(headers: Collection[tuple[bytes, bytes]]) -> Fields:
    """Return the header fields that are not about one connection only.

    A Content-Length beside a Transfer-Encoding is dropped (RFC 9112, 6.3); one that Connection names is kept.
    """
    dropped = set(_HOP_BY_HOP)
    for name, value in headers:
        if name.lower() == b"connection":
            dropped |= {option.strip().lower() for option in value.split(b",")}
    dropped.discard(b"content-length")
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):
        dropped.add(b"content-length")
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def _header_value(text: str) -> str:
    """Return a text as a header can carry it: one line of printable ASCII (RFC 9110, 5.5), not too long."""
    line = " ".join(text.split())[:_LONGEST_ERROR]
    return "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in line).strip()
