"""`kling-contract check`: checks a server, or a recording, against the contract; free of charge by default."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from kling_contract import reports, violation
from kling_contract.checks import report as check_report
from kling_contract.checks.deadline import LONGEST
from kling_contract.checks.report import CheckReport, best
from kling_contract.cli import options
from kling_contract.cli.progress import progress
from kling_contract.clock import SystemClock
from kling_contract.contract import Contract, revisions
from kling_contract.contract.family import revisions_of
from kling_contract.errors import ServerUnreachable
from kling_contract.hosts import root_of
from kling_contract.redaction import KEY_VARIABLE
from kling_contract.violation import Severity

__all__ = ["command"]

_ALL = "all"
_UNREACHABLE = 3


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
    help="Check this HTTP Archive, as `kling-contract record` writes it, instead of a server.",
)
@click.option("--remote", is_flag=True, help=f"Allow another machine than this one. Needs the key in ${KEY_VARIABLE}.")
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
@options.model("Model that is asked for. Default: that of the revision.")
@options.format_
@options.report
@options.fail_on
@click.option(
    "--time-limit",
    type=float,
    callback=_within,
    metavar="SECONDS",
    help="For the whole run, a week at most.",
)
@options.seed("Repeat the run that reported this seed.")
@click.pass_context
def command(
    ctx: click.Context,
    url: str | None,
    har: Path | None,
    remote: bool,
    allow_create: bool,
    spend: int,
    yes: bool,
    revision: str | None,
    model: str | None,
    format_: str,
    report_files: list[tuple[str, Path]],
    fail_on: Severity,
    time_limit: float | None,
    seed: int | None,
) -> None:
    """Check the server at URL, or a recording, against the contract.

    By default no request is sent that could create a generation. A finding is a warning if a server refuses as it must, but
    with another status than the documents only assume.

    Exit code 0: the contract is kept; 1: it is broken, not everything could be checked, or a report could not be written; 2:
    wrong usage; 3: the server cannot be reached.
    """
    if (url is None) == (har is None):
        raise click.UsageError("give the URL of a server, or --har and a recording")
    if allow_create and spend:
        raise click.UsageError("--allow-create creates any number already: use it without --spend")
    if revision == _ALL and spend:
        raise click.UsageError("--spend pays for one revision: name it instead of 'all'")
    if har is not None and model is not None:
        raise click.UsageError("--model is for servers: in a recording each create names its own model")
    contracts = _contracts(revision, model)
    if url is None:
        assert har is not None
        outputs = options.open_outputs(ctx, format_, report_files)
        lines, kept = _check_recording(har, contracts, fail_on)
    else:
        key = _key(needed=remote)
        try:
            root_of(url, allow_remote=remote)
        except ServerUnreachable as unusable:
            raise click.BadParameter(str(unusable), param_hint="URL") from unusable
        outputs = options.open_outputs(ctx, format_, report_files)
        if spend and not yes:
            _confirm(contracts[0], spend, url)
        settings = {"creations": None if allow_create else spend, "key": key, "allow_remote": remote, "seed": seed}
        try:
            with _hypothesis_elsewhere():
                report = replace(_check_server(url, contracts, time_limit, **settings), fail_on=fail_on)
        except ServerUnreachable as unreachable:
            click.echo(f"kling-contract: {unreachable}", err=True)
            ctx.exit(_UNREACHABLE)
        lines, kept = partial(check_report.lines, report), report.kept
    written = options.write_reports(outputs, lambda output: lines(output.format))
    ctx.exit(0 if kept and written else 1)


def _contracts(revision: str | None, model: str | None) -> list[Contract]:
    """Return the contracts to check: one, or with "all" those of every revision that has the model."""
    if revision != _ALL:
        return [Contract.load(revision, model=model)]
    names = revisions() if model is None else revisions_of(model)
    contracts = [Contract.load(name, model=model) for name in names]
    return contracts or [Contract.load(model=model)]  # for a model that nobody knows this raises UnknownModel


def _check_server(url: str, contracts: Sequence[Contract], time_limit: float | None, **settings: Any) -> CheckReport:
    """Check a server against each of several contracts, within one time limit. Return the report of the best."""
    from kling_contract.checks.runner import CheckRun

    tried: dict[str, CheckReport] = {}
    clock = SystemClock()
    began = clock.now()
    for contract in contracts:
        left = None if time_limit is None else max(0.001, time_limit - (clock.now() - began))
        with (
            CheckRun(url, contract=contract, time_limit=left, **settings) as run,
            progress(str(contract.revision), len(run.claims)) as show,
        ):
            results = tuple(run.results(lambda claim: show(claim.description)))
        tried[contract.revision.id] = CheckReport(
            url, contract.revision.id, contract.model, run.seed, run.sent, results
        )
    counts = {name: len(report.findings) for name, report in tried.items()}
    return replace(tried[best(counts)], revisions=counts if len(counts) > 1 else {})


def _check_recording(
    har: Path, contracts: Sequence[Contract], fail_on: Severity
) -> tuple[Callable[[reports.Format], Iterator[str]], bool]:
    """Check a recording against each of several contracts. Return the report of the best, and whether that one is kept."""
    from fake_server.recording.traffic import validate_recording

    tried = {contract.revision.id: validate_recording(har, contract=contract) for contract in contracts}
    failing = violation.failing(fail_on)
    counts = {
        name: sum(any(found.severity in failing for found in result.findings) for result in results)
        for name, results in tried.items()
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
            raise click.UsageError(f"--remote needs the API key in the environment variable {KEY_VARIABLE}")
        return None
    try:
        Key(key)
    except ValueError as unusable:
        raise click.UsageError(f"{KEY_VARIABLE}: {unusable}") from unusable
    return key


def _confirm(contract: Contract, spend: int, url: str) -> None:
    """Ask before anything is paid for. Raise UsageError where nobody can be asked."""
    from kling_contract.checks.plan import photo_payload

    seconds = contract.video_seconds(photo_payload(contract))
    price = contract.price(seconds)
    cost = "an unknown price" if price is None else f"{price * spend:,.0f} {contract.observed.price.unit}"
    generations = f"{spend} generation{'s' * (spend > 1)} of {seconds:g} s"
    question = f"{generations} by {contract.model} at {url} cost {cost}, as documented on {contract.revision}"
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question}; say --yes to go on")
    click.confirm(f"{question}. Go on?", abort=True, err=True)


@contextmanager
def _hypothesis_elsewhere() -> Iterator[None]:
    """Make Hypothesis, which stores files in the working directory, store them where they are deleted afterwards."""
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
