"""Reports of a check: text, JSON, JUnit XML, SARIF and GitHub annotations."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from kling_contract import reports, violation
from kling_contract.checks.findings import CheckResult, Finding
from kling_contract.contract import Contract
from kling_contract.display import printable
from kling_contract.reports import Format
from kling_contract.violation import Severity

__all__ = ["CheckReport", "best", "compared", "lines"]

_LABELS: Mapping[Severity, str] = {"error": "broken", "warning": "assumed", "notice": "notice"}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """One check of one server, for one model. `sent` is the number of requests.

    If several revisions were tried, `revisions` has the number of findings of each, and `revision` is the best. `fail_on` is
    the least severity of a finding that makes a claim count as broken.
    """

    server: str
    revision: str
    model: str
    seed: int
    sent: int
    results: Sequence[CheckResult]
    revisions: Mapping[str, int] = field(default_factory=dict)
    fail_on: Severity = "error"

    @property
    def findings(self) -> list[Finding]:
        """All findings, in the order of the claims."""
        return [finding for result in self.results for finding in result.findings]

    @property
    def kept(self) -> bool:
        """Whether every claim was checked to its end, and none counts as broken."""
        return self.summary["broken"] == 0 and not any(result.incomplete for result in self.results)

    @property
    def summary(self) -> dict[str, int]:
        """How many claims are kept, broken, kept in another way than assumed, and skipped."""
        counting = violation.failing(self.fail_on)
        telling = {"notice"}.difference(counting)  # what has only these is about no claim
        results = [each for each in self.results if not each.findings or {f.severity for f in each.findings} - telling]
        found = [result for result in results if result.findings]
        broken = sum(any(finding.severity in counting for finding in result.findings) for result in found)
        skipped = sum(result.skipped is not None for result in results)
        kept = len(results) - len(found) - skipped
        return {"kept": kept, "broken": broken, "not_as_assumed": len(found) - broken, "skipped": skipped}


def lines(report: CheckReport, format: Format) -> Iterator[str]:  # noqa: A002
    """Yield a report line by line, without line ends.

    The JSON is one object: `version` is 1; `server`, `revision`, `model`, `seed`, `sent` (requests), `revisions`
    (findings by revision, if several were tried), `summary` and `results`, each with the fields of a CheckResult and of its
    Findings.
    """
    if format == "text":
        yield from _text(report)
    elif format == "json":
        named = {"server": report.server, "revision": report.revision, "model": report.model}
        counted = {
            "seed": report.seed,
            "sent": report.sent,
            "revisions": dict(report.revisions),
            "summary": report.summary,
        }
        yield json.dumps(
            {"version": 1, **named, **counted, "results": [asdict(result) for result in report.results]}, indent=1
        )
    elif format == "junit":
        yield from reports.junit(report.results, fail_on=report.fail_on)
    elif format == "sarif":
        yield from reports.sarif(map(_InDocument, report.findings))
    else:
        yield from reports.github_annotations(map(_InDocument, report.findings))
        yield _summary(report)


def compared(revisions: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each revision that was tried, with its number of findings; the best ones have an asterisk."""
    for revision, count in revisions.items():
        mark = "*" if count == min(revisions.values()) else " "
        yield f"{mark} {revision}  {count} finding{'' if count == 1 else 's'}"


def best(revisions: Mapping[str, int]) -> str:
    """Return the revision with the fewest findings; of several the default, or else the newest."""
    fewest = [revision for revision, count in revisions.items() if count == min(revisions.values())]
    default = Contract.load().revision.id
    return default if default in fewest else max(fewest)


def _text(report: CheckReport) -> Iterator[str]:
    yield from compared(report.revisions)
    for finding in report.findings:
        yield from (printable(line) for line in f"{_LABELS[finding.severity]:10}{finding}".splitlines())
    reasons = dict.fromkeys(result.skipped for result in report.results if result.skipped)
    for reason in reasons:
        claims = [result.claim for result in report.results if result.skipped == reason]
        yield f"skipped   {', '.join(claims)}: {reason}"
    yield _summary(report)


def _summary(report: CheckReport) -> str:
    counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in report.summary.items() if count)
    return f"{report.server} against {report.revision}, {report.model}: {counts}; {report.sent} requests, --seed {report.seed}"


@dataclass(frozen=True, slots=True)
class _InDocument:
    """A finding as one in a file: the document that it rests on."""

    finding: Finding
    unreadable: None = None
    skipped: None = None

    @property
    def name(self) -> str:
        return posixpath.normpath(f"schemas/{self.finding.revision}/{self.finding.document}")

    @property
    def findings(self) -> tuple[Finding]:
        return (self.finding,)
