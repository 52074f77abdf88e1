"""Claims about time."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract import Clock, SystemClock, VirtualClock
from kling_contract.clock import CALENDAR_END, utc

seconds = st.floats(min_value=0, max_value=1e9)


@given(st.lists(seconds, max_size=20))
def test_jumps_add_up(jumps: list[float]) -> None:
    """A virtual clock is at its start plus every jump, however it was made, and nobody waited."""
    clock = VirtualClock(0)
    for i, jump in enumerate(jumps):
        if i % 3 == 0:
            clock.advance(jump)
        elif i % 3 == 1:
            clock.sleep(jump)
        else:
            asyncio.run(clock.asleep(jump))
    assert math.isclose(clock.now(), sum(jumps), abs_tol=1e-3)


@given(st.floats(max_value=0, exclude_max=True) | st.sampled_from([math.nan, math.inf]))
def test_time_never_goes_back(jump: float) -> None:
    """A jump that is negative, endless, or no number, is refused and moves nothing."""
    clock = VirtualClock(100)
    with pytest.raises(ValueError, match="advances by 0 seconds or more"):
        clock.advance(jump)
    assert clock.now() == 100


def test_a_rate_follows_the_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rate of 60, each real second is a virtual minute, besides what is jumped."""
    real = iter([10.0, 11.0, 12.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(real))
    clock = VirtualClock(0, rate=60)
    assert clock.now() == 60
    clock.advance(5)
    assert clock.now() == 125


def test_a_negative_rate_is_refused() -> None:
    """A clock that would run backwards cannot be made."""
    with pytest.raises(ValueError, match="does not go back"):
        VirtualClock(rate=-1)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_time_is_refused(number: float) -> None:
    """Neither a rate nor a start can be infinite, or no number."""
    with pytest.raises(ValueError, match="rate must be a finite number"):
        VirtualClock(rate=number)
    with pytest.raises(ValueError, match="start must be a finite number"):
        VirtualClock(number)


@given(st.floats())
def test_every_time_has_a_date(seconds: float) -> None:
    """A time in the calendar has its date, and any other the nearest; NaN is after everything."""
    told = utc(seconds)
    if seconds >= CALENDAR_END or math.isnan(seconds):
        assert told == datetime.max.replace(tzinfo=UTC)
    elif abs(seconds) < 6e10:
        assert told == datetime.fromtimestamp(seconds, UTC)
    elif seconds < -6.3e10:
        assert told == datetime.min.replace(tzinfo=UTC)


def test_the_system_clock_tells_and_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system clock agrees with time.time, and sleeps through time.sleep and anyio.sleep alone."""
    slept: list[float] = []

    async def asleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(anyio, "sleep", asleep)
    clock: Clock = SystemClock()
    assert abs(clock.now() - time.time()) < 60
    clock.sleep(3)
    asyncio.run(clock.asleep(4))
    assert slept == [3, 4]
    assert repr(clock) == "SystemClock()"


def test_a_virtual_clock_says_where_it_is() -> None:
    """The repr of a virtual clock tells its time and rate."""
    assert repr(VirtualClock(5)) == "VirtualClock(5.0, rate=0.0)"
