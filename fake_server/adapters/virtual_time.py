"""Virtual time for code that waits by itself: the time and the waits of this process follow a virtual clock for a while."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TypeVar

from fake_server.adapters.delivery import TRAFFIC
from fake_server.adapters.pacer import Mover, Pulse
from fake_server.preload import waits
from kling_contract.clock import VirtualClock

__all__ = ["NeverEnds", "on_virtual_time"]

_Clock = TypeVar("_Clock", bound=VirtualClock)
_MOST_HOURS = 1000.0
_MANY = 1000  # waits: a program may wait for months, but not again and again
_MOST_REQUESTS = 10_000  # 100 programs that poll for 1,000 seconds


class NeverEnds(BaseException):
    """A program goes on for ever on virtual time. `except Exception` does not catch it, so that a loop really ends."""


@contextlib.contextmanager
def on_virtual_time(clock: _Clock) -> Iterator[_Clock]:
    """Let the whole process wait on `clock`, a VirtualClock without a rate, while the context lasts.

    Whoever waits is woken in the order of the time: the clock moves to the earliest of them as soon as everybody waits, at
    once where that is known, else when nothing has happened and no thread has computed for 5 ms. Real time passes as well,
    so nothing hangs. Several contexts may overlap and end in any order; a move then moves all their clocks.

    - The time: `time.time`, `monotonic` and `perf_counter`, also in nanoseconds; `datetime.now`, `utcnow` and `today`.
    - Waits: `time.sleep`; `Event`, `Condition`, `Semaphore`, `Barrier`, `Thread.join`, `queue.Queue` and futures with a
      timeout; everything on an event loop of asyncio (on a selector) or of trio, and so of anyio.
    - The names may have been imported before (`from time import sleep`). Kept anywhere else, as in a default argument,
      a function stays real.

    These stay real: timeouts of sockets and of `Lock.acquire`, `SimpleQueue`, `select`, signals, other processes, uvloop,
    and the waits of pytest, hypothesis, subprocess and other machinery.

    After 1,000 hours in more than 1,000 waits, or 10,000 requests, NeverEnds stops the program.
    Raise ValueError for any other clock.
    """
    if getattr(clock, "rate", 1.0):
        raise ValueError(f"only a VirtualClock without a rate can replace the time of this process, not {clock!r}")
    with clock.leading(), _ENGINE.following(clock):
        yield clock


class _Engine(Mover):
    """Moves the clocks that lead this process: in the thread that waits, or in its own where it has to wait and see."""

    def __init__(self) -> None:
        super().__init__(settle=0.005)
        self._clocks: list[VirtualClock] = []  # one for each context
        self._watches: dict[VirtualClock, contextlib.ExitStack] = {}
        self._traffic = contextlib.ExitStack()
        self._moving = threading.RLock()
        self._moved_along = False
        self._thread: threading.Thread | None = None
        self._parked = False
        self._seconds = 0.0
        self._moves = 0
        self._requests = 0

    @contextlib.contextmanager
    def following(self, clock: VirtualClock) -> Iterator[None]:
        with self._moving:
            if not self._clocks:
                self._begin()
            if clock not in self._clocks:
                self._watches[clock] = contextlib.ExitStack()
                self._watches[clock].enter_context(clock.watched(lambda seconds: self._clock_moved(clock, seconds)))
            self._clocks.append(clock)
        try:
            yield
        finally:
            ended = None
            with self._moving:
                self._clocks.remove(clock)
                if clock not in self._clocks:
                    self._watches.pop(clock).close()
                if not self._clocks:
                    ended = self._end()
            if ended is not None:
                ended.join()

    def _begin(self) -> None:
        self._seconds, self._moves, self._requests = 0.0, 0, 0
        self._traffic.enter_context(TRAFFIC.watched(self._happened))
        TRAFFIC.limit = self._count_request
        waits.begin(self, still=True)

    def _end(self) -> threading.Thread | None:
        waits.end(self)
        TRAFFIC.limit = None
        self._traffic.close()
        thread, self._thread, self._open = self._thread, None, False
        self._happened()
        return thread

    # What `waits` calls, in the threads that wait

    def began(self) -> None:
        self._check()
        with self._moving:
            if waits.everybody_waits() and self._ready():
                self._move_on()
            if waits.earliest() is not None and self._thread is None:
                self._open = True
                self._thread = threading.Thread(target=self._run, name="fake server virtual time", daemon=True)
                self._thread.start()
        self._happened()

    def ended(self) -> None:
        self._happened()

    def forked(self) -> None:
        self._changed = threading.Condition()
        self._moving = threading.RLock()
        self._thread = None

    # The moves

    def _happened(self) -> None:
        """Wake the thread only if it does nothing: otherwise it looks by itself."""
        with self._changed:
            self._events += 1
            if self._parked or not self._open:
                self._changed.notify_all()

    def _quiet(self, events: int, seconds: float | None) -> bool:
        with self._changed:
            if self._events == events and self._open:
                self._parked = seconds is None
                self._changed.wait(seconds)
                self._parked = False
            return self._events == events and self._open

    def _ready(self) -> bool:
        return waits.earliest() is not None and not TRAFFIC.unanswered

    def _patience(self) -> None:
        waits.nudge()

    def _watched(self) -> Pulse:
        return Pulse([os.getpid()], but=threading.get_native_id())

    def _move(self, events: int) -> None:
        with self._moving:
            if self._events == events and self._ready() and waits.idle():
                try:
                    self._check()
                    self._move_on()
                except BaseException as stopped:  # noqa: BLE001 - it is for the program
                    waits.fail(stopped)

    def _move_on(self) -> None:
        seconds = max(0.0, waits.earliest() or 0.0)
        self._seconds += seconds
        self._moves += 1
        self._clocks[-1].advance(seconds)

    def _clock_moved(self, clock: VirtualClock, seconds: float) -> None:
        """Move the time of this process, and the other clocks with it, whoever has moved one of them."""
        with self._moving:
            if self._moved_along:
                return
            self._moved_along = True
            try:
                for other in self._watches:
                    if other is not clock:
                        other.advance(seconds)
            finally:
                self._moved_along = False
                waits.move(seconds)
        self._happened()

    # The limits

    def _count_request(self) -> None:
        self._requests += 1
        if not waits.in_machinery():  # a server has to go on: there, the program is stopped where it waits
            self._check()

    def _check(self) -> None:
        if self._seconds > _MOST_HOURS * 3600 and self._moves > _MANY:
            raise NeverEnds(
                f"stopped after {_MOST_HOURS:,.0f} hours of virtual time and {self._moves:,} waits: "
                "a loop in this program never ends"
            )
        if self._requests > _MOST_REQUESTS:
            raise NeverEnds(
                f"stopped after {_MOST_REQUESTS:,} requests on virtual time: a loop in this program never ends"
            )


_ENGINE = _Engine()
