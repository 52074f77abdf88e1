"""When is a request sent again, and after which pause?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["PASSING", "REFUSED_FOR_NOW", "Retries", "retry_after"]

REFUSED_FOR_NOW = frozenset({429})
"""Answers that say that nothing was done, and that it may be asked again: the create too."""

PASSING = REFUSED_FOR_NOW | {502, 503, 504, 524}
"""Answers after which a free GET is repeated: too many requests, and failures of what fronts the service.

524 is how its content network says 504 (seen by a public client in 2026-04). A 500 is left out: it may stay.
"""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is repeated, and after which pauses: 1, 2, 4 … seconds, or those the service asks.

    There is no chance in them: a run can be repeated exactly.
    """

    most: int
    longest: float = 30.0
    patience: float = 120.0

    def pause(self, tried: int, asked: float | None) -> float | None:
        """Return the seconds to wait after `tried` repeats.

        None means: give up, either because it was tried often enough, or because the service asks for more
        than `patience` seconds, which the caller should decide on.
        """
        if tried >= self.most or (asked or 0.0) > self.patience:
            return None
        return max(min(2.0**tried, self.longest), asked or 0.0)


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks to wait at the time `now`; None if it is no such."""
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
