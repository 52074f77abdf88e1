"""Claims about the one loop that repeats attempts, whatever they are."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract.client.calls import run
from kling_contract.client.retry import NoTimeToRetry, Retries, Retryable, retrying
from kling_contract.clock import VirtualClock
from kling_contract.errors import KlingError


@dataclass
class Attempts:
    """Fails once for each of the `asked` pauses, then returns its number. Notes the time of each attempt."""

    asked: list[float | None]
    clock: VirtualClock = field(default_factory=VirtualClock)
    times: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    async def __call__(self) -> int:
        self.times.append(self.clock.now())
        number = len(self.times)
        if number <= len(self.asked):
            raise Retryable(KlingError(f"failure {number}"), asked=self.asked[number - 1])
        return number


pauses = st.lists(st.none() | st.floats(0, 200), max_size=8)


@given(pauses, st.integers(0, 8), st.floats(0, 500) | st.just(math.inf))
def test_attempts_are_bounded_by_number_pause_and_deadline(
    asked: list[float | None], limit: int, seconds: float
) -> None:
    """There is one attempt more than failures if limit, longest pause and deadline allow, none sooner than asked or too late."""
    attempts, retries = Attempts(asked), Retries(limit)
    begin = attempts.clock.now()
    deadline = begin + seconds
    result: int | Exception
    try:
        result = run(retrying(attempts, retries, attempts, deadline=deadline))
    except (KlingError, NoTimeToRetry) as error:
        result = error
    last = len(attempts.times)
    if isinstance(result, KlingError):
        assert str(result) == f"failure {last}"
        assert last == limit + 1 or (asked[last - 1] or 0) > retries.max_retry_after
    elif isinstance(result, NoTimeToRetry):
        assert str(result.error) == f"failure {last}"
        assert attempts.clock.now() + max(2.0 ** (last - 1), asked[last - 1] or 0) > deadline
    else:
        assert result == last == len(asked) + 1
    assert len(attempts.times) <= limit + 1
    assert all(time <= deadline for time in attempts.times)
    for before, after, wanted in zip(attempts.times, attempts.times[1:], asked, strict=False):
        assert after - before >= (wanted or 0) - 1e-6


@pytest.mark.parametrize("error", [KlingError("no"), ValueError("no")])
def test_what_is_not_retryable_is_raised_at_once(error: Exception) -> None:
    """Any other exception ends the loop at the first attempt, and is raised as it is."""
    clock = Attempts([])

    async def attempt() -> None:
        clock.times.append(0)
        raise error

    with pytest.raises(type(error)) as raised:
        run(retrying(attempt, Retries(5), clock))
    assert raised.value is error
    assert len(clock.times) == 1


def test_each_pause_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A line at INFO says why an attempt failed and when the next is made."""
    with caplog.at_level(logging.INFO, "kling_contract"):
        run(retrying(attempts := Attempts([None, 7]), Retries(5), attempts))
    assert [record.message for record in caplog.records] == [
        "failure 1; trying again in 1 s",
        "failure 2; trying again in 7 s",
    ]
