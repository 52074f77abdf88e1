"""Transports and responders of httpx and httpx2 that end in a fake. Each library is imported where it is needed."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from fake_server.adapters.delivery import Handle, deliver, wait_in_process
from fake_server.messages import Headers, Request
from kling_contract.clock import Clock

if TYPE_CHECKING:
    import httpx

__all__ = ["BROKEN", "LATE", "responder", "transport"]

BROKEN = "the connection broke: the fake's scenario has a fault here"
LATE = "no response within the read timeout: the fake's scenario has a fault here"


def transport(handle: Handle, *, clock: Clock, library: Any = None) -> Any:
    """Return a MockTransport of `library`, httpx2 or httpx (None: httpx), whose requests `handle` answers, whatever the host."""
    if library is None:
        library = importlib.import_module("httpx")
    return library.MockTransport(responder(handle, clock=clock, responses_of=library, errors_of=library))


def responder(handle: Handle, *, clock: Clock, responses_of: Any, errors_of: Any) -> Callable[[Any], Any]:
    """Return what answers a request of httpx or httpx2.

    `responses_of` and `errors_of` are the libraries, httpx or httpx2, whose Response it returns and whose exceptions it
    raises: respx builds on httpx, also for a client of httpx2, which understands only its own exceptions.
    """

    def respond(request: httpx.Request) -> Any:
        url = request.url
        read_timeout = request.extensions.get("timeout", {}).get("read")
        sent = Request(
            request.method,
            f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}",
            Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw),
            request.content,
            read_timeout,
        )
        reply = deliver(handle, sent)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
        if reply.delay and not wait_in_process(clock, reply.delay, read_timeout):
            raise errors_of.ReadTimeout(LATE)
        if reply.cut is None:
            return responses_of.Response(reply.status, headers=headers, content=reply.body)
        broken = errors_of.RemoteProtocolError(BROKEN)
        if reply.cut == 0:
            raise broken
        start = _ending_in(broken, reply.body[: reply.cut], responses_of)
        return responses_of.Response(reply.status, headers=headers, stream=start)

    return respond


def _ending_in(broken: Exception, start: bytes, library: Any) -> Any:
    """Return a stream of httpx or httpx2, sync and async, that yields `start` and then raises an exception."""

    class Stream(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            yield start
            raise broken

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield start
            raise broken

    return Stream()
