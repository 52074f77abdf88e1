"""Retries: which responses are worth another attempt, after which pause, and the one loop that makes them."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

from kling_contract.clock import Clock
from kling_contract.errors import KlingError

__all__ = [
    "RETRYABLE",
    "SAFE_TO_REPEAT_POST",
    "NoTimeToRetry",
    "Retries",
    "Retryable",
    "retry_after",
    "retrying",
]

T = TypeVar("T")

SAFE_TO_REPEAT_POST = frozenset({429})
"""Statuses which say that nothing was done, so that even a create, which is billed, may be repeated."""

RETRYABLE = SAFE_TO_REPEAT_POST | {502, 503, 504, 524}
"""Statuses after which a GET is repeated: too many requests, and failures of what stands in front of the service.

524 is the 504 of its content network (a public client saw it in 2026-04). 500 is left out: it may be permanent.
"""

_log = logging.getLogger("kling_contract")


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is repeated, and after which pauses: 1, 2, 4 … seconds, or what the service asks for.

    Nothing in it is random, so that a run can be repeated exactly. Seconds above `max_retry_after` are not waited.
    """

    limit: int
    max_pause: float = 30.0
    max_retry_after: float = 120.0

    def pause(self, repeats: int, asked: float | None) -> float | None:
        """Return the seconds to wait after `repeats` repeats, when the service has `asked` for some (None: it has not).

        None means: give up, either because there were enough repeats, or because the service asks for more than
        `max_retry_after` seconds, which the caller should decide on.
        """
        if repeats >= self.limit or (asked or 0.0) > self.max_retry_after:
            return None
        return max(min(2.0**repeats, self.max_pause), asked or 0.0)


class Retryable(Exception):
    """An attempt failed, and another may succeed. `error` is what to raise if there is none."""

    def __init__(self, error: KlingError, *, asked: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.asked = asked  # seconds that the service asks to wait


class NoTimeToRetry(Exception):
    """The next attempt would come after the deadline. `error` is how the last one failed."""

    def __init__(self, error: KlingError) -> None:
        super().__init__(str(error))
        self.error = error


class Waiting(Protocol):
    """What waits on a clock, at once or by suspending."""

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait on the clock."""


async def retrying(
    attempt: Callable[[], Awaitable[T]], retries: Retries, waiting: Waiting, *, deadline: float = math.inf
) -> T:
    """Return the result of `attempt`, which is called again, after a pause, when it raises Retryable.

    Raise the `error` of the last Retryable when there are no more attempts, NoTimeToRetry when the next one would
    come after `deadline`, a time on the clock of `waiting`, and anything else that `attempt` raises at once.
    """
    repeats = 0
    while True:
        try:
            return await attempt()
        except Retryable as failed:
            error, asked = failed.error, failed.asked
        pause = retries.pause(repeats, asked)
        if pause is None:
            raise error
        if waiting.clock.now() + pause > deadline:
            raise NoTimeToRetry(error)
        _log.info("%s; trying again in %g s", error, pause)
        await waiting.sleep(pause)
        repeats += 1


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that the Retry-After header `value` asks to wait at the time `now`; None if it asks for nothing."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
        return max(0.0, seconds)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
