"""How is a check shown? What a server was found to do, as text, JSON, JUnit XML, SARIF and GitHub annotations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from kling_contract import reports, violation
from kling_contract.checks.findings import Finding, Verdict
from kling_contract.contract import Contract
from kling_contract.display import printable
from kling_contract.reports import FileResult, Format
from kling_contract.violation import Severity, Violation

__all__ = ["Report", "best", "compared", "lines"]

_LABELS: Mapping[Severity, str] = {"error": "broken", "warning": "assumed"}


@dataclass(frozen=True, slots=True)
class Report:
    """One check of one server. `revisions` says of each revision that was tried how many findings there were.

    `revision` is then the one with the fewest; of several, the first one documented, or else the newest. `fail_on` is the
    least severity of a finding by which the contract counts as broken.
    """

    server: str
    revision: str
    seed: int
    sent: int
    verdicts: Sequence[Verdict]
    revisions: Mapping[str, int] = field(default_factory=dict)
    fail_on: Severity = "error"

    @property
    def findings(self) -> list[Finding]:
        """Everything that was found."""
        return [finding for verdict in self.verdicts for finding in verdict.findings]

    @property
    def kept(self) -> bool:
        """Was everything asked to its end, and nothing found that counts?"""
        return self.summary["broken"] == 0 and not any(verdict.incomplete for verdict in self.verdicts)

    @property
    def summary(self) -> dict[str, int]:
        """How many promises are kept, broken, kept in another way than assumed, and left out."""
        counting = violation.failing(self.fail_on)
        found = [verdict for verdict in self.verdicts if verdict.findings]
        broken = sum(any(finding.severity in counting for finding in verdict.findings) for verdict in found)
        left_out = sum(verdict.left_out is not None for verdict in self.verdicts)
        kept = len(self.verdicts) - len(found) - left_out
        return {"kept": kept, "broken": broken, "not_as_assumed": len(found) - broken, "left_out": left_out}


def lines(report: Report, format: Format) -> Iterator[str]:  # noqa: A002
    """Yield a report line by line, without line ends.

    The JSON is one object: `version` is 1; `server`, `revision`, `seed`, `sent` (requests), `revisions` (findings by revision,
    when several were tried), `summary` and `verdicts`, each with the fields of a Verdict and of its Findings.
    """
    if format == "text":
        yield from _text(report)
    elif format == "json":
        named = {"server": report.server, "revision": report.revision, "seed": report.seed, "sent": report.sent}
        counted = {"revisions": dict(report.revisions), "summary": report.summary}
        yield json.dumps(
            {"version": 1, **named, **counted, "verdicts": [asdict(each) for each in report.verdicts]}, indent=1
        )
    elif format == "junit":
        yield from reports.lines([_judged(each) for each in report.verdicts], "junit", fail_on=report.fail_on)
    else:
        placed = [_placed(finding) for finding in report.findings]
        shown = list(reports.lines(placed, format))
        yield from (*shown[:-1], _summary(report)) if format == "github" else shown


def compared(revisions: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each revision that was tried, with its number of findings; those that match best have an asterisk."""
    for revision, count in revisions.items():
        mark = "*" if count == min(revisions.values()) else " "
        yield f"{mark} {revision}  {count} finding{'' if count == 1 else 's'}"


def best(revisions: Mapping[str, int]) -> str:
    """Return the revision with the fewest findings; of several the default, or else the newest."""
    fewest = [each for each, count in revisions.items() if count == min(revisions.values())]
    default = Contract.load().revision.id
    return default if default in fewest else max(fewest)


def _text(report: Report) -> Iterator[str]:
    yield from compared(report.revisions)
    for finding in report.findings:
        yield from (printable(line) for line in f"{_LABELS[finding.severity]:10}{finding}".splitlines())
    reasons = dict.fromkeys(verdict.left_out for verdict in report.verdicts if verdict.left_out)
    for reason in reasons:
        claims = [verdict.claim for verdict in report.verdicts if verdict.left_out == reason]
        yield f"left out  {', '.join(claims)}: {reason}"
    yield _summary(report)


def _summary(report: Report) -> str:
    counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in report.summary.items() if count)
    return f"{report.server} against {report.revision}: {counts}; {report.sent} requests, --seed {report.seed}"


def _judged(verdict: Verdict) -> FileResult:
    """Return a question as the JUnit report has its cases: what was not asked to its end is an error."""
    if verdict.incomplete and not verdict.findings:
        return FileResult(verdict.claim, unreadable=verdict.left_out)
    if verdict.left_out:
        return FileResult(verdict.claim, [Violation("", "left-out", verdict.left_out, severity="notice", part="claim")])
    return FileResult(verdict.claim, [_violation(finding) for finding in verdict.findings])


def _placed(finding: Finding) -> FileResult:
    """Return a finding as others show it, in a file: the document that it rests on."""
    return FileResult(f"schemas/{finding.revision}/{finding.document}", [_violation(finding)])


def _violation(finding: Finding) -> Violation:
    message = f"{finding.sentence} expected: {finding.expected}; came: {finding.came}"
    curl = finding.curl or None
    return Violation(
        finding.pointer, finding.claim, message, hint=curl, part=finding.document, severity=finding.severity
    )
