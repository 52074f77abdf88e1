"""What all adapters of a fake share: what they need of it, and the form in which a reply leaves it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Protocol

from fake_server.messages import Headers, Reply, Request
from kling_contract.clock import Clock, VirtualClock

__all__ = ["Handler", "Trouble", "answer", "arrives_in_time", "real_seconds"]

_BODILESS = frozenset({204, 304})

# RFC 9110: a name is a token (5.1); a value has no control characters, and no blanks around it (5.5).
_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9a-z]+")
_VALUE = re.compile(r"(?:[!-~\x80-\xff]+(?:[\t ]+[!-~\x80-\xff]+)*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CONTROLS = re.compile(r"[\x00-\x08\n-\x1f\x7f]+")


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

    The length of the body is always stated, and a body is only where one may be. Header fields are legal whatever the reply
    has: see `_legal_fields`. Every adapter takes its replies from here, so that they cannot differ.
    """
    reply = fake.handle(request)
    headers = _legal_fields(reply.headers)
    body = reply.body
    stated = headers.pop("content-length", "")
    headers.pop("transfer-encoding", None)  # how the body is sent is the server's affair
    if reply.status in _BODILESS:
        body = b""
    elif request.method == "HEAD":  # where the body is left out already, the reply itself says how long it would be
        headers["content-length"] = stated if _LENGTH.fullmatch(stated) else str(len(body))
        body = b""
    else:
        headers["content-length"] = str(len(body))
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
        fake.clock.advance(max(0.0, min(trouble.delay, patience)))
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


def _legal_fields(headers: Headers) -> dict[str, str]:
    """Return the header fields as HTTP can send them, in the characters of latin-1.

    A field whose name is no token is left out. In values control characters become a blank, characters beyond latin-1
    an escape, and blanks at both ends go.
    """
    fields = {}
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            continue
        if not _VALUE.fullmatch(value):
            escaped = value.encode("latin-1", "backslashreplace").decode("latin-1")
            value = _CONTROLS.sub(" ", escaped).strip("\t ")
        fields[name] = value
    return fields
