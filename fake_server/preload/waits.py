"""The waits of this process: who waits until when. Its clocks can be moved, and whoever is due then wakes.

While somebody listens (see `begin`), the usual ways to tell the time and to wait are patched, for the whole process: the
clocks show the real time and an offset, and a wait ends when it is due on them. Calls by the runtime's own machinery
(`MACHINERY`) stay real. The file is loaded into other programs before anything else, so it imports little, and no other
file of this project.
"""

from __future__ import annotations

import _thread
import contextlib
import heapq
import itertools
import json
import math
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # to import it takes longer than all the rest
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "MACHINERY",
    "begin",
    "earliest",
    "end",
    "everybody_waits",
    "fail",
    "follow",
    "idle",
    "in_machinery",
    "move",
    "nudge",
    "offset",
]

sys.modules.setdefault(
    "fake_server.preload.waits", sys.modules[__name__]
)  # one registry, whatever name it was loaded by

MACHINERY = frozenset(
    "_pytest coverage execnet fake_server hypothesis multiprocessing pluggy pytest_timeout subprocess uvicorn xdist".split()
)
"""Packages whose own waits, and whose threads, stay real."""

# Modules that wait on behalf of their callers: whether a wait is real is decided by who called these.
_PLUMBING = frozenset(["threading", "queue", "concurrent", "selectors", "contextlib"])
_OWN = globals()
_EARLY = 1e-6  # seconds: what rounding may lose
_LONGEST = 86400.0 * 20  # seconds for which one system call can wait
_POLL = 0.02  # seconds between two looks at what cannot be woken

_monotonic = time.monotonic
_real_poll: Any = getattr(select, "poll", None)  # gevent replaces it, and Windows has none
_lock: Any = _thread.RLock()  # reentrant: a signal handler may wait, too
_local: Any = _thread._local()
_numbers = itertools.count()
_waits: dict[int, _Wait] = {}
_queue: list[tuple[float, int]] = []
_listeners: list[Any] = []
_still: list[Any] = []
_offset = 0.0


def begin(listener: Any, *, still: bool = False) -> None:
    """Patch this process, and tell `listener` of each wait: `began()` in the thread that waits, `ended()`, `forked()`.

    `still`: the time that passes by itself does not count for the order in which the waits are due.
    """
    global _still
    with _lock:
        _listeners.append(listener)
        if still:
            _still = [*_still, listener]
        _requeue()
        if len(_listeners) == 1:
            _patches.apply()


def end(listener: Any) -> None:
    """Tell `listener` no more. After the last one everything is as it was before the first, and the time is the real one."""
    global _offset, _still
    with _lock:
        _listeners.remove(listener)
        _still = [one for one in _still if one is not listener]
        _requeue()
        if not _listeners:
            _patches.undo()
            for wait in _waits.values():
                if wait.due is not None:
                    wait.due -= _offset
            _offset = 0.0
            nudge()


def offset() -> float:
    """Return by how many seconds the clocks of this process are ahead of the real time."""
    return _offset


def earliest() -> float | None:
    """Return in how many seconds the earliest wait is due, or None if nothing waits for a time."""
    with _lock:
        while _queue and _queue[0][1] not in _waits:
            heapq.heappop(_queue)
        return _queue[0][0] - _scale() if _queue else None


def move(seconds: float) -> None:
    """Set the clocks of this process forward, and wake whoever is due, in the order of the time. 0: only wake them."""
    global _offset
    with _lock:
        _offset += seconds
        now = _scale() + _EARLY
        while _queue and _queue[0][0] <= now:
            wait = _waits.get(heapq.heappop(_queue)[1])
            if wait is not None:
                wait.over()


def fail(error: BaseException) -> None:
    """Raise an exception where the earliest wait is."""
    with _lock:
        if earliest() is not None:
            wait = _waits[_queue[0][1]]
            wait.error = error
            wait.over()


def nudge() -> None:
    """Let everyone who waits look again how long that is: after the clocks were set."""
    with _lock:
        for wait in _waits.values():
            wait.wake()


def idle() -> bool:
    """Return whether nothing has come for an event loop that waits."""
    with _lock:
        waits = list(_waits.values())
    return not any(wait.fd >= 0 and _readable(wait.fd) for wait in waits)


def everybody_waits() -> bool:
    """Return whether every thread of this process is known to wait here, and for nothing that comes from outside.

    False says that it is not known: a thread may run, wait for a socket, or for a lock.
    """
    threading = sys.modules.get("threading")
    if threading is not None and threading._limbo:  # threads that are starting
        return False
    with _lock:
        waits = list(_waits.values())
    waiting = {wait.thread for wait in waits if wait.goes_on()}
    for thread, frame in sys._current_frames().items():
        if thread not in waiting and not _aside(frame) and not _waits_really(frame):
            return False
    return not any(wait.fd >= 0 and (wait.sockets or _readable(wait.fd)) for wait in waits)


def in_machinery() -> bool:
    """Return whether this thread was started by the machinery."""
    try:
        return bool(_local.aside)
    except AttributeError:
        _local.aside = _aside(sys._getframe(1))
        return bool(_local.aside)


def _scale() -> float:
    return _offset if _still else _monotonic() + _offset


def _requeue() -> None:
    ahead = _monotonic() if _still else 0.0
    _queue[:] = [(wait.due - ahead, number) for number, wait in _waits.items() if wait.due is not None]
    heapq.heapify(_queue)


def _tell(what: str) -> None:
    for listener in _listeners:
        getattr(listener, what)()


def _always() -> bool:
    return True


def _never() -> bool:
    return False


class _Wait:
    """One thread that waits, for some seconds or (None) until it is released."""

    fd = -1
    sockets = False

    def __init__(self, seconds: float | None, goes_on: Callable[[], bool] = _always) -> None:
        self.seconds = seconds
        self.due: float | None = None
        self.goes_on = goes_on
        self.thread = _thread.get_ident()
        self.number = -1
        self.released = False
        self.error: BaseException | None = None
        self._gate = _thread.allocate_lock()
        self._gate.acquire()

    def block(self) -> bool:
        """Wait. Return whether it was released before it was due."""
        self.register()
        try:
            while self.number in _waits:
                left = None if self.due is None else self.due - _monotonic() - _offset
                if left is not None and left <= 0:
                    break
                self._pause(left)
        finally:
            self._unregister()
        if self.error is not None:
            raise self.error
        return self.released

    def register(self) -> None:
        with _lock:
            self.number = next(_numbers)
            _waits[self.number] = self
            if self.seconds is not None:
                now = _monotonic()
                self.due = now + _offset + self.seconds
                heapq.heappush(_queue, (self.due - now if _still else self.due, self.number))
        try:
            _tell("began")
        except BaseException:
            self._unregister()
            raise

    def _unregister(self) -> None:
        with _lock:
            waited = _waits.pop(self.number, None)
        if waited is not None:
            _tell("ended")

    def over(self) -> None:
        """Let the thread go on: what it waited for has come."""
        with _lock:
            if _waits.pop(self.number, None) is not None:
                self.wake()

    def release(self) -> None:
        """Do what notify does with the lock that a thread waits for."""
        self.released = True
        self.over()
        _tell("ended")

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # woken twice
            self._gate.release()

    def _pause(self, left: float | None) -> None:
        self._gate.acquire(True, -1 if left is None else min(left, _LONGEST))


class _Joining(_Wait):
    """Waits until a thread has ended."""

    def __init__(self, seconds: float | None, thread: Any, join: Callable[..., None]) -> None:
        super().__init__(seconds, thread.is_alive)
        self._join = join
        self._joined = thread

    def _pause(self, left: float | None) -> None:
        self._join(self._joined, None if left is None else min(left, _POLL))
        if not self._joined.is_alive():
            self.over()


class _Polling(_Wait):
    """Waits until a descriptor is readable: that of an event loop's selector. `sockets`: it watches more than itself."""

    def __init__(self, seconds: float | None, fd: int, sockets: bool) -> None:
        if seconds is not None:
            # Selectors round up to milliseconds. By then some time has passed since the program asked for, say, 10 seconds:
            # a clock that stands still meanwhile would be moved by 9.99.
            parts = 20 if _still and seconds > 1 else 1000
            seconds = math.ceil(seconds * parts) / parts
        super().__init__(seconds)
        self.fd = fd
        self.sockets = sockets
        pipe = getattr(_local, "pipe", None)
        if pipe is None or pipe.process != os.getpid():
            pipe = _local.pipe = _Pipe()
        self._pipe: _Pipe = pipe
        self._woken = False

    def wake(self) -> None:
        self._woken = True
        self._pipe.write()

    def _pause(self, left: float | None) -> None:
        poll = _real_poll()
        poll.register(self.fd, select.POLLIN)
        poll.register(self._pipe.reader, select.POLLIN)
        poll.poll(None if left is None else math.ceil(min(left, _LONGEST) * 1000))
        if _readable(self.fd):
            self.over()

    def _unregister(self) -> None:
        super()._unregister()
        if self._woken:
            self._pipe.drain()


class _Alarm(_Wait):
    """Waits without a thread: `ring` is called, in whatever thread, when it is due."""

    def __init__(self, seconds: float, ring: Callable[[], object]) -> None:
        super().__init__(seconds, _never)
        self._ring = ring

    def wake(self) -> None:
        if self.number not in _waits:
            self._ring()

    def silence(self) -> None:
        """Wait no more."""
        self._unregister()


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
    poll = _real_poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


# Who calls


def _package(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _aside(frame: Any) -> bool:
    """Return whether a thread was started by the machinery: everything in it is real."""
    first = ""
    while frame is not None:
        package = _package(frame)
        if package != "threading" and frame.f_globals is not _OWN:
            first = package
        frame = frame.f_back
    return first in MACHINERY


def _stays_real() -> bool:
    """Return whether the caller of a patched function is machinery. To be called by the patched function itself."""
    if in_machinery():
        return True
    frame: Any = sys._getframe(2)
    while frame is not None:
        package = _package(frame)
        if package not in _PLUMBING and frame.f_globals is not _OWN:
            return package in MACHINERY
        frame = frame.f_back
    return False


def _waits_really(frame: Any) -> bool:
    """Return whether a thread waits in Condition.wait since before it was patched, and was not notified yet."""
    if frame.f_code is not _patches.condition_code:
        return False
    found = frame.f_locals
    return "waiter" in found and found["waiter"] in found["self"]._waiters


# Patches


def _reader(real: Callable[[], Any], scale: int) -> Callable[[], Any]:
    if scale == 1:

        def read() -> Any:
            return real() if not _offset or _stays_real() else real() + _offset

    else:

        def read() -> Any:
            return real() if not _offset or _stays_real() else real() + int(_offset * scale)

    _resembling(read, real)
    return read


def _resembling(new: Any, real: Any) -> None:
    """Let a stand-in be known by the module and the name of what it stands for: it is pickled, and named, by them."""
    new.__module__, new.__name__, new.__qualname__, new.__doc__ = real.__module__, *[real.__name__] * 2, real.__doc__


def _sleep(seconds: float, /) -> None:
    if not seconds > 0 or _stays_real():
        _real_sleep(seconds)
    else:
        _Wait(float(seconds)).block()


_real_sleep = time.sleep
_real_time = time.time
_resembling(_sleep, _real_sleep)


class _Patches:
    """What is replaced: functions and classes wherever a module holds them, and methods of some classes."""

    condition_code: Any = None
    _applied = False

    def __init__(self) -> None:
        self._stand_ins: dict[int, tuple[Any, Any]] = {id(_real_sleep): (_real_sleep, _sleep)}
        for name in ("time", "monotonic", "perf_counter"):
            for suffix, scale in (("", 1), ("_ns", 10**9)):
                real = getattr(time, name + suffix)
                self._stand_ins.setdefault(id(real), (real, _reader(real, scale)))
        self._methods: list[tuple[Any, str, Any]] = []
        self._patched: set[str] = set()

    def apply(self) -> None:
        sys.meta_path.insert(0, _later)
        for name in _LATER:
            if name in sys.modules:
                self.module(name)
        self._swap({key: new for key, (_, new) in self._stand_ins.items()})
        self._applied = True

    def undo(self) -> None:
        self._applied = False
        sys.meta_path.remove(_later)
        for owner, name, original in reversed(self._methods):
            if original is None:  # it was inherited
                delattr(owner, name)
            else:
                setattr(owner, name, original)
        self._methods.clear()
        self._patched.clear()
        self.condition_code = None
        self._swap({id(new): old for old, new in self._stand_ins.values()})
        for kind in _dates:
            _copyreg().dispatch_table.pop(kind, None)

    def module(self, name: str) -> None:
        """Patch a module that is imported."""
        if name not in self._patched:
            self._patched.add(name)
            _LATER[name](sys.modules[name])

    def stand_in(self, real: Any, new: Any) -> None:
        self._stand_ins[id(real)] = (real, new)
        if self._applied:
            self._swap({id(real): new})

    def method(self, owner: Any, name: str, new: Any) -> None:
        self._methods.append((owner, name, owner.__dict__.get(name)))
        setattr(owner, name, new)

    def _swap(self, new: dict[int, Any]) -> None:
        """Replace objects, by their id, wherever a module that is not machinery holds them under a name."""
        ids = set(new)
        for module in list(sys.modules.values()):
            names = getattr(module, "__dict__", None)
            if type(names) is not dict or ids.isdisjoint(map(id, list(names.values()))):
                continue
            if names.get("__name__") != __name__ and str(names.get("__name__", "")).partition(".")[0] not in MACHINERY:
                for name, value in list(names.items()):
                    if id(value) in ids and not name.startswith("__"):
                        names[name] = new[id(value)]


def _patch_threading(threading: Any) -> None:
    condition, thread = threading.Condition, threading.Thread
    real_wait, real_join = condition.wait, thread.join
    _patches.condition_code = real_wait.__code__

    def wait(self: Any, timeout: float | None = None) -> Any:
        if (timeout is not None and timeout <= 0) or _stays_real():
            return real_wait(self, timeout)
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        waiter = _Wait(timeout)
        self._waiters.append(waiter)
        state = self._release_save()
        notified = False
        try:
            notified = waiter.block()
        finally:
            self._acquire_restore(state)
            if not notified:
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)
        return notified

    def join(self: Any, timeout: float | None = None) -> None:
        waits = self._started.is_set() and self is not threading.current_thread() and self.is_alive()
        if not waits or (timeout is not None and timeout <= 0) or _stays_real():
            real_join(self, timeout)
        else:
            _Joining(timeout, self, real_join).block()

    _patches.method(condition, "wait", wait)
    _patches.method(thread, "join", join)


def _patch_selectors(selectors: Any) -> None:
    for name in ("EpollSelector", "KqueueSelector"):
        if hasattr(selectors, name):
            _patch_selector(getattr(selectors, name))


def _patch_selector(selector: Any) -> None:
    real = selector.select

    def select(self: Any, timeout: float | None = None) -> Any:
        if (timeout is not None and timeout <= 0) or _stays_real():
            return real(self, timeout)
        ready = real(self, 0)
        if not ready:
            own = _package(sys._getframe(1)) == "asyncio"  # a loop of asyncio watches a socket of its own, to be woken
            _Polling(timeout, self.fileno(), len(self.get_map()) > own).block()
            ready = real(self, 0)
        return ready

    _patches.method(selector, "select", select)


def _patch_trio(module: Any) -> None:
    kind = module.EpollIOManager if hasattr(module, "EpollIOManager") else module.KqueueIOManager
    real = kind.get_events

    def get_events(self: Any, timeout: float) -> Any:
        if timeout <= 0 or _stays_real():
            return real(self, timeout)
        ready = real(self, 0)
        if not ready:
            fd = (self._epoll if hasattr(self, "_epoll") else self._kqueue).fileno()
            _Polling(timeout if timeout < math.inf else None, fd, bool(self._registered)).block()
            ready = real(self, 0)
        return ready

    _patches.method(kind, "get_events", get_events)


def _patch_uvloop(uvloop: Any) -> None:
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
        if not delay > 0 or _stays_real():
            return real_later(self, delay, callback, *args, context=context)
        return Timer(self, delay, callback, args, context)

    def call_at(self: Any, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def read(self: Any) -> float:
        return float(real_time(self)) + (0.0 if not _offset or _stays_real() else _offset)

    _patches.method(uvloop.Loop, "call_later", call_later)
    _patches.method(uvloop.Loop, "call_at", call_at)
    _patches.method(uvloop.Loop, "time", read)


def _patch_gevent(hub: Any) -> None:
    """Patch the sleep of greenlets, which is `time.sleep` after gevent has patched that."""
    real = hub.sleep

    def sleep(seconds: float = 0, ref: bool = True) -> None:
        if not seconds > 0 or not ref or _stays_real():
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

    _patches.stand_in(real, sleep)


_dates: dict[Any, Any] = {}


def _copyreg() -> Any:
    import copyreg

    return copyreg


def _patch_datetime(module: Any) -> None:
    """Replace `datetime` and `date` by classes that make instances of the real ones."""
    if not _dates:
        _dates.update(_stand_ins_of_dates(module))
    for real, new in _dates.items():
        # pickle looks a class up by its name, where it now finds the other one
        _copyreg().dispatch_table[real] = _reduced(new)
        _patches.stand_in(real, new)


def _stand_ins_of_dates(module: Any) -> dict[Any, Any]:
    real_date, real_datetime = module.date, module.datetime
    utc = module.timezone.utc

    class Kind(type):
        real: Any

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, cls.real) if "real" in cls.__dict__ else type.__instancecheck__(cls, instance)

        def __subclasscheck__(cls, subclass: Any) -> bool:
            return issubclass(subclass, cls.real) if "real" in cls.__dict__ else type.__subclasscheck__(cls, subclass)

        def __eq__(cls, other: object) -> bool:
            return cls is other or cls.__dict__.get("real") is other

        def __hash__(cls) -> int:
            return hash(cls.__dict__.get("real")) if "real" in cls.__dict__ else type.__hash__(cls)

    def now() -> float:
        return _real_time() + (0.0 if _stays_real_for_dates() else _offset)

    class date(real_date, metaclass=Kind):  # type: ignore[misc,valid-type] # noqa: N801
        real = real_date

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real_date.__new__(real_date if cls is date else cls, *args, **kwargs)

        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(now())

    class datetime(real_datetime, metaclass=Kind):  # type: ignore[misc,valid-type] # noqa: N801
        real = real_datetime

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real_datetime.__new__(real_datetime if cls is datetime else cls, *args, **kwargs)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(now(), tz)

        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(now())

        @classmethod
        def utcnow(cls) -> Any:
            return cls.fromtimestamp(now(), utc).replace(tzinfo=None)

    for real, new in ((real_date, date), (real_datetime, datetime)):
        new.__module__, new.__qualname__, new.__doc__ = real.__module__, real.__qualname__, real.__doc__
    return {real_date: date, real_datetime: datetime}


def _reduced(kind: Any) -> Callable[[Any], Any]:
    return lambda value: (kind, value.__reduce_ex__(4)[1])


def _stays_real_for_dates() -> bool:
    frame = sys._getframe(3)
    return bool(getattr(_local, "aside", False)) or _package(frame) in MACHINERY


_LATER: dict[str, Callable[[Any], None]] = {
    "datetime": _patch_datetime,
    "gevent.hub": _patch_gevent,
    "selectors": _patch_selectors,
    "threading": _patch_threading,
    "trio._core._io_epoll": _patch_trio,
    "trio._core._io_kqueue": _patch_trio,
    "uvloop": _patch_uvloop,
}
"""What to do with a module when it has been imported."""


class _Later:
    """Patches modules when they are imported."""

    def __init__(self) -> None:
        self._looking: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _LATER or name in self._looking:
            return None
        self._looking.add(name)
        try:
            specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if hasattr(finder, "find_spec"))
            spec = next((spec for spec in specs if spec is not None), None)
        finally:
            self._looking.discard(name)
        loader = getattr(spec, "loader", None)
        if loader is None or isinstance(loader, type) or not hasattr(loader, "exec_module"):
            return spec
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            if _listeners:
                _patches.module(name)

        loader.exec_module = exec_module
        return spec


_later: Any = _Later()
_patches = _Patches()


# The side of a child


def _patch_socket(module: Any, leads: Callable[[Any], bool]) -> None:
    """Let a read that has a timeout be due on the clock, on connections to the fake alone: what others answer takes real time."""

    def patched(real: Any) -> Any:
        def read(self: Any, *arguments: Any, **named: Any) -> Any:
            timeout = self.gettimeout()
            follows = (
                timeout and self.fileno() >= 0 and leads(self) and not _readable(self.fileno()) and not _stays_real()
            )
            if follows and not _comes(self, _monotonic() + _offset + timeout):
                raise module.timeout("timed out")
            return real(self, *arguments, **named)

        return read

    for name in ("recv", "recv_into"):
        _patches.method(module.socket, name, patched(getattr(module.socket, name)))


def _patch_ssl(module: Any, leads: Callable[[Any], bool]) -> None:
    real = module.SSLSocket.read

    def read(self: Any, *arguments: Any, **named: Any) -> Any:
        timeout = self.gettimeout()
        if not timeout or self.fileno() < 0 or not leads(self) or _stays_real():
            return real(self, *arguments, **named)
        due = _monotonic() + _offset + timeout
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

    _patches.method(module.SSLSocket, "read", read)


def _comes(connection: Any, due: float) -> bool:
    """Wait for data until some time of the clock. Return whether any has come."""
    left = due - _monotonic() - _offset
    if left > 0:
        _Polling(left, connection.fileno(), True).block()
    return _readable(connection.fileno())


class _Follower:
    """Follows the clock of a run over a connection: tells it the earliest wait, and is told the offset."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Any = None
        self._sent: float | None = None
        self._seen = 0.0
        self._asked: Any = None
        self._lock: Any = _thread.RLock()

    def start(self) -> None:
        if self._connect():
            _thread.start_new_thread(self._run, ())

    def _connect(self) -> bool:
        import _socket  # what the program imports as `socket` may be patched

        connection: Any = None
        try:
            connection = _socket.socket()
            connection.settimeout(2.0)
            connection.connect(("127.0.0.1", self._port))
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            connection.sendall(b'KLING-PACE {"pid": %d}\n' % os.getpid())
            self._rest = b""
            self._connection = connection
            return self._receive()
        except OSError:
            if connection is not None:
                connection.close()
            self._connection = None
            return False

    def began(self) -> None:
        self._send()

    ended = began

    def forked(self) -> None:
        """Connect anew: the connection is the parent's."""
        self._lock = _thread.RLock()
        self._sent = self._asked = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            _thread.start_new_thread(self._restart, ())

    def _restart(self) -> None:
        if self._connect():
            self._send(again=True)
            self._run()

    def _send(self, again: bool = False) -> None:
        """Tell the earliest wait, if it has changed."""
        with self._lock:
            if self._connection is None:
                return
            wait = earliest()
            due = None if wait is None else wait + _scale()
            if again or not _same(due, self._sent):
                self._sent = due
                self._line(b'{"wait": %s}\n' % _number(wait))

    def _line(self, line: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._connection is not None:
                self._connection.sendall(line)

    def _run(self) -> None:
        connection = self._connection
        poll = _real_poll()
        poll.register(connection.fileno(), select.POLLIN)
        while True:
            wait = earliest()
            left = None if wait is None else math.ceil(max(0.0, min(wait, _LONGEST)) * 1000)
            if poll.poll(1 if self._asked is not None else left):
                try:
                    if not self._receive():
                        break
                except OSError:
                    break
            else:
                move(0.0)  # those whose time has come by itself
            self._answer()
        self._connection = None
        connection.close()
        nudge()

    def _receive(self) -> bool:
        """Read what has come. Return whether the connection goes on."""
        got = self._connection.recv(65536)
        *lines, self._rest = (self._rest + got).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "offset" in told:
                ahead, self._seen = told["offset"] - self._seen, told["offset"]
                move(max(0.0, ahead))
                self._send(again=True)
            if "ask" in told:
                self._asked = told["ask"]
        return bool(got)

    def _answer(self) -> None:
        """Answer what was asked, once every loop that waits has nothing to do."""
        if self._asked is not None and idle():
            wait = earliest()
            self._line(b'{"answer": %s, "wait": %s}\n' % (json.dumps(self._asked).encode(), _number(wait)))
            self._asked = None


def _same(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and abs(one - other) < _EARLY)


def _number(wait: float | None) -> bytes:
    return b"null" if wait is None else b"%.9f" % max(0.0, wait)


def follow(port: int, leads: Callable[[Any], bool] = lambda _connection: False) -> None:
    """Follow the clock of the run that listens on a port of this machine, from now on. Without one the time stays real.

    `leads` says of a socket whether it leads to the fake: then the timeout of its reads counts on the clock.
    """
    _LATER["socket"] = lambda module: _patch_socket(module, leads)
    _LATER["ssl"] = lambda module: _patch_ssl(module, leads)
    follower = _Follower(port)
    follower.start()
    begin(follower)


def _forked() -> None:
    global _lock
    _lock = _thread.RLock()
    _waits.clear()
    del _queue[:]
    _tell("forked")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
