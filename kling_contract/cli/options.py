"""The options that several commands share, and the reports that `--format` and `--report` ask for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from kling_contract import reports, violation
from kling_contract.contract import REVISION_VARIABLE
from kling_contract.violation import STRICTNESS

__all__ = [
    "Output",
    "fail_on",
    "format_",
    "format_among",
    "model",
    "open_outputs",
    "report",
    "report_among",
    "revision",
    "scenario",
    "seed",
    "strictness",
    "write_reports",
]

C = TypeVar("C", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Output:
    """A report to write: its format, the open file, and the name of that file in messages."""

    format: Any
    file: TextIO
    name: str

    @property
    def is_standard(self) -> bool:
        """Whether it is written to standard output."""
        return self.file is sys.stdout


def format_among(formats: Sequence[str]) -> Callable[[C], C]:
    """Return a decorator that adds --format, as `format_`: one of `formats`, the first by default."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Format of the report on standard output.",
    )


def report_among(formats: Sequence[str]) -> Callable[[C], C]:
    """Return a decorator that adds --report, as `report_files`: pairs of one of `formats` and a path, for `open_outputs`."""

    def split(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[tuple[str, Path]]:
        found = []
        for value in values:
            name, _, path = value.partition("=")
            if name not in formats or not path:
                raise click.BadParameter(f"{value!r}: write FORMAT=PATH, with one of {', '.join(formats)}")
            found.append((name, Path(path)))
        return found

    return click.option(
        "--report",
        "report_files",
        metavar="FORMAT=PATH",
        multiple=True,
        callback=split,
        help=f"Also write a report to a file, as {', '.join(formats[:-1])} or {formats[-1]}. May be repeated.",
    )


format_ = format_among(reports.FORMATS)
"""Adds --format with the formats of `kling_contract.reports`."""

report = report_among(reports.FORMATS)
"""Adds --report with the formats of `kling_contract.reports`."""


def open_outputs(ctx: click.Context, format_: str, report_files: Sequence[tuple[str, Path]]) -> list[Output]:
    """Return the report on standard output and those of --report, whose files are opened until `ctx` is closed.

    Open them before the work begins, so that no report is lost after it. A file keeps its content until its report is
    written. Raise BadParameter for a file that cannot be written.
    """
    outputs = [Output(format_, sys.stdout, "standard output")]
    for name, path in report_files:
        try:
            file = path.open("a", encoding="utf-8")
        except OSError as unusable:
            raise click.BadParameter(
                f"{path} cannot be written: {unusable.strerror}", param_hint="--report"
            ) from unusable
        ctx.call_on_close(partial(_close, file))
        outputs.append(Output(name, file, str(path)))
    return outputs


def write_reports(outputs: Iterable[Output], lines: Callable[[Output], Iterable[str]]) -> bool:
    """Write to each of `outputs` the lines that `lines` returns for it, and return whether all could be written.

    A file that cannot be written is named on standard error and keeps none of the others from being written. Raise
    BrokenPipeError, after all, when nobody reads standard output any more.
    """
    complete = True
    closed: BrokenPipeError | None = None
    for output in outputs:
        try:
            if not output.is_standard and output.file.seekable():
                output.file.truncate(0)
            for line in lines(output):
                output.file.write(line + "\n")
            output.file.flush()
        except (OSError, UnicodeError) as failed:
            complete = False
            if isinstance(failed, BrokenPipeError) and output.is_standard:
                closed = failed
                continue
            click.echo(f"kling-contract: the report could not be written to {output.name}: {failed}", err=True)
    if closed is not None:
        raise closed  # `main` ends quietly then
    return complete


def _close(file: TextIO) -> None:
    with suppress(OSError):  # it was already said that it cannot be written
        file.close()


def fail_on(command: C) -> C:
    """Add --fail-on."""
    return click.option(
        "--fail-on",
        type=click.Choice(violation.SEVERITIES),
        default="error",
        show_default=True,
        help="The least severity that makes the exit code 1.",
    )(command)


def revision(command: C) -> C:
    """Add --revision."""
    return click.option(
        "--revision",
        metavar="ID",
        help=f"Revision of the contract, or 'latest'. Default: ${REVISION_VARIABLE}, or the first one documented.",
    )(command)


def model(help_: str) -> Callable[[C], C]:
    """Return a decorator that adds --model, with `help_` as the beginning of its help."""
    return click.option("--model", metavar="ID", help=f"{help_} `schema --models` lists them.")


def strictness(command: C) -> C:
    """Add --strictness."""
    return click.option(
        "--strictness",
        type=click.Choice(STRICTNESS),
        default="lax",
        show_default=True,
        help="strict: the documents to the letter. lax: also what the live service is known to accept. "
        "off: refuse nothing.",
    )(command)


def seed(help_: str, *, default: int | None = None) -> Callable[[C], C]:
    """Return a decorator that adds --seed, with `help_` as its help; None as `default` means a new seed each time."""
    return click.option(
        "--seed", type=int, metavar="NUMBER", default=default, show_default=default is not None, help=help_
    )


def scenario(command: C) -> C:
    """Add --scenario."""
    return click.option(
        "--scenario",
        metavar="NAME",
        default="happy",
        show_default=True,
        help="How generations go: a shipped scenario, or a file whose name ends in .json.",
    )(command)
