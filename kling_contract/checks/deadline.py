"""The time limit of a check, and a clock that keeps to it."""

from __future__ import annotations

from kling_contract.clock import Clock, SystemClock

__all__ = ["LONGEST", "BoundedClock", "Deadline", "DeadlineExceeded"]


LONGEST = 7 * 86_400.0
"""The longest time limit, in seconds."""


class DeadlineExceeded(Exception):
    """The time limit of the whole check is over."""


class Deadline:
    """The time limit of a check, in real seconds. Raise ValueError unless it is more than 0 and at most LONGEST."""

    def __init__(self, seconds: float, clock: Clock | None = None) -> None:
        if not 0 < seconds <= LONGEST:
            raise ValueError(f"the time limit must be more than 0 and at most {LONGEST:g} seconds, not {seconds:g}")
        self._clock = clock or SystemClock()
        self._end = self._clock.now() + seconds

    def remaining(self) -> float:
        """Return the seconds left. Raise DeadlineExceeded if there are none."""
        left = self._end - self._clock.now()
        if left <= 0:
            raise DeadlineExceeded
        return left


class BoundedClock(SystemClock):
    """The real time, for a server that has no other. It never waits longer than `longest` at once, nor past the deadline."""

    def __init__(self, deadline: Deadline, *, longest: float) -> None:
        super().__init__()
        self._deadline = deadline
        self._longest = longest

    def without_waiting(self) -> BoundedClock:
        """Return a copy whose `sleep` does not wait."""
        return BoundedClock(self._deadline, longest=0.0)

    def sleep(self, seconds: float) -> None:
        pause = min(seconds, self._longest)
        if pause >= self._deadline.remaining():
            raise DeadlineExceeded
        super().sleep(pause)
