"""Claims about the reports of a check: each format says what was found, what was skipped, and what was not checked to its end."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from kling_contract.checks.findings import CheckResult, Finding
from kling_contract.checks.report import CheckReport, lines
from kling_contract.reports import FORMATS, Format

FINDING = Finding(
    claim="ids-are-short",
    description="Ids are short.",
    expected="an id of 8 characters",
    actual="201 {}",
    problem="it has 9",
    others=2,
    reproduce="curl -X POST http://localhost/",
    document="observed.json",
    pointer="/answers/create",
    revision="2025-04-25",
)
RESULTS = [
    CheckResult(claim="ids-are-short", description="Ids are short.", findings=(FINDING,)),
    CheckResult(claim="videos-are-long", description="Videos are long.", skipped="nobody can watch them"),
    CheckResult(claim="it-ends", description="It ends.", skipped="the time is over", incomplete=True),
    CheckResult(claim="it-begins", description="It begins."),
]
REPORT = CheckReport("http://localhost", "2025-04-25", "kling-video/v1/pro/image-to-video", 7, 12, RESULTS)


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_has_all_of_a_finding(format_: Format) -> None:
    """Each format has what was expected, what came, the problem, how many others there are, and how to see it again."""
    text = "\n".join(lines(REPORT, format_))
    for part in (FINDING.claim, FINDING.expected, FINDING.problem, FINDING.reproduce, FINDING.pointer):
        assert part in text
    assert "2 other payloads" in text or '"others": 2' in text


def test_junit_tells_results_apart() -> None:
    """In JUnit XML a finding is a failure, a skipped claim is skipped, and one that was not checked to its end is an error."""
    root = ElementTree.fromstring("\n".join(lines(REPORT, "junit")))
    suite = root[0]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "1", "1", "1"]
    outcomes = {case.get("name"): [(child.tag, child.get("message")) for child in case] for case in suite}
    assert [tag for tag, _ in outcomes["ids-are-short"]] == ["failure"]
    assert outcomes["videos-are-long"] == [("skipped", "nobody can watch them")]
    assert outcomes["it-ends"] == [("error", "the time is over")]
    assert outcomes["it-begins"] == []


def test_the_summary_counts_claims() -> None:
    """The summary counts claims that are kept, broken and skipped; a check that is not complete does not keep the contract."""
    assert REPORT.summary == {"kept": 1, "broken": 1, "not_as_assumed": 0, "skipped": 2}
    assert json.loads("\n".join(lines(REPORT, "json")))["summary"] == REPORT.summary
    assert not REPORT.kept
    assert CheckReport(
        "http://localhost", "2025-04-25", "kling-video/v1/pro/image-to-video", 7, 12, [RESULTS[1], RESULTS[3]]
    ).kept
    assert not CheckReport(
        "http://localhost", "2025-04-25", "kling-video/v1/pro/image-to-video", 7, 12, [RESULTS[2]]
    ).kept
