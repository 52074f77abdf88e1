"""Virtual time for code that waits by itself: `time` and `asyncio.sleep` follow a virtual clock for a while."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from kling_contract.clock import VirtualClock

__all__ = ["on_virtual_time"]

_Clock = TypeVar("_Clock", bound=VirtualClock)
_READERS = ("time", "monotonic", "perf_counter")


@contextlib.contextmanager
def on_virtual_time(clock: _Clock) -> Iterator[_Clock]:
    """Let the whole process wait on `clock`, a VirtualClock without a rate, while the context lasts.

    `time.sleep` and `asyncio.sleep` are jumps of the clock, and `time.time`, `time.monotonic` and `time.perf_counter` move
    on with it, so that deadlines pass when they should, also those of asyncio. Real time passes as well, so nothing hangs.

    These names are replaced in their modules. Real time therefore still counts for code that has imported such a function
    by name before (`from time import sleep`), for `datetime.now`, and for waits on locks, events, queues and sockets. Tasks
    that sleep at the same time each move the clock, one after the other. Raise ValueError for any other clock.
    """
    if getattr(clock, "rate", 1.0):
        raise ValueError(f"only a VirtualClock without a rate can replace the time of this process, not {clock!r}")
    began = clock.now()
    asleep = asyncio.sleep

    def ahead(read: Callable[[], float]) -> Callable[[], float]:
        return lambda: read() + clock.now() - began

    async def jump(delay: float, result: Any = None) -> Any:
        clock.sleep(delay)
        return await asleep(0, result)

    with contextlib.ExitStack() as stack:
        for name in _READERS:
            _replace(stack, time, name, ahead(getattr(time, name)))
        _replace(stack, time, "sleep", clock.sleep)
        _replace(stack, asyncio, "sleep", jump)
        yield clock


def _replace(stack: contextlib.ExitStack, module: Any, name: str, function: Any) -> None:
    stack.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, function)
