"""What do all doors into a fake share? What they need of it, and the form in which a reply leaves it."""

from __future__ import annotations

from typing import Protocol

from fake_server.messages import Reply, Request

__all__ = ["Handler", "answer"]

_BODILESS = frozenset({204, 304})


class Handler(Protocol):
    """What answers requests, as FakeServer does. `body_limit` is how many bytes of a body it will read."""

    @property
    def body_limit(self) -> int: ...

    def handle(self, request: Request) -> Reply: ...


def answer(fake: Handler, request: Request) -> tuple[int, dict[str, str], bytes]:
    """Return the fake's reply as HTTP sends it: status, header fields and body.

    The length of the body is always stated, and a body is only where one may be. Every door takes its replies from here,
    so that they cannot differ.
    """
    reply = fake.handle(request)
    headers = dict(reply.headers.items())
    if reply.status in _BODILESS:
        return reply.status, headers, b""
    headers.setdefault("content-length", str(len(reply.body)))
    return reply.status, headers, b"" if request.method == "HEAD" else reply.body
