"""What do all doors into a fake share? What they need of it, and the form in which a reply leaves it."""

from __future__ import annotations

from typing import Protocol

from fake_server.messages import Headers, Reply, Request

__all__ = ["Handler", "answer"]

_BODILESS = frozenset({204, 304})


class Handler(Protocol):
    """What answers requests, as FakeServer does. `body_limit` is how many bytes of a body it will read."""

    @property
    def body_limit(self) -> int: ...

    def handle(self, request: Request) -> Reply: ...


def answer(fake: Handler, request: Request) -> Reply:
    """Return the fake's reply as HTTP sends it: its length is stated, and a body is only where one may be.

    Every door takes its replies from here, so that they cannot differ.
    """
    reply = fake.handle(request)
    if reply.status in _BODILESS:
        return Reply(reply.status, reply.headers)
    headers = reply.headers
    if "content-length" not in headers:
        headers = Headers([*headers.items(), ("content-length", str(len(reply.body)))])
    return Reply(reply.status, headers, b"" if request.method == "HEAD" else reply.body)
