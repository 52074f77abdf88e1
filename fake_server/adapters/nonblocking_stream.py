"""A text stream that never blocks its writer: for the log of a fake, which must not delay a response."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import select
import threading
from collections.abc import Callable
from types import TracebackType

__all__ = ["NonBlockingStream"]

_WAITING = 1_000  # texts; the longest are tracebacks
_PATIENCE = 0.5  # seconds for writing what is left in the end


class NonBlockingStream(io.TextIOBase):
    """A text stream for a file descriptor: writing to it never blocks and never fails.

    A thread of its own does the writing. Texts that it cannot write in time are dropped, and a line in the stream says
    how many when it can write again. If the descriptor cannot be written to any more, `on_closed` is called once with the
    reason, in that thread, and everything else is dropped. Leaving the context writes what is left, for a second at most.
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
