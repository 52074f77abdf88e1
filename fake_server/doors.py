"""What do all doors into a fake share? What they need of it, and the form in which a reply leaves it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from fake_server.messages import Reply, Request
from kling_contract.clock import Clock, VirtualClock

__all__ = ["Handler", "Trouble", "answer", "arrives_in_time", "real_seconds"]

_BODILESS = frozenset({204, 304})


class Handler(Protocol):
    """What answers requests, as FakeServer does. `body_limit` is how many bytes of a body it will read."""

    @property
    def body_limit(self) -> int: ...

    @property
    def clock(self) -> Clock: ...

    def handle(self, request: Request) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a door must do to a reply: hold it back for `delay` seconds of the fake's clock, and break the connection after
    `cut` bytes of its body (0: before anything was sent; None: not at all)."""

    delay: float
    cut: int | None


def answer(fake: Handler, request: Request) -> tuple[int, dict[str, str], bytes, Trouble | None]:
    """Return the fake's reply as HTTP sends it: status, header fields and body, and what is to go wrong on the way.

    The length of the body is always stated, and a body is only where one may be. Every door takes its replies from here,
    so that they cannot differ.
    """
    reply = fake.handle(request)
    headers = dict(reply.headers.items())
    body = reply.body
    if reply.status in _BODILESS:
        body = b""
    else:
        headers.setdefault("content-length", str(len(body)))
        if request.method == "HEAD":
            body = b""
    if not reply.delay and reply.cut is None:
        return reply.status, headers, body, None
    cut = reply.cut if not reply.cut or reply.cut < len(body) else None
    return reply.status, headers, body, Trouble(reply.delay, cut)


def arrives_in_time(fake: Handler, request: Request, trouble: Trouble) -> bool:
    """Let a delay pass for a sender in this process; return whether the sender was still waiting.

    A clock that can be moved is moved on; on any other no time passes. Nobody waits.
    """
    patience = math.inf if request.read_timeout is None else request.read_timeout
    if isinstance(fake.clock, VirtualClock):
        fake.clock.advance(min(trouble.delay, patience))
    return trouble.delay <= patience


def real_seconds(fake: Handler, trouble: Trouble) -> float:
    """Return how long to hold a reply back from a sender elsewhere.

    A clock that runs by itself counts its own seconds; one that stands still is moved on instead.
    """
    clock = fake.clock
    if not isinstance(clock, VirtualClock):
        return trouble.delay
    if clock.rate:
        return trouble.delay / clock.rate
    clock.advance(trouble.delay)
    return 0.0
