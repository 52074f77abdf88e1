"""Delivery: what every adapter does with a reply before and while it sends it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from fake_server.messages import Headers, Reply, Request
from kling_contract.clock import Clock, VirtualClock

__all__ = ["Handle", "deliver", "real_seconds", "wait_in_process"]

Handle = Callable[[Request], Reply]
"""Answers a request, as `Fake.handle` does."""

_BODILESS = frozenset({204, 304})

# RFC 9110: a name is a token (5.1); a value has no control characters, and no blanks around it (5.5).
_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9a-z]+")
_VALUE = re.compile(r"(?:[!-~\x80-\xff]+(?:[\t ]+[!-~\x80-\xff]+)*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CONTROLS = re.compile(r"[\x00-\x08\n-\x1f\x7f]+")


def deliver(handle: Handle, request: Request) -> Reply:
    """Return the reply to a request as HTTP can send it.

    The body is empty where none is allowed, its length is always stated, and all header fields are legal (see
    `_legal_fields`). `cut` is None if the whole body arrives before the connection would break. Every adapter takes its
    replies from here, so that they are the same everywhere.
    """
    reply = handle(request)
    fields = _legal_fields(reply.headers)
    body = reply.body
    stated = fields.pop("content-length", "")
    fields.pop("transfer-encoding", None)  # the server decides how the body is sent
    if reply.status in _BODILESS:
        body = b""
    elif request.method == "HEAD":  # if the body is left out already, only the reply says how long it would be
        fields["content-length"] = stated if _LENGTH.fullmatch(stated) else str(len(body))
        body = b""
    else:
        fields["content-length"] = str(len(body))
    cut = reply.cut if not reply.cut or reply.cut < len(body) else None
    return Reply(reply.status, Headers.in_lower_case(fields), body, reply.delay, cut)


def wait_in_process(clock: Clock, seconds: float, read_timeout: float | None) -> bool:
    """Let a delay pass for a client in this process; return whether its read timeout (None: unlimited) was long enough.

    A virtual clock is moved on, by no more than the client would wait. On any other clock no time passes.
    """
    timeout = math.inf if read_timeout is None else read_timeout
    if seconds and isinstance(clock, VirtualClock):
        clock.advance(max(0.0, min(seconds, timeout)))
    return seconds <= timeout


def real_seconds(clock: Clock, seconds: float) -> float:
    """Return for how many real seconds to hold a reply back from a client on a port.

    `seconds` are those of the clock. If it stands still it is moved on instead, and the reply is held back for 0 seconds.
    """
    if not isinstance(clock, VirtualClock):
        return seconds
    if clock.rate:
        return seconds / clock.rate
    clock.advance(seconds)
    return 0.0


def _legal_fields(headers: Headers) -> dict[str, str]:
    """Return the header fields as HTTP can send them, in the characters of latin-1.

    A field whose name is no token is left out. In values each run of control characters becomes a blank, a character
    beyond latin-1 an escape, and blanks at both ends are removed.
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
