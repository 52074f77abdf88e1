"""Pacers: they decide when the clock of a run moves to the earliest wake-up, so that nobody waits without need."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fake_server.adapters.delivery import TRAFFIC, Traffic
from kling_contract.clock import VirtualClock

__all__ = ["Mover", "Pacer", "Pulse"]

_PATIENCE = 1.0  # seconds for which a process that is busy, or does not answer, holds the clock back
_IDLE = 0.1  # the part of the settle time that threads may compute and still count as waiting


class Pulse:
    """Says whether the threads of some processes have computed since it was made. Knows it on Linux, else says no."""

    def __init__(self, pids: Iterable[int], *, but: int | None = None) -> None:
        self._folders = [Path(f"/proc/{pid}/task") for pid in pids]
        self._but = str(but)
        self._began = time.monotonic()
        self._spent, _ = self._read()

    def beats(self) -> bool:
        """Return whether they have computed for more than a tenth of the time, or one of them is ready to."""
        spent, ready = self._read()
        return ready or spent - self._spent > _IDLE * (time.monotonic() - self._began)

    def _read(self) -> tuple[float, bool]:
        spent, ready = 0, False
        for folder in self._folders:
            with contextlib.suppress(OSError):
                for task in os.listdir(folder):  # noqa: PTH208 - a path for each thread costs more than the rest
                    if task != self._but:
                        with contextlib.suppress(OSError, ValueError, IndexError):
                            spent += int(_content(f"{folder}/{task}/schedstat").split(maxsplit=1)[0])
                            ready |= _content(f"{folder}/{task}/stat").rpartition(b")")[2].split(maxsplit=1)[0] == b"R"
        return spent / 1e9, ready


def _content(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 1024)
    finally:
        os.close(file)


class Mover:
    """A thread that moves a clock to the earliest wake-up, once nothing has happened or been computed for `settle` seconds."""

    def __init__(self, *, settle: float) -> None:
        self._settle = settle
        self._changed = threading.Condition()
        self._events = 0
        self._open = False

    def _ready(self) -> bool:
        """Return whether something waits, and the clock may move."""
        raise NotImplementedError

    def _patience(self) -> float | None:
        """Return for how many seconds to do nothing, unless something happens, because it is not ready. None: for ever."""
        raise NotImplementedError

    def _watched(self) -> Pulse:
        """Return the pulse of those who may compute."""
        raise NotImplementedError

    def _move(self, events: int) -> None:
        """Move the clock, unless something has happened since `events`."""
        raise NotImplementedError

    def _happened(self) -> None:
        with self._changed:
            self._events += 1
            self._changed.notify_all()

    def _quiet(self, events: int, seconds: float | None) -> bool:
        """Wait until something happens. Return False then, or True if nothing has for so many seconds."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._events != events or not self._open, seconds)

    def _run(self) -> None:
        busy_since = None
        while self._open:
            events = self._events
            if not self._ready():
                self._quiet(events, self._patience())
                continue
            pulse = self._watched()
            if not self._quiet(events, self._settle):
                busy_since = None
                continue
            if pulse.beats():
                busy_since = busy_since or time.monotonic()
                if time.monotonic() - busy_since < _PATIENCE:
                    continue
            busy_since = None
            self._move(events)


class Pacer(Mover):
    """Moves the clock of a run to the earliest wake-up when everybody waits: processes that follow it, and held replies.

    `clock` is a VirtualClock with rate 1: as long as no move is allowed, waits are real. It moves only while `may_move()`
    is true or a fault holds a reply back, no request that `traffic` counts is unanswered, and for `settle` seconds nobody
    has registered, begun or ended anything or computed; see `watch`. A process that is busy, or does not answer, holds the
    clock back for a second at most. Use it as a context: it has a thread of its own. Raise ValueError for any other clock.
    """

    def __init__(
        self,
        clock: VirtualClock,
        *,
        may_move: Callable[[], bool],
        traffic: Traffic = TRAFFIC,
        settle: float = 0.005,
    ) -> None:
        super().__init__(settle=settle)
        if getattr(clock, "rate", 0.0) != 1.0:
            raise ValueError(f"a pacer moves a VirtualClock with rate=1.0, not {clock!r}")
        self.clock = clock
        self.moves = 0
        """How often the clock was moved."""
        self.moved = 0.0
        """By how many seconds altogether."""
        self._may_move = may_move
        self._traffic = traffic
        self._pids: Callable[[], Iterable[int]] = tuple
        self._offset = 0.0
        self._processes: list[_Process] = []
        self._following: set[int] = set()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Pacer:
        self._open = True
        self._stack.enter_context(self.clock.watched(self._clock_moved))
        self._stack.enter_context(self._traffic.watched(self._happened))
        thread = threading.Thread(target=self._run, name="fake server pacer", daemon=True)
        self._stack.callback(thread.join)
        thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._happened()
        with self._changed:
            processes = list(self._processes)
        for process in processes:
            process.close()
        self._stack.close()

    def watch(self, pids: Callable[[], Iterable[int]]) -> None:
        """Let the clock stand while one of these processes computes (Linux). `pids` is asked before each move."""
        self._pids = pids

    @property
    def following(self) -> frozenset[int]:
        """The ids of the processes that have followed the clock at any time."""
        with self._changed:
            return frozenset(self._following)

    def serve(self, connection: socket.socket, first_line: bytes) -> None:
        """Take over a connection whose first line, `KLING-PACE {"pid": 123}`, was read. Return at once.

        Its process then follows the clock. Raise ValueError for another first line; the connection is closed then.
        """
        try:
            pid = int(json.loads(first_line.decode().removeprefix("KLING-PACE "))["pid"])
        except (ValueError, KeyError, TypeError) as wrong:
            connection.close()
            raise ValueError(f'expected KLING-PACE {{"pid": …}} as the first line, not {first_line!r}') from wrong
        process = _Process(connection, self._now)
        with self._changed:
            self._following.add(pid)
            self._processes.append(process)
            process.tell(offset=self._offset)
        threading.Thread(target=self._read, args=(process,), name=f"fake server pace {pid}", daemon=True).start()

    def _read(self, process: _Process) -> None:
        for answers in process.messages():
            if answers:
                with self._changed:
                    self._changed.notify_all()
            else:
                self._happened()
        with self._changed:
            self._processes.remove(process)
        self._happened()

    def _now(self) -> float:
        return time.monotonic() + self._offset

    def _clock_moved(self, seconds: float) -> None:
        """Tell everyone, whoever has moved the clock."""
        with self._changed:
            self._offset += seconds
            for process in self._processes:
                process.tell(offset=self._offset)
        self._happened()

    def _ready(self) -> bool:
        return self._ahead() is not None and self._allowed()

    def _allowed(self) -> bool:
        return not self._traffic.unanswered and (self._traffic.earliest is not None or self._may_move())

    def _patience(self) -> float | None:
        return _PATIENCE if self._someone_wakes() else None

    def _watched(self) -> Pulse:
        return Pulse((os.getpid(), *self._pids()), but=threading.get_native_id())

    def _ahead(self) -> float | None:
        """Return in how many seconds the earliest wake-up is. None: nothing waits, or who is due has yet to say what it does."""
        if self._someone_wakes():
            return None
        now = self._now()
        with self._changed:
            dues = [process.due for process in self._processes if process.due is not None and process.due > now]
        held = self._traffic.earliest
        return min((*(due - now for due in dues), *([] if held is None else [held])), default=None)

    def _someone_wakes(self) -> bool:
        now = self._now()
        with self._changed:
            return any([process.wakes(now) for process in self._processes])  # noqa: C419 - each notes since when

    def _move(self, events: int) -> None:
        with self._changed:
            asked = [process for process in self._processes if process.due is not None]
            for process in asked:
                process.ask()
            self._changed.wait_for(
                lambda: self._events != events or all(process.answered for process in asked), _PATIENCE
            )
        ahead = self._ahead()
        if ahead is not None and self._allowed() and self._events == events:
            self.moves += 1
            self.moved += ahead
            self.clock.advance(ahead)


class _Process:
    """A process that follows the clock, at the other end of a connection."""

    def __init__(self, connection: socket.socket, now: Callable[[], float]) -> None:
        connection.settimeout(None)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._now = now
        self._sending = threading.Lock()
        self._asked = 0
        self.answered = True
        self.due: float | None = None
        self._late_since: float | None = None

    def wakes(self, now: float) -> bool:
        """Return whether it is due and is expected to say what it does now. After a second that is not expected any more."""
        if self.due is None or self.due > now:
            self._late_since = None
            return False
        real = time.monotonic()
        self._late_since = self._late_since or real
        return real - self._late_since < _PATIENCE

    def ask(self) -> None:
        self._asked += 1
        self.answered = False
        self.tell(ask=self._asked)

    def tell(self, **message: float) -> None:
        with self._sending, contextlib.suppress(OSError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def messages(self) -> Iterator[bool]:
        """Read until the connection ends. Yield for each message whether it is an answer."""
        with contextlib.suppress(OSError, ValueError), self._connection, self._connection.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line)
                wait = message.get("wait")
                self.due = None if wait is None or not math.isfinite(wait) else self._now() + wait
                if message.get("answer") == self._asked:
                    self.answered = True
                yield "answer" in message
        self.due = None
        self.answered = True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
