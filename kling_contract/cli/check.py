"""`kling-contract check`: does a server keep the contract? Free of charge, unless told otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO, get_args

import click

from kling_contract import reports, violation
from kling_contract.checks import report as check_report
from kling_contract.checks.deadline import LONGEST
from kling_contract.checks.report import Report, best
from kling_contract.cli import options
from kling_contract.clock import SystemClock
from kling_contract.contract import Contract, revisions
from kling_contract.errors import ServerUnreachable
from kling_contract.hosts import root_of
from kling_contract.redaction import KEY_VARIABLE
from kling_contract.violation import Severity

if TYPE_CHECKING:
    from kling_contract.checks.plan import Question

__all__ = ["command"]

_ALL = "all"
_UNREACHABLE = 3


def _split(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> list[tuple[reports.Format, Path]]:
    """Read FORMAT=PATH."""
    found: list[tuple[reports.Format, Path]] = []
    for value in values:
        name, _, path = value.partition("=")
        if name not in reports.FORMATS or not path:
            raise click.BadParameter(f"{value!r}: write FORMAT=PATH, with one of {', '.join(reports.FORMATS)}")
        found += [(each, Path(path)) for each in get_args(reports.Format) if each == name]
    return found


def _within(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse a time limit that no run can have: infinity, "nan", more than a week."""
    if value is not None and not 0 < value <= LONGEST:
        raise click.BadParameter(f"{value:g} is not between 0 and {LONGEST:g} seconds, which are a week")
    return value


@click.command("check")
@click.argument("url", required=False)
@click.option(
    "--har",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Judge this HTTP Archive instead of a server, as `kling-contract record` writes it.",
)
@click.option(
    "--live", is_flag=True, help=f"Let another machine than this be asked. The key comes from ${KEY_VARIABLE}."
)
@click.option(
    "--allow-create",
    is_flag=True,
    help="Create as many generations as it takes. For servers that cost nothing.",
)
@click.option(
    "--spend",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Create N generations, which are paid for, and follow each to its end.",
)
@click.option("--yes", is_flag=True, help="Do not ask before --spend.")
@click.option(
    "--revision",
    metavar="ID",
    help="Revision of the contract, 'latest', or 'all' to learn which one the server speaks.",
)
@options.format_
@options.fail_on
@click.option(
    "--report",
    "files",
    metavar="FORMAT=PATH",
    multiple=True,
    callback=_split,
    help="Write a report to a file. Repeatable.",
)
@click.option(
    "--time-limit",
    type=float,
    callback=_within,
    metavar="SECONDS",
    help="For the whole run, a week at most.",
)
@click.option("--seed", type=int, metavar="NUMBER", help="Repeat the run that told this seed.")
@click.pass_context
def command(
    ctx: click.Context,
    url: str | None,
    har: Path | None,
    live: bool,
    allow_create: bool,
    spend: int,
    yes: bool,
    revision: str | None,
    format_: reports.Format,
    fail_on: Severity,
    files: list[tuple[reports.Format, Path]],
    time_limit: float | None,
    seed: int | None,
) -> None:
    """Hold the server at URL, or a recording, against the contract.

    By default only requests are sent that cannot create a generation. A finding is a warning where a server refuses as it
    must, but with another status than the documents, which nobody has seen there, assume.

    Exit code 0: the contract is kept; 1: it is broken, not everything could be asked, or a report could not be written; 2:
    wrong usage; 3: the server cannot be reached.
    """
    if (url is None) == (har is None):
        raise click.UsageError("give the URL of a server, or --har and a recording")
    if allow_create and spend:
        raise click.UsageError("--allow-create creates any number already: use it without --spend")
    if revision == _ALL and spend:
        raise click.UsageError("--spend pays for one revision: name it instead of 'all'")
    contracts = [Contract.load(each) for each in (revisions() if revision == _ALL else [revision])]
    if url is None:
        assert har is not None
        written = _opened(ctx, files)
        lines, kept = _recorded(har, contracts, fail_on)
    else:
        key = _key(needed=live)
        try:
            root_of(url, allow_remote=live)
        except ServerUnreachable as unusable:
            raise click.BadParameter(str(unusable), param_hint="URL") from unusable
        written = _opened(ctx, files)
        if spend and not yes:
            _confirm(contracts[0], spend, url)
        creations = None if allow_create else spend
        try:
            with _hypothesis_elsewhere():
                report = _checked(url, contracts, time_limit, creations=creations, key=key, live=live, seed=seed)
                report = replace(report, fail_on=fail_on)
        except ServerUnreachable as unreachable:
            click.echo(f"kling-contract: {unreachable}", err=True)
            ctx.exit(_UNREACHABLE)
        lines, kept = partial(check_report.lines, report), report.kept
    outputs: list[tuple[str, TextIO, reports.Format]] = [("standard output", sys.stdout, format_), *written]
    closed: BrokenPipeError | None = None
    for name, file, each in outputs:
        try:
            if file.seekable() and name != "standard output":
                file.truncate(0)
            file.write("\n".join(lines(each)) + "\n")
            file.flush()
        except (OSError, UnicodeError) as failed:
            click.echo(f"kling-contract: the report could not be written to {name}: {failed}", err=True)
            kept = False
            if isinstance(failed, BrokenPipeError) and file is sys.stdout:
                closed = failed
    if closed is not None:
        raise closed  # click knows how to end quietly then
    ctx.exit(0 if kept else 1)


def _opened(
    ctx: click.Context, files: Sequence[tuple[reports.Format, Path]]
) -> list[tuple[str, TextIO, reports.Format]]:
    """Open every report before anything is asked, and paid for. What is in a file stays there until there is a report."""
    opened: list[tuple[str, TextIO, reports.Format]] = []
    for format_, path in files:
        try:
            file = path.open("a", encoding="utf-8")
        except OSError as unusable:
            raise click.BadParameter(
                f"{path} cannot be written: {unusable.strerror}", param_hint="--report"
            ) from unusable
        ctx.call_on_close(partial(_close, file))
        opened.append((str(path), file, format_))
    return opened


def _close(file: TextIO) -> None:
    with suppress(OSError):  # what could not be written was said
        file.close()


def _checked(url: str, contracts: Sequence[Contract], time_limit: float | None, **asking: Any) -> Report:
    from kling_contract.checks.runner import Inspection

    tried: dict[str, Report] = {}
    clock = SystemClock()
    began = clock.now()
    for contract in contracts:
        left = None if time_limit is None else max(0.001, time_limit - (clock.now() - began))
        with (
            Inspection(url, contract=contract, time_limit=left, **asking) as asked,
            _progress(str(contract.revision), len(asked.questions)) as show,
        ):
            verdicts = tuple(asked.verdicts(show))
        tried[contract.revision.id] = Report(url, contract.revision.id, asked.seed, asked.sent, verdicts)
    counts = {name: len(report.findings) for name, report in tried.items()}
    return replace(tried[best(counts)], revisions=counts if len(counts) > 1 else {})


def _recorded(
    har: Path, contracts: Sequence[Contract], fail_on: Severity
) -> tuple[Callable[[reports.Format], Iterator[str]], bool]:
    from fake_server.recording.traffic import validate_recording

    tried = {contract.revision.id: validate_recording(har, contract=contract) for contract in contracts}
    failing = violation.failing(fail_on)
    counts = {
        name: sum(any(found.severity in failing for found in each.by_severity) for each in judged)
        for name, judged in tried.items()
    }
    chosen = best(counts)

    def lines(format_: reports.Format) -> Iterator[str]:
        if format_ == "text" and len(counts) > 1:
            yield from check_report.compared(counts)
        yield from reports.lines(tried[chosen], format_, fail_on=fail_on)

    return lines, not counts[chosen]


def _key(*, needed: bool) -> str | None:
    from kling_contract.redaction import Key

    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        if needed:
            raise click.UsageError(f"--live needs the API key in the environment variable {KEY_VARIABLE}")
        return None
    try:
        Key(key)
    except ValueError as unusable:
        raise click.UsageError(f"{KEY_VARIABLE}: {unusable}") from unusable
    return key


def _confirm(contract: Contract, spend: int, url: str) -> None:
    from kling_contract.checks.plan import photo_payload

    seconds = contract.video_seconds(photo_payload(contract))
    cost = f"{contract.price(seconds) * spend:,.0f} {contract.observed.price.unit}"
    told = f"{spend} generation{'s' * (spend > 1)} of {seconds:g} s at {url} cost {cost}, as documented on {contract.revision}"
    if not sys.stdin.isatty():
        raise click.UsageError(f"{told}; say --yes to go on")
    click.confirm(f"{told}. Go on?", abort=True, err=True)


@contextmanager
def _hypothesis_elsewhere() -> Iterator[None]:
    """Let Hypothesis, which keeps notes in the working directory, keep them where they are cleared away."""
    name = "HYPOTHESIS_STORAGE_DIRECTORY"
    if name in os.environ:
        yield
        return
    with TemporaryDirectory() as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            del os.environ[name]


@contextmanager
def _progress(revision: str, total: int) -> Iterator[Callable[[Question], object]]:
    """Show on a terminal what is being asked; show nothing in pipes."""
    if not sys.stderr.isatty():
        yield lambda question: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.status import Status

    asked = 0
    with Status("connecting…", console=Console(stderr=True)) as status:

        def show(question: Question) -> None:
            nonlocal asked
            asked += 1
            status.update(f"{revision}  {asked} of {total}  {escape(question.sentence)}")

        yield show
