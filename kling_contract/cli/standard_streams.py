"""Standard output and error of a command that serves others: writing to them never blocks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from io import TextIOBase
from pathlib import Path
from typing import TextIO

__all__ = ["unblocked"]


@contextlib.contextmanager
def unblocked(standard: TextIO | None, errors: TextIOBase | None = None) -> Iterator[TextIOBase]:
    """Open a stream on standard output or error to which writing never blocks. If its reader goes, `errors` says so."""
    from fake_server.adapters.nonblocking_stream import NonBlockingStream

    def closed(reason: str) -> None:
        if errors is not None:
            errors.write(
                f"kling-contract: nothing more is printed, since standard output cannot be written: {reason}\n"
            )

    with contextlib.ExitStack() as stack:
        # A standard stream is None if the process was started without it.
        there = standard or stack.enter_context(Path(os.devnull).open("w"))
        there.flush()
        yield stack.enter_context(NonBlockingStream(there.fileno(), on_closed=closed))
