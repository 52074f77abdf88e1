"""Descriptors: event loops, and reads of sockets that lead to the fake, wait for data until they are due on the clocks."""

from __future__ import annotations

import _thread
import contextlib
import math
import os
import select
import sys

from fake_server.preload.callers import package, stays_real
from fake_server.preload.registry import LONGEST, Wait, is_still, now
from fake_server.preload.replacing import REPLACEMENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["patch_selectors", "patch_socket_reads", "patch_ssl_reads", "patch_trio", "real_poll"]

_local: Any = _thread._local()
real_poll: Any = getattr(select, "poll", None)  # gevent replaces it, and Windows has none


class _Polling(Wait):
    """Waits until a descriptor is readable: that of an event loop's selector. `sockets`: it watches more than itself."""

    def __init__(self, seconds: float | None, fd: int, sockets: bool) -> None:
        if seconds is not None:
            # Selectors round up to milliseconds. By then some time has passed since the program asked for, say, 10 seconds:
            # a clock that stands still meanwhile would be moved by 9.99.
            parts = 20 if is_still() and seconds > 1 else 1000
            seconds = math.ceil(seconds * parts) / parts
        super().__init__(seconds)
        self._fd = fd
        self.sockets = sockets
        pipe = getattr(_local, "pipe", None)
        if pipe is None or pipe.process != os.getpid():
            pipe = _local.pipe = _Pipe()
        self._pipe: _Pipe = pipe
        self._woken = False

    def is_ready(self) -> bool:
        return _readable(self._fd)

    def wake(self) -> None:
        self._woken = True
        self._pipe.write()

    def _pause(self, left: float | None) -> None:
        poll = real_poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._pipe.reader, select.POLLIN)
        poll.poll(None if left is None else math.ceil(min(left, LONGEST) * 1000))
        if _readable(self._fd):
            self.over()

    def _unregister(self) -> None:
        super()._unregister()
        if self._woken:
            self._pipe.drain()


class _Pipe:
    """Wakes a thread that polls."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)

    def write(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._writer, b"x")

    def drain(self) -> None:
        with contextlib.suppress(OSError):
            os.read(self.reader, 4096)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.reader)
        close(self._writer)


def _readable(fd: int) -> bool:
    poll = real_poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def patch_selectors(selectors: Any) -> None:
    for name in ("EpollSelector", "KqueueSelector"):
        if hasattr(selectors, name):
            _patch_selector(getattr(selectors, name))


def _patch_selector(selector: Any) -> None:
    real = selector.select

    def select(self: Any, timeout: float | None = None) -> Any:
        if (timeout is not None and timeout <= 0) or stays_real():
            return real(self, timeout)
        ready = real(self, 0)
        if not ready:
            own = package(sys._getframe(1)) == "asyncio"  # a loop of asyncio watches a socket of its own, to be woken
            _Polling(timeout, self.fileno(), len(self.get_map()) > own).block()
            ready = real(self, 0)
        return ready

    REPLACEMENTS.method(selector, "select", select)


def patch_trio(module: Any) -> None:
    kind = module.EpollIOManager if hasattr(module, "EpollIOManager") else module.KqueueIOManager
    real = kind.get_events

    def get_events(self: Any, timeout: float) -> Any:
        if timeout <= 0 or stays_real():
            return real(self, timeout)
        ready = real(self, 0)
        if not ready:
            fd = (self._epoll if hasattr(self, "_epoll") else self._kqueue).fileno()
            _Polling(timeout if timeout < math.inf else None, fd, bool(self._registered)).block()
            ready = real(self, 0)
        return ready

    REPLACEMENTS.method(kind, "get_events", get_events)


def patch_socket_reads(module: Any, leads: Callable[[Any], bool]) -> None:
    """Let a read that has a timeout be due on the clock, on connections to the fake alone: what others answer takes real time."""

    def patched(real: Any) -> Any:
        def read(self: Any, *arguments: Any, **named: Any) -> Any:
            timeout = self.gettimeout()
            follows = (
                timeout and self.fileno() >= 0 and leads(self) and not _readable(self.fileno()) and not stays_real()
            )
            if follows and not _comes(self, now() + timeout):
                raise module.timeout("timed out")
            return real(self, *arguments, **named)

        return read

    for name in ("recv", "recv_into"):
        REPLACEMENTS.method(module.socket, name, patched(getattr(module.socket, name)))


def patch_ssl_reads(module: Any, leads: Callable[[Any], bool]) -> None:
    real = module.SSLSocket.read

    def read(self: Any, *arguments: Any, **named: Any) -> Any:
        timeout = self.gettimeout()
        if not timeout or self.fileno() < 0 or not leads(self) or stays_real():
            return real(self, *arguments, **named)
        due = now() + timeout
        while True:
            # What has come may be no data of the program's, but tickets: then a blocking read would go on to wait.
            self.settimeout(0)
            try:
                return real(self, *arguments, **named)
            except module.SSLWantReadError:
                pass
            finally:
                with contextlib.suppress(OSError):  # closed meanwhile
                    self.settimeout(timeout)
            if not _comes(self, due):
                raise sys.modules["socket"].timeout("The read operation timed out")

    REPLACEMENTS.method(module.SSLSocket, "read", read)


def _comes(connection: Any, due: float) -> bool:
    """Wait for data until some time of the clock. Return whether any has come."""
    left = due - now()
    if left > 0:
        _Polling(left, connection.fileno(), True).block()
    return _readable(connection.fileno())
