"""Clocks: the only source of time for the client and the fake. One is real, one is moved by hand."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable

__all__ = ["CALENDAR_END", "Clock", "SystemClock", "VirtualClock", "utc"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)

CALENDAR_END = _LAST.timestamp()
"""The end of the year 9999, in seconds since 1970. A clock may go further, a date cannot."""


def utc(seconds: float) -> datetime:
    """Return a time of a clock as a date: the nearest possible one if it is outside the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return _FIRST if seconds < 0 else _LAST  # NaN counts as the latest


@runtime_checkable
class Clock(Protocol):
    """Something that tells the time and can wait. Times are seconds since 1970 (UTC), as floats."""

    def now(self) -> float:
        """Return the time. It never decreases."""

    def sleep(self, seconds: float) -> None:
        """Wait until `seconds` have passed on this clock."""

    async def asleep(self, seconds: float) -> None:
        """Wait like `sleep`, without blocking the event loop."""


async def _asleep(seconds: float) -> None:
    """Wait in the event loop that runs: of asyncio or of trio."""
    import anyio  # here, because to import it takes longer than to import all of this package

    await anyio.sleep(max(0.0, seconds))


class SystemClock:
    """The real time: the wall clock when this object was made, continued by the monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        await _asleep(seconds)

    def __repr__(self) -> str:
        return "SystemClock()"


class VirtualClock:
    """A clock that is moved by hand. `sleep` moves it forward and returns at once.

    `start` is its first time, in seconds since 1970. By default that is 2025-07-24 00:00 UTC, when the first revision was in
    force, so that every run has the same times. With a `rate` above 0 the clock also runs by itself, `rate` virtual seconds in
    each real second, for programs outside this process. It can be shared between threads.
    """

    def __init__(self, start: float = 1753315200.0, *, rate: float = 0.0) -> None:
        if not 0 <= rate < math.inf:
            raise ValueError(f"rate must be a finite number of 0 or more, not {rate}: time does not go back")
        if not math.isfinite(start):
            raise ValueError(f"start must be a finite number of seconds since 1970, not {start}")
        self.rate = rate
        self._base = float(start)
        self._real = time.monotonic()
        self._lock = threading.Lock()
        self._watchers: tuple[Callable[[float], object], ...] = ()
        self._leads = 0

    def now(self) -> float:
        if not self.rate:
            return self._base
        with self._lock:
            return self._base + (time.monotonic() - self._real) * self.rate

    def advance(self, seconds: float) -> None:
        """Move the time forward by `seconds`. Raise ValueError for a negative or infinite number."""
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock advances by 0 seconds or more, and by a finite number, not {seconds}")
        with self._lock:
            self._base += seconds
        for moved in self._watchers:
            moved(seconds)

    @contextlib.contextmanager
    def watched(self, moved: Callable[[float], object]) -> Iterator[None]:
        """Call `moved(seconds)` after each jump while the context lasts, in the thread that made the jump."""
        with self._lock:
            self._watchers = (*self._watchers, moved)
        try:
            yield
        finally:
            with self._lock:
                kept = list(self._watchers)
                kept.remove(moved)
                self._watchers = tuple(kept)

    @contextlib.contextmanager
    def leading(self) -> Iterator[None]:
        """Let `sleep` wait like every other `time.sleep`, while the time of this process follows this clock."""
        with self._lock:
            self._leads += 1
        try:
            yield
        finally:
            with self._lock:
                self._leads -= 1

    def sleep(self, seconds: float) -> None:
        if self._leads:
            time.sleep(max(0.0, seconds))
        else:
            self.advance(max(0.0, seconds))

    async def asleep(self, seconds: float) -> None:
        if self._leads:
            await _asleep(seconds)
        else:
            self.advance(max(0.0, seconds))
            await _asleep(0)

    def __repr__(self) -> str:
        return f"VirtualClock({self.now()!r}, rate={self.rate!r})"
