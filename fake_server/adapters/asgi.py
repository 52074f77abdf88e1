"""The ASGI application: a bare ASGI 3 callable, without a framework."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import quote, urlsplit

from fake_server.adapters.delivery import TRAFFIC, Handle, Traffic, deliver
from fake_server.messages import Headers, Request
from kling_contract.clock import Clock, VirtualClock

if TYPE_CHECKING:
    from fake_server.preload.connections import Client

__all__ = ["Application", "app", "hang_up"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = Mapping[str, Any]
Application = Callable[[Any, Receive, Send], Coroutine[Any, Any, None]]
Clients = Callable[[int], "Client | None"]

# Seconds for which a refused body is still read: closing the connection before would lose the reply.
_LINGER = 2.0
# Seconds after which a client of this process that has sent a request reads the reply.
_UNTIL_READING = 0.05
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PLAIN = re.compile(rb"[!\"$->@-~]*")  # neither "#" nor "?": nothing in it needs quoting
_IN_PATH = "/%:@!$&'()*+,;=~[]\"<>\\^`{|}"  # left as it was sent
_IN_QUERY = f"{_IN_PATH}?"


def app(
    handle: Handle,
    *,
    body_limit: int,
    clock: Clock,
    clients: Clients = lambda _port: None,
    traffic: Traffic = TRAFFIC,
) -> Application:
    """Return the ASGI 3 application whose requests `handle` answers.

    Of a longer body than `body_limit` bytes it is given one byte more than that. A late reply is late on `clock`.
    `clients` gives the blocking client of this process by its port: its read timeout counts on the fake's clock, and it gets
    what `handle` raises. `traffic` counts the requests.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                with traffic.request() as answered:
                    client = clients(scope["client"][1]) if scope.get("client") else None
                    await _http(handle, body_limit, clock, client, traffic, answered, scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000})

    return application


async def _http(
    handle: Handle,
    limit: int,
    clock: Clock,
    client: Client | None,
    traffic: Traffic,
    answered: Callable[[], None],
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    declared = fields.get("content-length", "")
    # If the declared length alone is too much, the body need not be read: as many zeros, never touched, stand for it.
    too_long = declared.isdecimal() and (len(declared) > 18 or int(declared) > limit)
    body, whole = (bytes(limit + 1), False) if too_long else await _read(receive, limit)
    if body is None:
        return
    url = _url(scope, fields.get("host", ""))
    timeout = None if client is None else await _read_timeout(client)
    try:
        reply = deliver(handle, Request(scope["method"], url, Headers(fields), body, timeout))
        if client is not None and timeout is not None and reply.delay > timeout and _stands_still(clock):
            clock.advance(timeout)
            client.error = client.read_timeout()
    except BaseException as error:
        if client is None:
            raise
        client.error = error
    if client is not None and client.error is not None:
        await hang_up(receive, send)
        return
    if reply.delay and not await _hold_back(receive, clock, reply.delay, traffic):
        return
    if reply.cut == 0:
        await hang_up(receive, send)
        return
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
    if not whole:
        raw.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    if reply.cut is not None:
        await send({"type": "http.response.body", "body": reply.body[: reply.cut], "more_body": True})
        await hang_up(receive, send)
        return
    answered()  # once it has the body, the client may do the next thing before this task goes on
    await send({"type": "http.response.body", "body": reply.body, "more_body": not whole})
    if not whole and await _drain(receive):
        await send({"type": "http.response.body", "body": b""})


async def _read(receive: Receive, limit: int) -> tuple[bytes | None, bool]:
    """Return the body, at most one byte more than `limit`, and whether that is all. None: the client has disconnected."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None, True
        part, more = message.get("body", b""), message.get("more_body", False)
        if not more and not parts and len(part) <= limit:
            return part, True
        parts.append(part)
        size += len(part)
        if size > limit:
            return b"".join(parts)[: limit + 1], not more
        if not more:
            return b"".join(parts), True


async def _drain(receive: Receive) -> bool:
    """Read the rest of a body and drop it. Return whether the client is still connected."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return False
                if not message.get("more_body", False):
                    return True
    return True


async def _read_timeout(client: Client) -> float | None:
    """Return the read timeout of a client of this process. Many set it after they have sent, and before they read."""
    reading = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reads() -> None:
        loop.call_soon_threadsafe(reading.set)

    if client.on_reading(reads):
        try:
            async with asyncio.timeout(_UNTIL_READING):
                await reading.wait()
        except TimeoutError:
            client.reads_plainly()
    return client.timeout()


def _stands_still(clock: Clock) -> TypeGuard[VirtualClock]:
    return isinstance(clock, VirtualClock) and not clock.rate


async def _hold_back(receive: Receive, clock: Clock, seconds: float, traffic: Traffic) -> bool:
    """Wait until so many seconds have passed on `clock`. Return whether the client is still connected then.

    A clock that stands still is moved on instead. One that runs may be moved, too: then the wait is over earlier.
    """
    if not isinstance(clock, VirtualClock):
        with traffic.held(clock, clock.now() + seconds):
            return await _still_there(receive, seconds)
    if _stands_still(clock):
        clock.advance(seconds)
        return True
    until = clock.now() + seconds
    moved = asyncio.Event()
    loop = asyncio.get_running_loop()
    with clock.watched(lambda _: loop.call_soon_threadsafe(moved.set)), traffic.held(clock, until):
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            while not gone.done() and (left := until - clock.now()) > 0:
                waking = asyncio.ensure_future(moved.wait())
                await asyncio.wait({gone, waking}, timeout=left / clock.rate, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
                moved.clear()
            return not gone.done()
        finally:
            gone.cancel()


async def _still_there(receive: Receive, seconds: float) -> bool:
    """Wait so many real seconds. Return whether the client is still connected then."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _disconnected(receive)
            return False
    return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def hang_up(receive: Receive, send: Send) -> None:
    """End the connection, however much of the response has been sent.

    ASGI has no message for this. Under uvicorn its transport is closed. Under any other server the application fails, which
    ends the connection too, but is logged.
    """
    from fake_server.adapters.uvicorn_internals import transport_of

    transport = transport_of(send)
    if transport is None:
        raise ConnectionAbortedError("the connection breaks here: the fake's scenario has a fault")
    transport.close()
    await _disconnected(receive)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _url(scope: Scope, host: str) -> str:
    raw = scope.get("raw_path")
    path = _quoted(raw if raw is not None else scope["path"].encode(), _IN_PATH)
    if not path.startswith("/"):  # the absolute form, as sent to proxies, or "*"
        path = "/" + (path.split("/", 3)[3:] or [""])[0] if "://" in path else f"/{path}"
    query = _quoted(scope.get("query_string", b""), _IN_QUERY)
    server = scope.get("server")
    origin = _origin(scope.get("scheme", "http"), host, tuple(server) if server else None)
    return f"{origin}{path}?{query}" if query else f"{origin}{path}"


def _quoted(raw: bytes, safe: str) -> str:
    return raw.decode("ascii") if _PLAIN.fullmatch(raw) else quote(raw, safe=safe)


@functools.lru_cache(maxsize=64)
def _origin(scheme: str, host: str, server: tuple[str, int | None] | None) -> str:
    """Return scheme and authority: those of the Host header if it is valid, otherwise those of the socket."""
    origin = f"{scheme}://{host}"
    if _HOST.fullmatch(host):
        with contextlib.suppress(ValueError):
            if urlsplit(origin).port != 0:
                return origin
    name, port = server or ("localhost", None)
    if port is None:  # unknown, or the path of a socket
        return f"{scheme}://localhost"
    return f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"
