"""Claims about code that waits by itself while it is put on a virtual clock."""

from __future__ import annotations

import asyncio
import copyreg
import datetime
import selectors
import threading
import time
from time import sleep as imported_sleep
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.adapters.virtual_time import on_virtual_time
from kling_contract import SystemClock, VirtualClock

LONG = 1_000_000.0  # seconds that no test can really wait for


def test_waits_are_jumps_and_deadlines_come() -> None:
    """time.sleep takes no time, yet every way of telling the time has seen it pass."""
    clock = VirtualClock()
    with on_virtual_time(clock):
        before = time.time(), time.monotonic(), time.perf_counter(), SystemClock().now(), clock.now()
        time.sleep(LONG)
        after = time.time(), time.monotonic(), time.perf_counter(), SystemClock().now(), clock.now()
    assert all(LONG <= late - early < LONG + 1000 for early, late in zip(before, after, strict=True))


@given(st.lists(st.floats(0, 1e6), max_size=5))
def test_time_never_goes_back(waits: list[float]) -> None:
    """Whatever is waited for, no way of telling the time goes back, and the clock has moved by the sum."""
    clock = VirtualClock()
    began = clock.now()
    told = []
    with on_virtual_time(clock):
        for seconds in waits:
            time.sleep(seconds)
            told.append((time.time(), time.monotonic(), time.perf_counter()))
    assert clock.now() - began == pytest.approx(sum(waits), abs=1e-3)
    for each in zip(*told, strict=True):
        assert list(each) == sorted(each)


def test_coroutines_wait_as_well() -> None:
    """asyncio.sleep takes no time and gives its result; others run meanwhile; asyncio's own timeouts come."""
    seen = []

    async def other() -> None:
        seen.append("other")

    async def poll() -> None:
        while True:  # noqa: ASYNC110 - what programs do
            await asyncio.sleep(10)

    async def main() -> str:
        task = asyncio.ensure_future(other())
        seen.append(await asyncio.sleep(LONG, "slept"))
        await task
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(poll(), 60)
        return "done"

    clock = VirtualClock()
    began = clock.now()
    with on_virtual_time(clock):
        assert asyncio.run(main()) == "done"
    assert sorted(seen) == ["other", "slept"]
    assert LONG + 60 <= clock.now() - began <= LONG + 100


def test_everything_is_put_back() -> None:
    """Once the last context has ended, in whatever order and by an exception too, each function and class is the original."""

    def now() -> list[object]:
        return [
            time.time,
            time.monotonic_ns,
            time.sleep,
            datetime.datetime,
            datetime.date,
            imported_sleep,
            threading.Condition.wait,
            threading.Thread.join,
            selectors.DefaultSelector.select,
        ]

    before = now()
    first, second = on_virtual_time(VirtualClock()), on_virtual_time(VirtualClock())
    first.__enter__()
    second.__enter__()
    inside = now()
    first.__exit__(None, None, None)
    assert now() == inside
    assert [one is other for one, other in zip(inside, before, strict=True)] == [False] * len(before)
    second.__exit__(KeyError, KeyError(), None)
    assert all(one is other for one, other in zip(now(), before, strict=True))
    assert copyreg.dispatch_table.keys().isdisjoint({datetime.datetime, datetime.date})


@pytest.mark.parametrize("clock", [SystemClock(), VirtualClock(rate=1)])
def test_a_clock_that_runs_by_itself_is_refused(clock: Any) -> None:
    """A clock that goes with the real time cannot stand for it: its waits would be waits for itself."""
    with pytest.raises(ValueError, match="VirtualClock"), on_virtual_time(clock):
        pytest.fail("it began")
