"""The recording proxy: an ASGI application that forwards to one upstream and reports every exchange."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Collection
from dataclasses import replace
from urllib.parse import quote, urlsplit

import httpx

from fake_server.adapters.asgi import Receive, Scope, Send
from fake_server.journal.har import truncated_reply
from fake_server.messages import Exchange, Headers, OnExchange, Reply, Request
from fake_server.recording.capture import can_decompress, decompressed
from fake_server.recording.relay import Relay, end_to_end
from kling_contract.clock import Clock, SystemClock

__all__ = ["Proxy", "origin_of"]

_CONNECT = 30.0  # seconds


def origin_of(url: str) -> str:
    """Return scheme and authority of an upstream URL. Raise ValueError if there is more to it, or less."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("give the upstream without user name and password: the client sends its own credentials")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"{url!r} is not an upstream: give scheme and host, as in https://api.example.com")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is more than scheme and host: the path of each request is forwarded as it is")
    return f"{parts.scheme}://{parts.netloc}"


class Proxy:
    """Forwards every request to `upstream`, and nowhere else, and calls `on_exchange` when an exchange is over.

    Method, target, status, bodies and headers stay as they are, except for the Host header and the fields that concern one
    connection only; compressed bodies stay compressed. Bodies are streamed. The exchange has them decompressed, whole up to
    `limit` bytes, and the beginning of longer ones. Each request opens a connection of its own, since one that was kept
    open may be stale. Certificates are verified, redirects passed on, and proxy variables of the environment ignored.

    If the upstream does not respond, the proxy responds with 502, or with 504 after `timeout` seconds without a byte. A
    response that breaks off breaks off for the client, too. What went wrong is in `failure` of the exchange, and in the header
    PROXY_ERROR_HEADER of a response made by the proxy.
    """

    def __init__(
        self,
        upstream: str,
        on_exchange: OnExchange,
        *,
        limit: int = 32 * 2**20,
        timeout: float = 600.0,
        clock: Clock | None = None,
    ) -> None:
        self.upstream = origin_of(upstream)
        self._host = httpx.URL(self.upstream).netloc
        self._on_exchange = on_exchange
        self._limit = limit
        self._timeout = httpx.Timeout(timeout, connect=min(_CONNECT, timeout), pool=None).as_dict()
        self._clock = clock or SystemClock()
        self._transport = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = self._clock.now()
        relay = Relay(self._limit, receive, send)
        forwarding = asyncio.create_task(self._forward(scope, relay))
        disconnect = asyncio.create_task(relay.client_disconnected())
        try:
            await asyncio.wait({forwarding, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not forwarding.done() and not relay.complete:
                relay.error = (
                    "the client disconnected, or the proxy was stopped, before the whole response was received"
                )
            failures = await _ended(forwarding), await _ended(disconnect)
            self._on_exchange(self._exchange(scope, relay, began))
            for failure in failures:
                if failure is not None:
                    raise failure

    async def _forward(self, scope: Scope, relay: Relay) -> None:
        names = {name for name, _ in scope["headers"]}
        headers = [(b"Host", self._host), *(field for field in end_to_end(scope["headers"]) if field[0] != b"host")]
        if chunked := b"transfer-encoding" in names:
            headers.append((b"Transfer-Encoding", b"chunked"))
        body: httpx.AsyncByteStream = relay
        if not chunked and b"content-length" not in names:
            body = httpx.ByteStream(b"")
            relay.skip_request_body()
        extensions = {"timeout": self._timeout, "target": _target(scope)}
        request = httpx.Request(scope["method"], self.upstream, headers=headers, stream=body, extensions=extensions)
        try:
            response = await self._transport.handle_async_request(request)
            try:
                await relay.start(response.status_code, response.headers.raw)
                async for chunk in response.stream:  # type: ignore[union-attr]  # it is an asynchronous one
                    await relay.forward(chunk)
            finally:
                await response.aclose()
        except httpx.TransportError as failure:
            late = isinstance(failure, httpx.TimeoutException)
            reason = str(failure) or ("it timed out" if late else type(failure).__name__)
            await relay.fail(504 if late else 502, f"no complete response from {self.upstream}: {reason}")
        else:
            await relay.finish()

    def _exchange(self, scope: Scope, relay: Relay, began: float) -> Exchange:
        headers = _fields(scope["headers"])
        headers["host"] = self._host.decode()
        if relay.request_body.truncated:
            headers["content-length"] = str(relay.request_body.size)
        url = self.upstream + quote(_target(scope), safe=string.punctuation)
        request = Request(scope["method"], url, Headers(headers), relay.request_body.kept)
        reply = replace(self._reply(relay), delay=self._clock.now() - began)
        return Exchange(began, request, reply, failure=relay.error)

    def _reply(self, relay: Relay) -> Reply:
        """Return the response as far as it was received, decompressed if possible."""
        if relay.status is None:
            return Reply(0, cut=0)
        headers, body = _fields(relay.headers), relay.response_body.kept
        whole = relay.complete and not relay.response_body.truncated
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
            return truncated_reply(relay.status, Headers(headers), body)
        return Reply(relay.status, Headers(headers), body)


async def _ended(task: asyncio.Task[None]) -> BaseException | None:
    """Cancel a task unless it is done. Return the exception that it failed with, if any."""
    task.cancel()
    await asyncio.wait({task})
    return None if task.cancelled() else task.exception()


def _target(scope: Scope) -> bytes:
    """Return path and query of the request. In the absolute form that clients send to forward proxies, the host is ignored."""
    path: bytes = scope["raw_path"]
    if not path.startswith(b"/") and path != b"*":
        path = b"/" + (path.split(b"/", 3)[3:] or [b""])[0] if b"://" in path else b"/" + path
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


def _fields(headers: Collection[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
