"""The registry: who waits until when in this process. Its clocks can be moved, and whoever is due then wakes."""

from __future__ import annotations

import _thread
import contextlib
import heapq
import itertools
import os
import sys
import time

from fake_server.preload.callers import is_aside
from fake_server.preload.replacing import REPLACEMENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "EARLY",
    "LONGEST",
    "REAL_WAITS",
    "Wait",
    "begin",
    "earliest",
    "end",
    "everybody_waits",
    "fail",
    "idle",
    "is_still",
    "move",
    "now",
    "nudge",
    "offset",
]

EARLY = 1e-6  # seconds: what rounding may lose
LONGEST = 86400.0 * 20  # seconds for which one system call can wait

_monotonic = time.monotonic
_lock: Any = _thread.RLock()  # reentrant: a signal handler may wait, too
_numbers = itertools.count()
_waits: dict[int, Wait] = {}
_woken: set[Wait] = set()  # what is over, although its thread has yet to go on
_queue: list[tuple[float, int]] = []
_failures: list[BaseException] = []  # what nobody waited for when it was to be raised
_listeners: list[Any] = []
_still: list[Any] = []
_offset = 0.0

REAL_WAITS: list[Callable[[Any], bool]] = []
"""Each says of the topmost frame of a thread whether that waits, although it is not registered."""


def begin(listener: Any, *, still: bool = False) -> None:
    """Patch this process, and tell `listener` of each wait: `began()` in the thread that waits, `ended()`, `forked()`.

    `still`: the time that passes by itself does not count for the order in which the waits are due.
    """
    global _still
    with _lock:
        _listeners.append(listener)
        if still:
            _still = [*_still, listener]
        _requeue()
        if len(_listeners) == 1:
            REPLACEMENTS.apply()


def end(listener: Any) -> None:
    """Tell `listener` no more. After the last one everything is as it was before the first, and the time is the real one."""
    global _offset, _still
    with _lock:
        _listeners.remove(listener)
        _still = [one for one in _still if one is not listener]
        _requeue()
        if not _listeners:
            REPLACEMENTS.undo()
            for wait in _waits.values():
                if wait.due is not None:
                    wait.due -= _offset
            _offset = 0.0
            del _failures[:]
            nudge()


def offset() -> float:
    """Return by how many seconds the clocks of this process are ahead of the real time."""
    return _offset


def is_still() -> bool:
    """Return whether the time that passes by itself does not count."""
    return bool(_still)


def earliest() -> float | None:
    """Return in how many seconds the earliest wait is due, or None if nothing waits for a time."""
    with _lock:
        while _queue and _queue[0][1] not in _waits:
            heapq.heappop(_queue)
        return _queue[0][0] - now() if _queue else None


def move(seconds: float) -> None:
    """Set the clocks of this process forward, and wake whoever is due, in the order of the time. 0: only wake them."""
    global _offset
    with _lock:
        _offset += seconds
        present = now() + EARLY
        while _queue and _queue[0][0] <= present:
            wait = _waits.get(heapq.heappop(_queue)[1])
            if wait is not None:
                wait.over()


def fail(error: BaseException) -> None:
    """Raise an exception where the earliest wait is, or else where the next one begins."""
    with _lock:
        if earliest() is None:
            _failures.append(error)
        else:
            wait = _waits[_queue[0][1]]
            wait.error = error
            wait.over()


def nudge() -> None:
    """Let everyone who waits look again how long that is: after the clocks were set."""
    with _lock:
        for wait in _waits.values():
            wait.wake()


def idle() -> bool:
    """Return whether whoever was woken has gone on, and nothing has come for an event loop that waits."""
    with _lock:
        waits = list(_waits.values())
    return not _woken and not any(wait.is_ready() for wait in waits)


def everybody_waits() -> bool:
    """Return whether every thread of this process is known to wait here, and for nothing that comes from outside.

    False says that it is not known: a thread may run, wait for a socket, or for a lock.
    """
    threading = sys.modules.get("threading")
    if threading is not None and threading._limbo:  # threads that are starting
        return False
    with _lock:
        waits = list(_waits.values())
    waiting = {wait.thread for wait in waits if wait.goes_on()}
    for thread, frame in sys._current_frames().items():
        if (
            thread not in waiting
            and not is_aside(frame)
            and not any(waits_really(frame) for waits_really in REAL_WAITS)
        ):
            return False
    return not any(wait.sockets or wait.is_ready() for wait in waits)


def now() -> float:
    """Return the present on the scale by which the waits are due: the time of the clocks, or that of a still one."""
    return _offset if _still else _monotonic() + _offset


def _requeue() -> None:
    ahead = _monotonic() if _still else 0.0
    _queue[:] = [(wait.due - ahead, number) for number, wait in _waits.items() if wait.due is not None]
    heapq.heapify(_queue)


def _tell(what: str) -> None:
    for listener in _listeners:
        getattr(listener, what)()


def _always() -> bool:
    return True


class Wait:
    """One thread that waits, for some seconds or (None) until it is released."""

    sockets = False
    has_thread = True

    def __init__(self, seconds: float | None, goes_on: Callable[[], bool] = _always) -> None:
        self.seconds = seconds
        self.due: float | None = None
        self.goes_on = goes_on
        self.thread = _thread.get_ident()
        self.number = -1
        self.released = False
        self.error: BaseException | None = None
        self._gate = _thread.allocate_lock()
        self._gate.acquire()

    def block(self) -> bool:
        """Wait. Return whether it was released before it was due."""
        self.register()
        try:
            while self.is_registered():
                left = None if self.due is None else self.due - _monotonic() - _offset
                if left is not None and left <= 0:
                    break
                self._pause(left)
        finally:
            self._unregister()
        if self.error is not None:
            raise self.error
        return self.released

    def register(self) -> None:
        with _lock:
            if _failures and self.has_thread:
                raise _failures.pop()
            self.number = next(_numbers)
            _waits[self.number] = self
            if self.seconds is not None:
                real = _monotonic()
                self.due = real + _offset + self.seconds
                heapq.heappush(_queue, (self.due - real if _still else self.due, self.number))
        try:
            _tell("began")
        except BaseException:
            self._unregister()
            raise

    def is_registered(self) -> bool:
        """Return whether it waits."""
        return self.number in _waits

    def _unregister(self) -> None:
        with _lock:
            waited = _waits.pop(self.number, None)
            _woken.discard(self)
        if waited is not None:
            _tell("ended")

    def over(self) -> None:
        """Let the thread go on: what it waited for has come."""
        with _lock:
            if _waits.pop(self.number, None) is not None:
                if self.has_thread:
                    _woken.add(self)
                self.wake()

    def release(self) -> None:
        """Do what notify does with the lock that a thread waits for."""
        self.released = True
        self.over()
        _tell("ended")

    def is_ready(self) -> bool:
        """Return whether what it waits for has come, although it has not noticed yet."""
        return False

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # woken twice
            self._gate.release()

    def _pause(self, left: float | None) -> None:
        self._gate.acquire(True, -1 if left is None else min(left, LONGEST))


def _forked() -> None:
    global _lock
    _lock = _thread.RLock()
    _waits.clear()
    _woken.clear()
    del _queue[:]
    _tell("forked")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
