"""Timers: those of uvloop, and the sleep of gevent's greenlets, are due on the clocks, although no thread waits for them."""

from __future__ import annotations

import contextlib

from fake_server.preload.callers import stays_real
from fake_server.preload.registry import Wait, offset
from fake_server.preload.replacing import REPLACEMENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["patch_gevent", "patch_uvloop"]


def _never() -> bool:
    return False


class _Alarm(Wait):
    """Waits without a thread: `ring` is called, in whatever thread, when it is due."""

    has_thread = False

    def __init__(self, seconds: float, ring: Callable[[], object]) -> None:
        super().__init__(seconds, _never)
        self._ring = ring

    def wake(self) -> None:
        if not self.is_registered():
            self._ring()

    def silence(self) -> None:
        """Wait no more."""
        self._unregister()


def patch_uvloop(uvloop: Any) -> None:
    """Patch the timers and the clock of a loop that waits in C. Where nothing moves, its own timers ring."""
    import asyncio

    real_later, real_time = uvloop.Loop.call_later, uvloop.Loop.time

    class Timer(asyncio.TimerHandle):
        def __init__(self, loop: Any, seconds: float, callback: Any, args: Any, context: Any) -> None:
            super().__init__(loop.time() + seconds, callback, args, loop, context)
            self._owner = loop
            self._alarm = _Alarm(seconds, self._ring)
            self._timer = real_later(loop, seconds, self._fire)
            self._alarm.register()

        def _ring(self) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._owner.call_soon_threadsafe(self._fire)

        def _fire(self) -> None:
            if not self.cancelled() and self._stopped():
                self._run()

        def _stopped(self) -> bool:
            """Stop this timer; return whether it was not stopped before."""
            timer, self._timer = self._timer, None
            if timer is None:
                return False
            timer.cancel()
            self._alarm.silence()
            return True

        def cancel(self) -> None:
            self._stopped()
            asyncio.Handle.cancel(self)

    def call_later(self: Any, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        if not delay > 0 or stays_real():
            return real_later(self, delay, callback, *args, context=context)
        return Timer(self, delay, callback, args, context)

    def call_at(self: Any, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def read(self: Any) -> float:
        return float(real_time(self)) + (0.0 if not offset() or stays_real() else offset())

    REPLACEMENTS.method(uvloop.Loop, "call_later", call_later)
    REPLACEMENTS.method(uvloop.Loop, "call_at", call_at)
    REPLACEMENTS.method(uvloop.Loop, "time", read)


def patch_gevent(hub: Any) -> None:
    """Patch the sleep of greenlets, which is `time.sleep` after gevent has patched that."""
    real = hub.sleep

    def sleep(seconds: float = 0, ref: bool = True) -> None:
        if not seconds > 0 or not ref or stays_real():
            real(seconds, ref)
            return
        loop = hub.get_hub().loop
        woken, timer = loop.async_(), loop.timer(seconds)
        alarm = _Alarm(float(seconds), woken.send)
        timer.start(woken.send)  # where nothing moves
        alarm.register()
        try:
            hub.get_hub().wait(woken)
        finally:
            alarm.silence()
            for watcher in (timer, woken):
                watcher.stop()
                watcher.close()

    REPLACEMENTS.stand_in(real, sleep)
