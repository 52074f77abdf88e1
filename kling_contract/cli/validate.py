"""`kling-contract validate`: judges payload files, and says what is wrong, where, and how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import click

from kling_contract import reports, violation
from kling_contract.cli import options
from kling_contract.contract import Contract
from kling_contract.reports import FileResult
from kling_contract.validation.validator import Validator, validator_for
from kling_contract.violation import Severity, Strictness

__all__ = ["command"]

_LINES = {".jsonl", ".ndjson"}
_LONG = 16 * 2**20  # bytes from which on a file may take long enough to want a progress bar


@click.command("validate")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@options.format_
@options.fail_on
@click.option("--lines", is_flag=True, help="Each line is a payload of its own, as in files named .jsonl or .ndjson.")
@options.strictness
@options.revision
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[str, ...],
    format_: reports.Format,
    fail_on: Severity,
    lines: bool,
    strictness: Strictness,
    revision: str | None,
) -> None:
    """Judge the payloads in FILEs (- for standard input) against the contract.

    Exit code 0: nothing is wrong; 1: something is, of the severity --fail-on or worse; 2: a file cannot be read, or is not
    JSON. A file that cannot be read does not keep the others from being judged.
    """
    judge = validator_for(Contract.load(revision))
    worst = _Worst(fail_on)
    judged = worst.of(each for name in files for each in _judge(name, judge, strictness, lines))
    color = sys.stdout.isatty() if ctx.color is None else ctx.color
    for line in reports.lines(judged, format_, color=color, fail_on=fail_on):
        sys.stdout.write(line + "\n")
    ctx.exit(worst.code)


class _Worst:
    """Watches what passes for the exit code."""

    def __init__(self, fail_on: Severity) -> None:
        self._failing = violation.failing(fail_on)
        self.code = 0

    def of(self, results: Iterable[FileResult]) -> Iterator[FileResult]:
        for each in results:
            if each.unreadable is not None or any(violation.rule == "json" for violation in each.violations):
                self.code = 2
            elif self.code == 0 and any(violation.severity in self._failing for violation in each.violations):
                self.code = 1
            yield each


def _judge(name: str, judge: Validator, strictness: Strictness, lines: bool) -> Iterator[FileResult]:
    try:
        with _opened(name) as stream:
            if not lines and Path(name).suffix not in _LINES:
                yield FileResult(name, judge.text(stream.read(), strictness))
                return
            for number, line in enumerate(stream, 1):
                if line.isspace():
                    continue
                violations = judge.text(line, strictness)
                yield FileResult(name, [replace(each, line=number) for each in violations] if violations else ())
    except OSError as unreadable:
        yield FileResult(name, unreadable=unreadable.strerror or str(unreadable))


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    """Open a file, or standard input; a large one with a progress bar, where a person watches."""
    if name == "-":
        yield sys.stdin.buffer
        return
    path = Path(name)
    if not path.is_file() or path.stat().st_size < _LONG or not sys.stderr.isatty():
        with path.open("rb") as stream:
            yield stream
        return
    from rich.console import Console
    from rich.progress import open as progress_open

    with progress_open(path, "rb", description=name, console=Console(stderr=True), transient=True) as stream:
        yield stream
