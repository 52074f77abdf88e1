"""Reports: validation results as text, JSON, GitHub annotations, SARIF or JUnit XML.

All of them are written from two shapes: a `Result` is a named thing that was checked, and a `Reportable` one problem of it.
A `FileResult` with its `Violation`s and a checked claim with its findings are both. The validator returns violations in
document order; a report shows those of one result by severity, the worst first, and in document order within a severity.

Each format is a stream of lines, so that a report takes no more memory for a million payloads than for one. Only JUnit is
held back to the end, since it begins with its totals.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import quote

from kling_contract.display import printable
from kling_contract.version import __version__
from kling_contract.violation import SEVERITIES, UNREADABLE, FileResult, Severity, Violation, failing

__all__ = [
    "FORMATS",
    "FileResult",
    "Format",
    "Reportable",
    "Result",
    "fields_of",
    "github_annotations",
    "json_lines",
    "junit",
    "lines",
    "render",
    "sarif",
]

Format = Literal["text", "json", "github", "sarif", "junit"]
FORMATS: tuple[Format, ...] = ("text", "json", "github", "sarif", "junit")

_TOOL = "kling-contract"
_COLORS = {"error": "1;31", "warning": "33", "notice": "36"}
_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SARIF_LEVELS = {"error": "error", "warning": "warning", "notice": "note"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Reportable(Protocol):
    """What a report says about one thing that is wrong: a Violation of a payload, or a Finding on a server."""

    @property
    def severity(self) -> Severity: ...
    @property
    def rule(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def hint(self) -> str | None: ...
    @property
    def part(self) -> str: ...
    @property
    def pointer(self) -> str: ...
    @property
    def line(self) -> int | None: ...
    @property
    def column(self) -> int | None: ...


class Result(Protocol):
    """What was checked under one name, and what was found, the worst first.

    `unreadable` says why it could not be checked to its end, `skipped` why it was not checked at all (None: it was).
    """

    @property
    def name(self) -> str: ...
    @property
    def findings(self) -> Sequence[Reportable]: ...
    @property
    def unreadable(self) -> str | None: ...
    @property
    def skipped(self) -> str | None: ...


def render(results: Iterable[FileResult], format: Format, *, color: bool = False, fail_on: Severity = "error") -> str:  # noqa: A002
    """Return the whole report; see `lines`."""
    return "\n".join(lines(results, format, color=color, fail_on=fail_on))


def lines(
    results: Iterable[FileResult],
    format: Format,  # noqa: A002
    *,
    color: bool = False,
    fail_on: Severity = "error",
) -> Iterator[str]:
    """Yield the report line by line, without line ends, while `results` are still coming in.

    `color` adds ANSI colors to text. `fail_on` is the least severity that makes a JUnit test case fail.

    The JSON is one object: `version` is 1; `results` has, for each payload, `name`, `verdict` ("accepted", "refused" or
    "unreadable"), `unreadable` (why, or null) and `violations`, each with the fields of a Violation; `summary` counts payloads
    by verdict and violations by severity.
    """
    if format == "text":
        return _text(results, color)
    if format == "json":
        return json_lines(results)
    if format == "github":
        return _github(results)
    if format == "sarif":
        return sarif(results)
    return junit(results, fail_on=fail_on)


def _text(results: Iterable[FileResult], color: bool) -> Iterator[str]:
    def painted(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if color else text

    totals: Counter[str] = Counter()
    for result in _counted(results, totals):
        violations = result.findings
        if not violations:
            continue
        rows = [
            (_place(result.name, violation), violation.severity, _where(violation), printable(violation.rule))
            for violation in violations
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for violation, row in zip(violations, rows, strict=True):
            place, severity, where, rule = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            label = painted(severity, _COLORS[violation.severity])
            since = painted(f"  (since {printable(violation.since)})", "2") if violation.since else ""
            yield f"{painted(place, '1')}  {label}  {where}  {painted(rule, '2')}  {printable(violation.message)}{since}"
            if violation.hint:
                yield f"    {painted('hint: ' + printable(violation.hint), '36')}"
    yield painted(_summary(totals), _COLORS["error"] if totals["refused"] or totals[UNREADABLE] else "32")


def json_lines(results: Iterable[FileResult], **members: Any) -> Iterator[str]:
    """Yield the JSON that `lines` describes; `members` are further members of the object."""
    totals: Counter[str] = Counter()
    written = (
        {
            "name": _clean(result.name),
            "verdict": result.verdict,
            "unreadable": None if result.unreadable is None else _clean(result.unreadable),
            "violations": [fields_of(violation) for violation in result.findings] if result.unreadable is None else [],
        }
        for result in _counted(results, totals)
    )
    yield '{"version": 1, "results": ['
    yield from _listed(written)
    counted = ("accepted", "refused", UNREADABLE, *SEVERITIES)
    summary = {name: totals[name] for name in counted}
    yield f"], {json.dumps({'summary': summary, **members})[1:]}"


def fields_of(violation: Violation) -> dict[str, Any]:
    """Return the fields of a violation that reports show, as JSON values."""
    shown = {each.name: getattr(violation, each.name) for each in fields(violation) if each.repr}
    return {name: _clean(value) if isinstance(value, str) else value for name, value in shown.items()}


def _github(results: Iterable[FileResult]) -> Iterator[str]:
    totals: Counter[str] = Counter()
    yield from github_annotations(_counted(results, totals))
    yield _summary(totals)


def github_annotations(results: Iterable[Result]) -> Iterator[str]:
    """Yield an annotation of GitHub Actions for each finding."""
    for result in results:
        for found in result.findings:
            where = {"file": _relative(result.name), "line": found.line, "col": found.column, "title": _title(found)}
            fields = ",".join(f"{key}={_field(str(value))}" for key, value in where.items() if value is not None)
            yield f"::{found.severity} {fields}::{_data(_advice(found))}"


def sarif(results: Iterable[Result]) -> Iterator[str]:
    """Yield a SARIF log line by line; the name of each result is its file."""
    rules: dict[str, int] = {}
    found = (_sarif_result(result.name, violation, rules) for result in results for violation in result.findings)
    yield f'{{"$schema": "{_SARIF_SCHEMA}", "version": "2.1.0", "runs": [{{"columnKind": "unicodeCodePoints", "results": ['
    yield from _listed(found)
    driver = {
        "name": _TOOL,
        "version": __version__,
        "rules": [{"id": rule, "shortDescription": {"text": f"The rule {rule!r} of the contract."}} for rule in rules],
    }
    yield f'], "tool": {json.dumps({"driver": driver})}}}]}}'


def _sarif_result(name: str, finding: Reportable, rules: dict[str, int]) -> dict[str, Any]:
    path = _relative(name)
    physical: dict[str, Any] = {"artifactLocation": {"uri": path if "://" in path else quote(path)}}
    if finding.line is not None:
        physical["region"] = {"startLine": finding.line, "startColumn": finding.column or 1}
    rule = _clean(finding.rule)
    return {
        "ruleId": rule,
        "ruleIndex": rules.setdefault(rule, len(rules)),
        "level": _SARIF_LEVELS[finding.severity],
        "message": {"text": _clean(_advice(finding))},
        "locations": [
            {
                "physicalLocation": physical,
                "logicalLocations": [{"fullyQualifiedName": _clean(_where(finding)), "kind": "member"}],
            }
        ],
    }


def junit(results: Iterable[Result], *, fail_on: Severity = "error") -> Iterator[str]:
    """Yield JUnit XML line by line, with a test case for each result; `fail_on` is the least severity that makes one fail."""
    from xml.sax.saxutils import escape, quoteattr  # importing it takes longer than validating a small file

    severities = failing(fail_on)
    cases = []
    totals: Counter[str] = Counter()
    for result in results:
        findings = result.findings
        failures = [found for found in findings if found.severity in severities]
        outcome = "error" if result.unreadable is not None else "failure" if failures else "passed"
        if outcome == "passed" and result.skipped is not None:
            outcome = "skipped"
        totals[outcome] += 1
        report = escape(_xml("\n".join(_told(result.name, found) for found in findings)), {"\r": "&#13;"})
        case = f'<testcase classname="{_TOOL}" name={quoteattr(_xml(result.name))}'
        if outcome == "skipped":
            case += f"><skipped message={quoteattr(_xml(result.skipped or ''))}/></testcase>"
        elif outcome != "passed":
            rule, message = UNREADABLE, result.unreadable or ""
            if findings:
                rule, message = findings[0].rule, f"{_title(findings[0])}: {findings[0].message}"
                message += f" (and {len(findings) - 1} more)" if findings[1:] else ""
            about = f"type={quoteattr(_xml(rule))} message={quoteattr(_xml(message))}"
            case += f"><{outcome} {about}>{report}</{outcome}></testcase>"
        else:
            case += f"><system-out>{report}</system-out></testcase>" if findings else "/>"
        cases.append(case.encode("ascii", "xmlcharrefreplace").decode())
    counts = f'tests="{len(cases)}" failures="{totals["failure"]}" errors="{totals["error"]}"'
    skipped = totals["skipped"]
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<testsuites {counts}><testsuite name="{_TOOL}" {counts} skipped="{skipped}">'
    yield from cases
    yield "</testsuite></testsuites>"


def _counted(results: Iterable[FileResult], totals: Counter[str]) -> Iterator[FileResult]:
    for result in results:
        totals[result.verdict] += 1
        for violation in result.violations:
            totals[violation.severity] += 1
        yield result


def _listed(items: Iterable[Any]) -> Iterator[str]:
    before = None
    for item in items:
        if before is not None:
            yield f"{before},"
        before = json.dumps(item)
    if before is not None:
        yield before


def _summary(totals: Counter[str]) -> str:
    verdicts = [f"{totals[verdict]} {verdict}" for verdict in (UNREADABLE, "refused", "accepted") if totals[verdict]]
    severities = [(severity, totals[severity]) for severity in SEVERITIES if totals[severity]]
    violations = [f"{count} {severity}{'s' * (count > 1)}" for severity, count in severities]
    return "; ".join(filter(None, [", ".join(verdicts) or "nothing was validated", ", ".join(violations)]))


def _place(name: str, finding: Reportable) -> str:
    numbers = (number for number in (finding.line, finding.column) if number is not None)
    return ":".join([printable(name), *map(str, numbers)])


def _where(finding: Reportable) -> str:
    outside = "" if finding.part == "body" else finding.part
    return printable(f"{outside} {finding.pointer}".strip() or finding.part)


def _title(finding: Reportable) -> str:
    return f"{finding.rule} {_where(finding)}"


def _advice(finding: Reportable) -> str:
    return f"{finding.message} ({finding.hint})" if finding.hint else finding.message


def _told(name: str, finding: Reportable) -> str:
    return f"{_place(name, finding)}  {finding.severity}  {_where(finding)}  {finding.rule}  {_advice(finding)}"


def _relative(name: str) -> str:
    """Return the path relative to the working directory, with slashes, or as a file URI if it is elsewhere."""
    path = Path(_clean(name))
    if path.is_absolute():
        here = Path.cwd()
        return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_uri()
    return path.as_posix()


def _clean(text: str) -> str:
    """Return the text with what UTF-8 cannot encode, such as undecodable bytes of a file name, escaped."""
    return text.encode(errors="backslashreplace").decode()


def _xml(text: str) -> str:
    return _NOT_XML.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _data(text: str) -> str:
    return _clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _field(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
