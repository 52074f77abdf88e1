"""Claims about what long work shows: a line on a terminal, nothing elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from kling_contract.cli.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO(), None])
def test_only_a_terminal_shows_it(stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal each step is counted and shown as it is, markup included; in a pipe, or without a stream, nothing is."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("exercise", 39) as show:
        show("[happy]")
        show("[bold]lost[/bold]")
    if isinstance(stream, Terminal):
        assert "exercise  2 of 39  [bold]lost[/bold]" in stream.getvalue()
    else:
        assert stream is None or stream.getvalue() == ""
