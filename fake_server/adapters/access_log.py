"""The log of a running fake: a line for each request, on a stream that never keeps an answer waiting."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import select
import threading
from collections.abc import Callable
from types import TracebackType

from fake_server.journal.text import line
from fake_server.messages import Reply, Request
from fake_server.server import FakeServer
from kling_contract.clock import Clock

__all__ = ["AccessLog", "NonBlockingStream"]

_WAITING = 1_000  # texts, the longest of them a traceback
_PATIENCE = 0.5  # seconds that a reader has for what is left in the end


class AccessLog:
    """A fake that gives `write` one line for each exchange: as the journal has it, without keys."""

    def __init__(self, fake: FakeServer, write: Callable[[str], object]) -> None:
        self._fake = fake
        self._write = write
        self._lock = threading.Lock()

    @property
    def body_limit(self) -> int:
        return self._fake.body_limit

    @property
    def clock(self) -> Clock:
        return self._fake.clock

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        with self._lock:  # else the last exchange may be another's
            reply = self._fake.handle(request)
            self._write(line(self._fake.journal[-1]))
        return reply


class NonBlockingStream(io.TextIOBase):
    """A text stream for a file descriptor: to write to it never blocks and never fails.

    A thread of its own does the writing. What it cannot keep up with is dropped, and counted on the stream when that
    is read again. When nobody can read it any more, `on_closed` is called once with the reason, in that thread, and all
    that follows is dropped. Leave the context to write what is left, for a second at most.
    """

    def __init__(self, descriptor: int, *, on_closed: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._on_closed = on_closed
        self._waiting: queue.Queue[str | None] = queue.Queue(_WAITING)
        self._dropped = 0
        self._lock = threading.Lock()
        # A daemon: a write that blocks must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"log on {descriptor}", daemon=True)
        self._thread.start()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            with self._lock:
                self._dropped += 1
        return len(text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=_PATIENCE)
            self._thread.join(_PATIENCE)
        super().__exit__(kind, error, trace)

    def _run(self) -> None:
        try:
            while (text := self._waiting.get()) is not None:
                self._write(text)
                with self._lock:
                    dropped, self._dropped = self._dropped, 0
                if dropped:
                    self._write(
                        f"kling-contract: {dropped:,} lines of the log are missing here: nobody read them in time\n"
                    )
        except OSError as closed:
            self._on_closed(closed.strerror or str(closed))
            while self._waiting.get() is not None:
                pass

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # somebody else has made it non-blocking
                select.select([], [self._descriptor], [])
