"""`kling-contract validate`: checks payload files, and says what is wrong, where, and how to correct it."""

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
from kling_contract.validation import validate
from kling_contract.violation import FileResult, Severity, Strictness

__all__ = ["command"]

_LINES = {".jsonl", ".ndjson"}
_LONG = 16 * 2**20  # bytes from which on a file may take long enough to want a progress bar


@click.command("validate")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@options.format_
@options.report
@options.fail_on
@click.option("--lines", is_flag=True, help="Each line is a payload of its own, as in files named .jsonl or .ndjson.")
@options.strictness
@options.revision
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[str, ...],
    format_: str,
    report_files: list[tuple[str, Path]],
    fail_on: Severity,
    lines: bool,
    strictness: Strictness,
    revision: str | None,
) -> None:
    """Check the payloads in FILEs (- for standard input) against the contract.

    A file that cannot be read does not keep the others from being checked.

    Exit code 0: nothing is wrong; 1: something is, of the severity --fail-on or worse, or a report could not be written; 2:
    wrong usage, or a file that cannot be read or is not JSON.
    """
    contract = Contract.load(revision)
    outputs = options.open_outputs(ctx, format_, report_files)
    exit_code = _ExitCode(fail_on)
    results: Iterable[FileResult]
    results = exit_code.watch(result for name in files for result in _results(name, contract, strictness, lines))
    if report_files:
        results = list(results)  # each report needs all of them
    color = sys.stdout.isatty() if ctx.color is None else ctx.color
    written = options.write_reports(
        outputs,
        lambda output: reports.lines(results, output.format, color=color and output.is_standard, fail_on=fail_on),
    )
    ctx.exit(exit_code.value if written else exit_code.value or 1)


class _ExitCode:
    """The exit code that the results seen so far give."""

    def __init__(self, fail_on: Severity) -> None:
        self._failing = violation.failing(fail_on)
        self.value = 0

    def watch(self, results: Iterable[FileResult]) -> Iterator[FileResult]:
        """Yield `results` as they are."""
        for result in results:
            if result.unreadable is not None or any(found.rule == "json" for found in result.violations):
                self.value = 2
            elif self.value == 0 and any(found.severity in self._failing for found in result.violations):
                self.value = 1
            yield result


def _results(name: str, contract: Contract, strictness: Strictness, lines: bool) -> Iterator[FileResult]:
    try:
        with _opened(name) as stream:
            if not lines and Path(name).suffix not in _LINES:
                yield FileResult(name, validate(stream.read(), contract=contract, strictness=strictness))
                return
            for number, line in enumerate(stream, 1):
                if line.isspace():
                    continue
                violations = validate(line, contract=contract, strictness=strictness)
                yield FileResult(name, [replace(found, line=number) for found in violations] if violations else ())
    except OSError as unreadable:
        yield FileResult(name, unreadable=unreadable.strerror or str(unreadable))


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    """Open a file, or standard input. A large file has a progress bar on a terminal."""
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
