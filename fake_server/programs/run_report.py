"""The reports of a run, and whether what they say makes it fail."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Literal, get_args

from fake_server.programs.summary import Summary
from fake_server.recording.traffic import title
from fake_server.server import FakeServer
from kling_contract import reports
from kling_contract.violation import FileResult, Severity, Violation

__all__ = ["FAIL_ON", "FORMATS", "FailOn", "RunFormat", "fails", "lines"]

RunFormat = Literal["text", "json", "github", "sarif", "junit", "har"]
FORMATS: tuple[RunFormat, ...] = (*reports.FORMATS, "har")

FailOn = Literal["error", "warning", "escape"]
"""What makes a run fail: a violation that is an error, one that is an error or a warning, a connection to another host."""

FAIL_ON: tuple[FailOn, ...] = get_args(FailOn)


_ERROR: tuple[FailOn, ...] = ("error",)


def fails(summary: Summary, fail_on: Collection[FailOn]) -> bool:
    """Return whether one of the things in `fail_on` happened.

    Each stands for itself: "escape" alone does not count violations, and "warning" does not count escapes. Give both to have
    both. Notices never count.
    """
    severities = {each.violation.severity for each in summary.deviations}
    return (
        ("error" in severities and not {"error", "warning"}.isdisjoint(fail_on))
        or ("warning" in severities and "warning" in fail_on)
        or (bool(summary.escapes) and "escape" in fail_on)
    )


def lines(
    fake: FakeServer,
    summary: Summary,
    format: RunFormat,  # noqa: A002
    *,
    fail_on: Collection[FailOn] = _ERROR,
) -> Iterator[str]:
    """Yield a report on a run line by line, without line ends.

    It has a result for each exchange in the journal, and one for each address in the escapes, whose rule is "escape": an error
    if `fail_on` has it, else a notice. Text ends with the summary; the JSON has it as `run`, beside the members that
    `kling_contract.reports.lines` describes. "har" is the journal as an HTTP Archive, without escapes.
    """
    if format == "har":
        yield json.dumps(fake.journal.har())
        return
    results = _results(fake, summary, "error" if "escape" in fail_on else "notice")
    if format == "json":
        yield from reports.json_lines(results, run=summary.as_json())
        return
    yield from reports.lines(results, format, fail_on="warning" if "warning" in fail_on else "error")
    if format == "text":
        yield summary.text()


def _results(fake: FakeServer, summary: Summary, severity: Severity) -> Iterator[FileResult]:
    for exchange in fake.journal:
        yield FileResult(title(exchange), exchange.violations)
    for escape in summary.escapes:
        message = f"the program connected to {escape}, which is not the API"
        hint = f"allow it if it is meant: --allow {escape.address}"
        found = Violation("", "escape", message, severity, hint=hint, part="connection")
        yield FileResult(f"connection to {escape.address}", [found])
