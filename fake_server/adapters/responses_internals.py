"""What we need of responses, beyond what it documents: nothing is kept of a call, and a mock that was active before goes on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
import responses
from requests import exceptions as errors
from requests.adapters import HTTPAdapter

from fake_server.adapters.delivery import Handle, deliver, wait_in_process
from fake_server.adapters.transport import BROKEN, LATE
from fake_server.messages import Headers, Request
from kling_contract.clock import Clock

__all__ = ["catch"]


@contextlib.contextmanager
def catch(handle: Handle, *, clock: Clock, hosts: Collection[str], client: str, pass_others: bool) -> Iterator[None]:
    """Catch the calls of requests while the context lasts: before every other mock."""

    class Route(responses.CallbackResponse):
        def matches(self, request: requests.PreparedRequest) -> tuple[bool, str]:
            return urlsplit(request.url or "").hostname in hosts, "another host"

    def respond(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        mock.calls.reset()
        route.calls.reset()
        sent = _request(request)
        reply = deliver(handle, sent)
        if reply.delay and not wait_in_process(clock, reply.delay, sent.read_timeout):
            raise errors.ReadTimeout(LATE, request=request)
        if reply.cut == 0:
            raise errors.ConnectionError(BROKEN, request=request)
        # The stated length stays that of the whole body, so that the client notices the early end.
        return reply.status, dict(reply.headers.items()), reply.body[: reply.cut]

    before = HTTPAdapter.send
    mock = responses.RequestsMock(assert_all_requests_are_fired=False, real_adapter_send=before)
    route = mock.add(Route("ANY", re.compile(""), respond, content_type=None))
    if pass_others or before.__module__ == responses.__name__:
        mock.add_passthru(re.compile(""))
    with mock:
        yield


def _request(request: requests.PreparedRequest) -> Request:
    target = urlsplit(request.url or "")
    body: Any = request.body or b""  # bytes, text, or an iterable of bytes
    if not isinstance(body, str | bytes):
        body = b"".join(body)
    timeout = request.req_kwargs.get("timeout")  # type: ignore[attr-defined]
    timeout = timeout[1] if isinstance(timeout, tuple) else getattr(timeout, "read_timeout", timeout)
    return Request(
        request.method or "GET",
        f"{target.scheme}://{target.netloc.rpartition('@')[2]}{request.path_url}",
        Headers(request.headers),
        body.encode() if isinstance(body, str) else body,
        timeout if isinstance(timeout, int | float) else None,
    )
