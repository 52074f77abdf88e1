"""Threads: their sleeps, and their waits for conditions and for one another, are due on the clocks."""

from __future__ import annotations

import contextlib
import time

from fake_server.preload.callers import stays_real
from fake_server.preload.clocks import resembling
from fake_server.preload.registry import REAL_WAITS, Wait
from fake_server.preload.replacing import REPLACEMENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["patch_threading"]

_POLL = 0.02  # seconds between two looks at what cannot be woken
_real_waits: set[Any] = set()  # the code of Condition.wait
_real_sleep = time.sleep


def _sleep(seconds: float, /) -> None:
    if not seconds > 0 or stays_real():
        _real_sleep(seconds)
    else:
        Wait(float(seconds)).block()


resembling(_sleep, _real_sleep)
REPLACEMENTS.stand_in(_real_sleep, _sleep)


class _Joining(Wait):
    """Waits until a thread has ended."""

    def __init__(self, seconds: float | None, thread: Any, join: Callable[..., None]) -> None:
        super().__init__(seconds, thread.is_alive)
        self._join = join
        self._joined = thread

    def _pause(self, left: float | None) -> None:
        self._join(self._joined, None if left is None else min(left, _POLL))
        if not self._joined.is_alive():
            self.over()


def patch_threading(threading: Any) -> None:
    condition, thread = threading.Condition, threading.Thread
    real_wait, real_join = condition.wait, thread.join
    _real_waits.add(real_wait.__code__)

    def wait(self: Any, timeout: float | None = None) -> Any:
        if (timeout is not None and timeout <= 0) or stays_real():
            return real_wait(self, timeout)
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        waiter = Wait(timeout)
        self._waiters.append(waiter)
        state = self._release_save()
        notified = False
        try:
            notified = waiter.block()
        finally:
            self._acquire_restore(state)
            if not notified:
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)
        return notified

    def join(self: Any, timeout: float | None = None) -> None:
        waits = self._started.is_set() and self is not threading.current_thread() and self.is_alive()
        if not waits or (timeout is not None and timeout <= 0) or stays_real():
            real_join(self, timeout)
        else:
            _Joining(timeout, self, real_join).block()

    REPLACEMENTS.method(condition, "wait", wait)
    REPLACEMENTS.method(thread, "join", join)


def _waits_really(frame: Any) -> bool:
    """Return whether a thread waits in Condition.wait since before it was patched, and was not notified yet."""
    if frame.f_code not in _real_waits:
        return False
    found = frame.f_locals
    return "waiter" in found and found["waiter"] in found["self"]._waiters


REAL_WAITS.append(_waits_really)
