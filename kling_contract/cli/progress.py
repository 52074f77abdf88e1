"""What long work shows on a terminal while it goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a line on standard error while the context lasts, and give what counts a step of `total` and shows its text.

    Nothing is shown where standard error is not a terminal.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.status import Status

    steps = 0
    with Status(f"{escape(label)}…", console=Console(stderr=True)) as status:

        def show(text: str) -> None:
            nonlocal steps
            steps += 1
            status.update(f"{escape(label)}  {steps} of {total}  {escape(text)}")

        yield show
