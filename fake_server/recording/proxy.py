"""How does traffic pass through us unchanged, and be seen? An ASGI application that forwards to one upstream."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Collection
from dataclasses import replace
from urllib.parse import quote, urlsplit

import httpx

from fake_server.adapters.asgi import Receive, Scope, Send
from fake_server.journal.har import broken_off
from fake_server.messages import Exchange, Headers, OnExchange, Reply, Request
from fake_server.recording.capture import can_decompress, decompressed
from fake_server.recording.relay import Relay, end_to_end
from kling_contract.clock import Clock, SystemClock

__all__ = ["Proxy", "origin_of"]

_CONNECT = 30.0  # seconds


def origin_of(url: str) -> str:
    """Return scheme and authority of an upstream. Raise ValueError, which says what is wrong, when it has not just these."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("an upstream has no user name and no password here: the program sends what it needs")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"{url!r} is no upstream: give scheme and host, as in https://api.example.com")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is more than scheme and host: the path of each request is passed on as it came")
    return f"{parts.scheme}://{parts.netloc}"


class Proxy:
    """Forwards every request to `upstream`, and nowhere else, and calls `on_exchange` with each exchange when it is over.

    Method, target, status, bodies and headers stay as they are, but for the Host header and those that concern one
    connection only; what is compressed passes compressed. A body passes as it comes. It is kept whole up to `limit`
    bytes, of a longer one a little. Each request has a connection of its own, so that none is lost on one that has gone
    stale. Certificates are verified, redirects passed on, proxies of the environment not used.

    Where no answer comes the proxy answers 502, or 504 when `patience` seconds went by without a byte, with the header
    `passage.MARK`. An answer that breaks off breaks off.
    """

    def __init__(
        self,
        upstream: str,
        on_exchange: OnExchange,
        *,
        limit: int = 32 * 2**20,
        patience: float = 600.0,
        clock: Clock | None = None,
    ) -> None:
        self.upstream = origin_of(upstream)
        self._host = httpx.URL(self.upstream).netloc
        self._on_exchange = on_exchange
        self._limit = limit
        self._timeout = httpx.Timeout(patience, connect=min(_CONNECT, patience), pool=None).as_dict()
        self._clock = clock or SystemClock()
        self._transport = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = self._clock.now()
        passage = Relay(self._limit, receive, send)
        relay = asyncio.create_task(self._relay(scope, passage))
        left = asyncio.create_task(passage.client_disconnected())
        try:
            await asyncio.wait({relay, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not relay.done() and not passage.whole:
                passage.trouble = "the program hung up, or the proxy was ended, before the whole answer was there"
            failures = await _ended(relay), await _ended(left)
            self._on_exchange(self._exchange(scope, passage, began))
            for failure in failures:
                if failure is not None:
                    raise failure

    async def _relay(self, scope: Scope, passage: Relay) -> None:
        names = {name for name, _ in scope["headers"]}
        headers = [(b"Host", self._host), *(each for each in end_to_end(scope["headers"]) if each[0] != b"host")]
        if chunked := b"transfer-encoding" in names:
            headers.append((b"Transfer-Encoding", b"chunked"))
        body: httpx.AsyncByteStream = passage
        if not chunked and b"content-length" not in names:
            body = httpx.ByteStream(b"")
            passage.has_no_body()
        extensions = {"timeout": self._timeout, "target": _target(scope)}
        request = httpx.Request(scope["method"], self.upstream, headers=headers, stream=body, extensions=extensions)
        try:
            response = await self._transport.handle_async_request(request)
            try:
                await passage.start(response.status_code, response.headers.raw)
                async for part in response.stream:  # type: ignore[union-attr]  # it is an asynchronous one
                    await passage.forward(part)
            finally:
                await response.aclose()
        except httpx.TransportError as failure:
            late = isinstance(failure, httpx.TimeoutException)
            said = str(failure) or ("nothing came in time" if late else type(failure).__name__)
            await passage.fail(504 if late else 502, f"{self.upstream} gave no whole answer: {said}")
        else:
            await passage.finish()

    def _exchange(self, scope: Scope, passage: Relay, began: float) -> Exchange:
        headers = _fields(scope["headers"])
        headers["host"] = self._host.decode()
        if passage.sent.cut:
            headers["content-length"] = str(passage.sent.size)
        url = self.upstream + quote(_target(scope), safe=string.punctuation)
        request = Request(scope["method"], url, Headers(headers), passage.sent.kept)
        reply = replace(self._reply(passage), delay=self._clock.now() - began)
        return Exchange(began, request, reply, failure=passage.trouble)

    def _reply(self, passage: Relay) -> Reply:
        """Return what came, as it was before it was compressed."""
        if passage.status is None:
            return Reply(0, cut=0)
        headers, body = _fields(passage.headers), passage.came.kept
        whole = passage.whole and not passage.came.cut
        coding = headers.get("content-encoding", "")
        if whole and body and can_decompress(coding):
            plain = decompressed(body, coding, self._limit)
            if plain is None:
                whole = False
            else:
                body = plain
                del headers["content-encoding"]
                headers.pop("content-length", None)
        if not whole:
            return broken_off(passage.status, Headers(headers), body)
        return Reply(passage.status, Headers(headers), body)


async def _ended(task: asyncio.Task[None]) -> BaseException | None:
    """Let a task end, at once if it has not by itself. Return what it failed with."""
    task.cancel()
    await asyncio.wait({task})
    return None if task.cancelled() else task.exception()


def _target(scope: Scope) -> bytes:
    path: bytes = scope["raw_path"]
    if not path.startswith(b"/") and path != b"*":  # the form that forward proxies are sent: its host is not ours
        path = b"/" + (path.split(b"/", 3)[3:] or [b""])[0] if b"://" in path else b"/" + path
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


def _fields(headers: Collection[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
