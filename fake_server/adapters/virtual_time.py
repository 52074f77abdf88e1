"""How does code that waits by itself wait on a virtual clock? `time` and `asyncio.sleep` follow one for a while."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from kling_contract.clock import VirtualClock

__all__ = ["on_virtual_time"]

_Clock = TypeVar("_Clock", bound=VirtualClock)
_TELLING = ("time", "monotonic", "perf_counter")


@contextlib.contextmanager
def on_virtual_time(clock: _Clock) -> Iterator[_Clock]:
    """Let this process wait on `clock`, a clock without a rate, while the context lasts.

    `time.sleep` and `asyncio.sleep` are jumps of the clock, and `time.time`, `time.monotonic` and `time.perf_counter` go
    on with it, so that deadlines come when they should, those of asyncio as well. Time goes on by itself, too: nothing hangs.

    What is replaced are these names in their modules. Out of reach are therefore code that has taken such a function before
    (`from time import sleep`), `datetime.now`, and waits on locks, events, queues and sockets: they go by the real time.
    Tasks that sleep at the same time each move the clock, one after the other. Raise ValueError for any other clock.
    """
    if getattr(clock, "rate", 1.0):
        raise ValueError(f"only a VirtualClock that has no rate of its own can stand for the time, not {clock!r}")
    began = clock.now()
    asleep = asyncio.sleep

    def ahead(told: Callable[[], float]) -> Callable[[], float]:
        return lambda: told() + clock.now() - began

    async def jump(delay: float, result: Any = None) -> Any:
        clock.sleep(delay)
        return await asleep(0, result)

    with contextlib.ExitStack() as stack:
        for name in _TELLING:
            _replace(stack, time, name, ahead(getattr(time, name)))
        _replace(stack, time, "sleep", clock.sleep)
        _replace(stack, asyncio, "sleep", jump)
        yield clock


def _replace(stack: contextlib.ExitStack, module: Any, name: str, function: Any) -> None:
    stack.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, function)
