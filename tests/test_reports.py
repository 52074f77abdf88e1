"""Claims about reports: what was found arrives in every format, unharmed by what stands in names and messages."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml

from kling_contract.jsontext.parser import parse
from kling_contract.reports import FORMATS, Format, lines, render
from kling_contract.validation import validate
from kling_contract.violation import FileResult, Severity, Violation

SEVERITIES: tuple[Severity, ...] = get_args(Severity)

anything = st.text(st.characters() | st.sampled_from("%:,\r\n\t\x00\x1b\ud800<>&\"'\u202e|#/\\"), max_size=12)
words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=12)
places = st.none() | st.tuples(st.integers(1, 10**6), st.integers(1, 10**6))


def violations(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Violation]:
    def build(place: tuple[int, int] | None, **fields: Any) -> Violation:
        line, column = place or (None, None)
        return Violation(**fields, line=line, column=column, limit=[1], schema={"enum": [1]})

    return st.builds(
        build,
        places,
        pointer=texts.map(lambda text: f"/{text}") | st.just(""),
        rule=texts,
        message=texts,
        severity=st.sampled_from(SEVERITIES),
        hint=st.none() | texts,
        since=st.none() | texts,
        part=st.sampled_from(["body", "query", "status"]),
    )


def results(texts: st.SearchStrategy[str]) -> st.SearchStrategy[list[FileResult]]:
    judged = st.builds(FileResult, texts, st.lists(violations(texts), max_size=4))
    return st.lists(judged | st.builds(FileResult, texts, unreadable=texts), max_size=4)


def shown(violation: Violation) -> dict[str, Any]:
    return {name: value for name, value in asdict(violation).items() if name not in ("limit", "schema")}


def carried(text: str) -> str:
    """Return the text as UTF-8 can carry it."""
    return text.encode(errors="backslashreplace").decode()


@given(results(anything), st.sampled_from(FORMATS), st.booleans(), st.sampled_from(SEVERITIES))
def test_every_report_can_be_written(found: Sequence[FileResult], form: Format, color: bool, fail_on: Severity) -> None:
    """Whatever stands in names and messages, a report is text that UTF-8 can carry, and each of its lines is one line."""
    told = list(lines(found, form, color=color, fail_on=fail_on))
    "\n".join(told).encode()
    if form != "junit":
        assert not any("\n" in line or "\r" in line for line in told)
    assert render(found, form, color=color, fail_on=fail_on) == "\n".join(told)


@given(results(anything))
def test_no_payload_can_steer_a_terminal(found: Sequence[FileResult]) -> None:
    """The text report holds nothing but printable characters, whatever the payload and its name held."""
    assert all(line.isprintable() for line in lines(found, "text"))


@given(results(words))
def test_the_text_tells_everything(found: Sequence[FileResult]) -> None:
    """Each finding is a line with place, severity, rule, message and age, then its hint; the last line counts them."""
    told = lines(found, "text")
    for judged in found:
        for finding in judged.findings:
            line = next(told)
            assert line.startswith(":".join([judged.name, *(str(n) for n in (finding.line, finding.column) if n)]))
            assert line.endswith(finding.message + (f"  (since {finding.since})" if finding.since else ""))
            assert finding.severity in line
            assert finding.pointer in line
            assert finding.rule in line
            if finding.hint is not None:
                assert finding.hint in next(told)
    summary = next(told)
    for verdict in ("accepted", "refused", "unreadable"):
        count = sum(judged.verdict == verdict for judged in found)
        assert (f"{count} {verdict}" in summary) == (count > 0)
    assert list(told) == []


@given(results(anything))
def test_color_is_all_that_color_adds(found: Sequence[FileResult]) -> None:
    """Take the ANSI codes away, and the colored report is the plain one."""
    assert re.sub("\x1b\\[[0-9;]*m", "", render(found, "text", color=True)) == render(found, "text")


@given(results(anything))
def test_json_holds_every_field(found: Sequence[FileResult]) -> None:
    """The JSON report has each payload's verdict, every field of each violation that is for people, and the totals."""
    document = json.loads(render(found, "json"))
    assert [(each["name"], each["verdict"], each["unreadable"]) for each in document["results"]] == [
        (carried(judged.name), judged.verdict, judged.unreadable and carried(judged.unreadable)) for judged in found
    ]
    for each, judged in zip(document["results"], found, strict=True):
        expected = [] if judged.unreadable is not None else [shown(finding) for finding in judged.findings]
        assert each["violations"] == [
            {key: carried(value) if isinstance(value, str) else value for key, value in finding.items()}
            for finding in expected
        ]
    assert document["version"] == 1
    for verdict in ("accepted", "refused", "unreadable"):
        assert document["summary"][verdict] == sum(judged.verdict == verdict for judged in found)
    for severity in SEVERITIES:
        assert document["summary"][severity] == sum(
            each.severity == severity for judged in found for each in judged.violations
        )


@given(results(anything))
def test_json_is_json_to_our_own_parser(found: Sequence[FileResult]) -> None:
    """The JSON and SARIF reports pass the parser that judges payloads."""
    parse(render(found, "json"))
    parse(render(found, "sarif"))


@given(st.lists(violations(anything), min_size=1, max_size=4))
@example([Violation("/%2C", "%3A", "50%0A%25 and\r\nmore")])
def test_github_reads_back_what_was_found(found: Sequence[Violation]) -> None:
    """Taken apart as GitHub's runner does, each workflow command gives the finding back."""
    told = list(lines([FileResult("payload.json", found)], "github"))
    for line, finding in zip(told, FileResult("", found).findings, strict=False):
        command = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line, re.DOTALL)
        assert command
        assert command[1] == finding.severity
        fields = dict(field.split("=", 1) for field in command[2].split(","))
        title = unescaped(fields.pop("title"), {"%3A": ":", "%2C": ","})
        assert carried(finding.rule) in title
        place = {} if finding.line is None else {"line": str(finding.line), "col": str(finding.column)}
        assert fields == {"file": "payload.json", **place}
        hint = f" ({finding.hint})" if finding.hint else ""
        assert unescaped(command[3]) == carried(finding.message + hint)
    assert len(told) == len(found) + 1


@given(words.filter(lambda name: "/" not in name and "\\" not in name and name != "."))
def test_github_and_sarif_name_the_file(name: str) -> None:
    """A file's name survives both kinds of escaping."""
    judged = FileResult(name, [Violation("", "rule", "message")])
    annotation = next(lines([judged], "github"))
    assert unescaped(annotation.split("file=")[1].split(",title=")[0], {"%3A": ":", "%2C": ","}) == name
    uri = location(render([judged], "sarif"))["artifactLocation"]["uri"]
    assert urlsplit(uri)[:2] == ("", "")
    assert unquote(uri) == name


def unescaped(text: str, more: dict[str, str] | None = None) -> str:
    for code, character in {**(more or {}), "%0D": "\r", "%0A": "\n", "%25": "%"}.items():
        text = text.replace(code, character)
    return text


def location(sarif: str) -> Any:
    return json.loads(sarif)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]


def test_paths_are_relative_to_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code scanning finds a file by its path in the checkout; one that lies outside has a URI of its own."""
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    uris = {
        "a b/ü.json": "a%20b/%C3%BC.json",
        "./cat.json": "cat.json",
        str(tmp_path / "checkout" / "in" / "cat.json"): "in/cat.json",
        str(tmp_path / "cat.json"): (tmp_path / "cat.json").as_uri(),
    }
    for name, uri in uris.items():
        report = render([FileResult(name, unreadable="missing")], "sarif")
        assert location(report) == {"artifactLocation": {"uri": uri}}


# What SARIF 2.1.0 (OASIS, errata 01) asks of the members that our reports have, and no other member.
_MESSAGE = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
_COUNT = {"type": "integer", "minimum": 1}


def closed(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def several(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


_RULE = closed(["id"], id={"type": "string"}, shortDescription=_MESSAGE)
_LOCATION = closed(
    physicalLocation=closed(
        artifactLocation=closed(uri={"type": "string", "format": "uri-reference"}),
        region=closed(startLine=_COUNT, startColumn=_COUNT),
    ),
    logicalLocations=several(closed(fullyQualifiedName={"type": "string"}, kind={"type": "string"}), uniqueItems=True),
)
_RESULT = closed(
    ["message"],
    ruleId={"type": "string"},
    ruleIndex={"type": "integer", "minimum": -1},
    level={"enum": ["none", "note", "warning", "error"]},
    message=_MESSAGE,
    locations=several(_LOCATION),
)
_DRIVER = closed(["name"], name={"type": "string"}, version={"type": "string"}, rules=several(_RULE, uniqueItems=True))
_RUN = closed(
    ["tool"],
    tool=closed(["driver"], driver=_DRIVER),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results=several(_RESULT),
)
SARIF = closed(
    ["version", "runs"],
    version={"enum": ["2.1.0"]},
    runs=several(_RUN),
    **{"$schema": {"type": "string", "format": "uri"}},
)
sarif = jsonschema.Draft7Validator(SARIF, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)


@given(results(anything))
def test_sarif_keeps_its_schema_and_loses_nothing(found: Sequence[FileResult]) -> None:
    """The SARIF log has a result for each finding, with its level, its place and a rule that the log declares."""
    document = json.loads(render(found, "sarif"))
    sarif.validate(document)
    run = document["runs"][0]
    findings = [finding for judged in found for finding in judged.findings]
    assert len(run["results"]) == len(findings)
    for result, finding in zip(run["results"], findings, strict=True):
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == carried(finding.rule)
        assert result["level"] == {"notice": "note"}.get(finding.severity, finding.severity)
        assert result["message"]["text"].startswith(carried(finding.message))
        region = result["locations"][0]["physicalLocation"].get("region", {})
        assert (region.get("startLine"), region.get("startColumn")) == (finding.line, finding.column)


@given(results(anything), st.sampled_from(SEVERITIES))
@example([FileResult("a\r\n", [Violation("", "rule\r", "one\rtwo\n]]>\x00")])], "error")
def test_junit_opens_and_its_totals_hold(found: Sequence[FileResult], fail_on: Severity) -> None:
    """A JUnit reader sees one case a payload: failed from `fail_on` upwards, in error when it could not be read."""
    report = JUnitXml.fromstring(render(found, "junit", fail_on=fail_on).encode("ascii"))
    (suite,) = list(report)
    cases = list(suite)
    failing = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    outcomes = {"failures": 0, "errors": 0}
    for case, judged in zip(cases, found, strict=True):
        assert case.name == in_xml(judged.name)
        failed = any(each.severity in failing for each in judged.violations)
        if judged.unreadable is not None:
            outcomes["errors"] += 1
            assert [type(each) for each in case.result] == [Error]
            assert in_xml(judged.unreadable) in case.result[0].message
        elif failed:
            outcomes["failures"] += 1
            assert [type(each) for each in case.result] == [Failure]
            assert case.result[0].type == in_xml(judged.findings[0].rule)
            for each in judged.violations:
                assert in_xml(each.message) in case.result[0].text
        else:
            assert case.result == []
            for each in judged.violations:
                assert in_xml(each.message) in case.system_out
    for counted in (report, suite):
        assert (counted.tests, counted.failures, counted.errors) == (len(found), *outcomes.values())


def in_xml(text: str) -> str:
    """Return the text with what XML 1.0 has no way to write shown as an escape."""
    allowed = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
    return "".join(c if allowed.match(c) else c.encode("unicode_escape").decode() for c in text)


@given(st.lists(violations(words), max_size=6), st.sampled_from([form for form in FORMATS if form != "text"]))
def test_the_worst_comes_first(found: Sequence[Violation], form: Format) -> None:
    """Within a payload errors come before warnings and those before notices, each in the order of the document."""
    expected = [each for severity in SEVERITIES for each in found if each.severity == severity]
    assert render([FileResult("a", found)], form) == render([FileResult("a", expected)], form)
    assert FileResult("a", found).findings == expected


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "junit"])
def test_reports_are_told_while_payloads_still_come(form: Format) -> None:
    """All formats but JUnit, whose totals stand at the top, tell of the first payload before the last one is judged."""
    endless = itertools.repeat(FileResult("payload.json", [Violation("/pointer", "rule", "what is wrong")]))
    assert any("what is wrong" in line for line in itertools.islice(lines(endless, form), 3))


def test_a_real_finding_is_told_with_its_place() -> None:
    """What `validate` finds in a text is told as name, line and column in the form that editors and terminals link."""
    text = '{\n  "prompt": "a",\n  "prompt": "b"\n}'
    (line, _) = lines([FileResult("cat.json", validate(text))], "text")
    assert re.match(r"cat\.json:3:3 +error +\S+ +json +\S", line)


def test_nothing_judged_is_said() -> None:
    """A report about no payload at all says so, and is still well-formed."""
    assert render([], "text") == "nothing was validated"
    assert json.loads(render([], "json"))["results"] == []
    sarif.validate(json.loads(render([], "sarif")))
    assert JUnitXml.fromstring(render([], "junit").encode()).tests == 0
