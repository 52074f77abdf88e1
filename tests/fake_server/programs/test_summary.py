"""Claims about the summary of a run: it says what happened, in text and in JSON the same, and in few lines."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from fake_server import FakeServer
from fake_server.journal.har import read
from fake_server.programs import run_report
from fake_server.programs.run_report import FailOn, fails
from fake_server.programs.summary import ENDS, Cost, Escape, Summary
from kling_contract import Contract
from tests.support.calls import KEY, creating, payload, polling

CONTRACT = Contract.load()
PRICE = CONTRACT.price(CONTRACT.video_seconds(payload(CONTRACT))) or 0
FINAL = CONTRACT.observed.timeline.final.at
ESCAPES = [
    Escape("example.com:443", "refused"),
    Escape("db:5432", "noticed", 2),
    Escape("example.com:443", "refused", 2),
]
ISOLATION = "no connection left this machine: it could not"


def create(fake: FakeServer, body: Any = None) -> str:
    reply = fake.handle(creating(CONTRACT, body))
    return str(reply.json().get("id", ""))


def poll(fake: FakeServer, generation_id: str, *, after: float = 0.0) -> None:
    fake.advance(after)
    fake.handle(polling(CONTRACT, generation_id))


def eventful() -> FakeServer:
    """Return a fake of which each thing that a summary tells has happened."""
    fake = FakeServer()
    made = create(fake)
    for _ in range(3):
        poll(fake, made, after=FINAL)
    poll(fake, create(fake, payload(CONTRACT, surprise=1)))
    create(fake, payload(CONTRACT, prompt=7))
    create(fake, payload(CONTRACT, prompt=7))
    fake.play("fails")
    poll(fake, create(fake), after=FINAL)
    fake.play({"name": "lost", "faults": [{"operation": CONTRACT.create.id, "times": 1, "drop": "after_processing"}]})
    for _ in range(2):
        create(fake, payload(CONTRACT, prompt="again"))
    return fake


def test_a_clean_run_is_short() -> None:
    """A run without a fault is said in four lines, and nothing in them is a complaint."""
    fake = FakeServer()
    poll(fake, create(fake), after=FINAL)
    summary = Summary.of(fake, isolation=ISOLATION)
    assert summary.text().splitlines() == [
        "kling-contract: 2 exchanges, no violations",
        "  generations   1 succeeded",
        f"  would cost    {PRICE:,.0f} {CONTRACT.observed.price.unit}",
        f"  isolation     {ISOLATION}",
    ]
    assert not fails(summary, run_report.FAIL_ON)


def test_everything_is_counted() -> None:
    """Violations, ends as the program saw them, cost, late polls, repeated creates and escapes are counted, each by itself."""
    summary = Summary.of(eventful(), escapes=ESCAPES, isolation=ISOLATION)
    assert (summary.violations, summary.tolerated) == (2, 1)
    assert summary.ends == {"succeeded": 1, "failed": 1, "not polled to the end": 1, "never polled": 2}
    assert (summary.polls_after_end, summary.created_twice) == (2, 1)
    assert (summary.cost.booked, summary.cost.pending) == (2 * PRICE, 2 * PRICE)
    assert summary.escapes == (Escape("example.com:443", "refused", 3), Escape("db:5432", "noticed", 2))
    worst = summary.deviations[0]
    assert (worst.violation.severity, worst.violation.pointer, worst.times) == ("error", "/prompt", 2)


def test_text_and_json_say_the_same() -> None:
    """Each number and name in the JSON is in the text, and a summary without a thing does not mention it."""
    summary = Summary.of(eventful(), escapes=ESCAPES, isolation=ISOLATION)
    said, text = summary.as_json(), summary.text()
    assert json.loads(json.dumps(said)) == said
    for label in ("exchanges", "violations", "polls_after_end", "created_twice", "tolerated"):
        assert re.search(rf"(?<!\d){said[label]:,}\b", text), label
    for end, number in said["ends"].items():
        assert f"{number} {end}" in text
    assert f"{said['cost']['booked']:,.0f} {said['cost']['unit']}" in text
    assert f"{said['cost']['pending']:,.0f} more" in text
    for found in said["deviations"]:
        assert all(part in text for part in (found["pointer"], found["rule"], found["message"], found["hint"] or ""))
    for escape in said["escapes"]:
        assert f"{escape['address']} ({escape['outcome']}, {escape['times']} times)" in text
    clean = replace(summary, deviations=(), polls_after_end=0, created_twice=0, escapes=(), isolation="")
    for label in ("late polls", "created twice", "other hosts", "isolation", "/prompt"):
        assert (label in text) is True
        assert (label in clean.text()) is False


def test_color_is_all_that_color_adds() -> None:
    """With color the text is the same, but for the codes."""
    summary = Summary.of(eventful(), escapes=ESCAPES, isolation=ISOLATION)
    colored = summary.text(color=True)
    assert "\x1b[1;31m" in colored
    assert re.sub(r"\x1b\[[\d;]*m", "", colored) == summary.text()


@pytest.mark.parametrize(
    ("faults", "count"),
    [
        ([], 0),
        ([{"drop": "after_processing"}], 1),
        ([{"drop": "before_processing"}], 0),
        ([{"latency": 120}], 1),
        ([{"status": 502}], 0),
        ([{"body": ""}], 1),
    ],
)
def test_what_counts_as_created_twice(faults: list[dict[str, Any]], count: int) -> None:
    """A payload that is sent again counts if it had made a generation whose id the program did not get; a second order does not."""
    scenario = {"name": "trouble", "faults": [{"operation": CONTRACT.create.id, "times": 1, **each} for each in faults]}
    fake = FakeServer(scenario=scenario)
    for number in range(2):
        create_bytes = creating(CONTRACT, payload(CONTRACT, prompt="a"))
        fake.handle(create_bytes)
        fake.handle(creating(CONTRACT, payload(CONTRACT, prompt=f"another {number}")))
    assert Summary.of(fake).created_twice == count


def test_who_polls_knew_the_id() -> None:
    """A late response to a create was received if the program polls that generation: the next create is a second order."""
    fake = FakeServer(
        scenario={"name": "late", "faults": [{"operation": CONTRACT.create.id, "times": 1, "latency": 120}]}
    )
    poll(fake, create(fake))
    create(fake)
    assert Summary.of(fake).created_twice == 0


def test_only_this_run_counts() -> None:
    """Generations restored from a state file are neither counted nor paid for again."""
    fake = FakeServer()
    before = create(fake)
    poll(fake, create(fake), after=FINAL)
    summary = Summary.of(fake, restored={before})
    assert (summary.ends, summary.cost.booked) == ({"succeeded": 1}, PRICE)


def test_what_is_forgotten_is_said() -> None:
    """A generation whose exchanges were dropped has an unknown end, and the summary says that exchanges were dropped."""
    fake = FakeServer()
    fake.journal._max_exchanges = 1
    create(fake)
    poll(fake, create(fake), after=FINAL)
    summary = Summary.of(fake)
    assert (summary.exchanges, summary.dropped, summary.ends) == (3, 2, {"succeeded": 1, "unknown": 1})
    assert "the 2 oldest exchanges were dropped" in summary.text()


def test_an_unknown_price_is_named() -> None:
    """What nobody can price is said with its model, and is in no sum."""
    assert (
        str(Cost("tokens", 10, 0, ("a/model", "a/model"))) == "10 tokens, and 2 generations of unknown price (a/model)"
    )


@pytest.mark.parametrize("mask", range(8))
def test_each_reason_to_fail_stands_for_itself(mask: int) -> None:
    """An error fails by "error" and "warning", a warning by "warning" alone, an escape by "escape" alone."""
    fake = FakeServer()
    if error := mask & 1:
        create(fake, payload(CONTRACT, prompt=7))
    if warning := mask & 2:
        create(fake, payload(CONTRACT, surprise=1))
    escape = mask & 4
    summary = Summary.of(fake, escapes=ESCAPES if escape else ())
    expected: dict[FailOn, Any] = {"error": error, "warning": error or warning, "escape": escape}
    for why, fail in expected.items():
        assert fails(summary, [why]) == bool(fail)
    assert fails(summary, run_report.FAIL_ON) == bool(mask)
    assert not fails(summary, [])


@pytest.mark.parametrize("format_", run_report.FORMATS)
def test_every_format_has_every_exchange(format_: run_report.RunFormat) -> None:
    """Each report names the violations; the JSON has the summary, the archive every exchange, and none has the key."""
    fake = eventful()
    summary = Summary.of(fake, escapes=ESCAPES, isolation=ISOLATION)
    text = "\n".join(run_report.lines(fake, summary, format_, fail_on=["error", "escape"]))
    assert "/prompt" in text
    assert KEY not in text
    if format_ == "json":
        report = json.loads(text)
        assert report["run"] == summary.as_json()
        assert len(report["results"]) == len(fake.journal) + len(summary.escapes)
    elif format_ == "har":
        assert len(read(json.loads(text))) == len(fake.journal)
    else:
        assert "example.com:443" in text
    if format_ == "junit":
        assert f'failures="{2 + len(summary.escapes)}"' in text
        assert 'failures="2"' in "".join(run_report.lines(fake, summary, format_))


def test_the_ends_are_all_there_are() -> None:
    """Every end that a summary can have is one of those listed, in their order."""
    summary = Summary.of(eventful())
    assert [end for end in ENDS if end in summary.ends] == list(summary.ends)
