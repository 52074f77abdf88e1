"""Delivery: what every adapter does with a reply before and while it sends it."""

from __future__ import annotations

import contextlib
import math
import re
import threading
from collections.abc import Callable, Iterator

from fake_server.messages import Headers, Reply, Request
from kling_contract.clock import Clock, VirtualClock

__all__ = ["TRAFFIC", "Handle", "Traffic", "deliver", "wait_in_process"]

Handle = Callable[[Request], Reply]
"""Answers a request, as `Fake.handle` does."""

_BODILESS = frozenset({204, 304})

# RFC 9110: a name is a token (5.1); a value has no control characters, and no blanks around it (5.5).
_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9a-z]+")
_VALUE = re.compile(r"(?:[!-~\x80-\xff]+(?:[\t ]+[!-~\x80-\xff]+)*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CONTROLS = re.compile(r"[\x00-\x08\n-\x1f\x7f]+")


class Traffic:
    """The requests that the ports of this process are answering: how many, and which replies a fault holds back until when.

    `touch` says that something happened on a connection which may be the start of a request. Each listener is called,
    in any thread, when something begins, is held back or ends, and when it is touched.
    """

    limit: Callable[[], object] | None = None
    """Is called before each request is answered, in any way and not only at a port, and may raise to stop a program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unanswered = 0
        self._held: dict[object, tuple[Clock, float]] = {}
        self._listeners: tuple[Callable[[], object], ...] = ()

    @contextlib.contextmanager
    def request(self) -> Iterator[Callable[[], None]]:
        """Count a request while the context lasts, or until what it gives is called: as soon as the client may go on."""
        self._count(1)
        counted = True

        def answered() -> None:
            nonlocal counted
            if counted:
                counted = False
                self._count(-1)

        try:
            yield answered
        finally:
            answered()

    @contextlib.contextmanager
    def held(self, clock: Clock, until: float) -> Iterator[None]:
        """Say that the reply to a request is held back until a time of `clock`, while the context lasts."""
        key = object()
        with self._lock:
            self._held[key] = clock, until
        self.touch()
        try:
            yield
        finally:
            with self._lock:
                del self._held[key]
            self.touch()

    @contextlib.contextmanager
    def watched(self, happened: Callable[[], object]) -> Iterator[None]:
        """Call `happened` each time that something happens, while the context lasts."""
        with self._lock:
            self._listeners = (*self._listeners, happened)
        try:
            yield
        finally:
            with self._lock:
                kept = list(self._listeners)
                kept.remove(happened)
                self._listeners = tuple(kept)

    def touch(self) -> None:
        for happened in self._listeners:
            happened()

    @property
    def unanswered(self) -> int:
        """How many requests are being answered. Those that are held back do not count before their time has come."""
        return self._unanswered - len(self._times_left())

    @property
    def earliest(self) -> float | None:
        """In how many seconds of its clock the first reply that is held back goes on. None: none is held back."""
        return min(self._times_left(), default=None)

    def _times_left(self) -> list[float]:
        with self._lock:
            held = list(self._held.values())
        return [left for clock, until in held if (left := until - clock.now()) > 0]

    def _count(self, by: int) -> None:
        with self._lock:
            self._unanswered += by
        self.touch()


TRAFFIC = Traffic()
"""The requests that this process is answering, at all its ports."""


def deliver(handle: Handle, request: Request) -> Reply:
    """Return the reply to a request as HTTP can send it.

    The body is empty where none is allowed, its length is always stated, and all header fields are legal (see
    `_legal_fields`). `cut` is None if the whole body arrives before the connection would break. Every adapter takes its
    replies from here, so that they are the same everywhere.
    """
    if TRAFFIC.limit is not None:
        TRAFFIC.limit()
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

    On a virtual clock that time passes, but no more than the client would wait. On any other clock no time passes.
    """
    timeout = math.inf if read_timeout is None else read_timeout
    if seconds and isinstance(clock, VirtualClock):
        clock.sleep(max(0.0, min(seconds, timeout)))
    return seconds <= timeout


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
