"""Claims about validating traffic: each exchange by the contract, and the order of statuses by the lifecycle."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer, Reply, Request
from fake_server.journal.har import archive, read, truncated_reply
from fake_server.journal.journal import Journal
from fake_server.messages import Exchange, Headers
from fake_server.recording.traffic import ExchangeValidator, validate_recording
from kling_contract import Contract, VirtualClock, revisions
from kling_contract.errors import DocumentError
from kling_contract.violation import Violation
from tests.support.calls import KEY, creating, payload, polling

CONTRACT = Contract.load()
LIFECYCLE = CONTRACT.lifecycle
STATUSES = st.sampled_from(LIFECYCLE.statuses)


def run(revision: str | None = None, base: str | None = None, **options: Any) -> FakeServer:
    """Play one generation to its end and download its video, if it has one. `base` is where the fake is (None: at the API)."""
    fake = FakeServer(revision=revision, **options)
    assert isinstance(fake.clock, VirtualClock)
    made = fake.handle(creating(fake.contract, base=base)).json()["id"]
    for _ in range(20):
        fake.clock.advance(15)
        reply = fake.handle(polling(fake.contract, made, base=base))
    if fake.journal[-1].arrived and (video := reply.json().get("video")):
        fake.handle(Request("GET", video["url"]))
    return fake


def shown(at: float, status: str, *, took: float = 0.0, made: str = "1", operation: str = "getGeneration") -> Exchange:
    """Return an exchange in which a generation was seen in a status."""
    request = creating(CONTRACT) if operation == "createGeneration" else polling(CONTRACT, made)
    body = json.dumps({"id": made, "status": status}).encode()
    reply = Reply(CONTRACT.operations[operation].success, Headers({"content-type": "application/json"}), body, took)
    return Exchange(at, request, reply)


def rules(*exchanges: Exchange) -> list[str]:
    validator = ExchangeValidator(CONTRACT)
    return [found.rule for each in exchanges for found in validator.validate(each) if found.severity == "error"]


@pytest.mark.parametrize("revision", revisions())
@pytest.mark.parametrize("scenario", ["happy", "fails"])
@pytest.mark.parametrize("base", [None, "http://localhost:8080"])
def test_what_the_fake_does_keeps_the_contract(revision: str, scenario: str, base: str | None) -> None:
    """A recorded run of any revision has no violations, with downloads from any host and without keys."""
    har = run(revision, base, scenario=scenario).journal.har()
    judged = validate_recording(har, revision=revision)
    assert len(judged) >= 21
    assert not [each for each in judged if each.violations]


@given(st.lists(STATUSES, min_size=1, max_size=6))
def test_statuses_follow_the_lifecycle(seen: list[str]) -> None:
    """Each status that may not follow the one before is found, and nothing else is."""
    found = rules(*(shown(float(at), status) for at, status in enumerate(seen)))
    breaks = [pair for pair in pairwise(seen) if not LIFECYCLE.allows(*pair)]
    assert found == ["lifecycle"] * len(breaks)


@given(STATUSES)
def test_generations_begin_as_documented(status: str) -> None:
    """A create whose response has another status than the initial one is found."""
    found = rules(shown(0.0, status, operation="createGeneration"))
    assert found == ([] if status == LIFECYCLE.initial else ["lifecycle"])


def test_overlapping_responses_are_no_violation() -> None:
    """The order of two polls is only checked if the second began after the first was over."""
    later, earlier = LIFECYCLE.statuses[2], LIFECYCLE.statuses[0]
    assert not rules(shown(0, later, took=5), shown(4, earlier))
    assert rules(shown(0, later, took=5), shown(5, earlier)) == ["lifecycle"]


def test_ids_must_match() -> None:
    """A response about another generation than requested, and an id that is used twice, are found."""
    create = shown(0, LIFECYCLE.initial, operation="createGeneration")
    assert rules(create, replace(create, at=1.0)) == ["id"]
    other = replace(shown(1, LIFECYCLE.initial, made="2"), request=polling(CONTRACT, "1"))
    assert rules(other) == ["id"]


def test_both_directions_are_validated() -> None:
    """Violations of a request and of its response are found, each in its part; an unknown path is reported once."""
    fake = FakeServer()
    wrong = creating(CONTRACT, payload(CONTRACT, duration="long"))
    validator = ExchangeValidator(CONTRACT)
    (found,) = validator.validate(Exchange(0, wrong, fake.handle(wrong)))
    assert (found.part, found.pointer) == ("body", "/duration")
    (found,) = validator.validate(Exchange(1, creating(CONTRACT), Reply(418)))
    assert (found.part, found.rule) == ("status", "status")
    (found,) = validator.validate(Exchange(2, Request("GET", f"{CONTRACT.base_url}/nowhere"), Reply(200)))
    assert found.rule == "path"


def test_incomplete_messages_are_not_checked() -> None:
    """A message that was cut off, is missing, or cannot be decoded gets a warning, and no error."""
    sent = creating(CONTRACT)
    cut = replace(sent, headers=Headers({**sent.headers, "content-length": "999999"}), body=sent.body[:9])
    good = FakeServer().handle(sent)
    cases: list[tuple[Request, Reply, str]] = [
        (cut, good, "the request"),
        (sent, truncated_reply(good.status, good.headers, good.body[:9]), "the response"),
        (sent, Reply(0, cut=0), "no response"),
        (
            sent,
            replace(good, headers=Headers({**good.headers, "content-encoding": "br"}), body=b"\x00"),
            "encoded as br",
        ),
    ]
    for request, reply, said in cases:
        exchange = Exchange(0, request, reply)
        (found,) = ExchangeValidator(CONTRACT).validate(exchange)
        assert found.severity == "warning"
        assert said in found.message
        journal = Journal(CONTRACT)
        journal.add(exchange)
        ((judged,)) = validate_recording(journal.har())
        assert list(judged.violations) == [found]


def test_a_recording_is_validated_like_live_traffic() -> None:
    """A recording has the same violations as the live exchanges, in the order in which they began."""
    fake = FakeServer(scenario="error-name-and-message")
    fake.handle(creating(CONTRACT, b"{"))
    fake.handle(creating(CONTRACT, payload(CONTRACT, prompt=7, surprise=1)))
    made = fake.handle(creating(CONTRACT)).json()["id"]
    fake.handle(polling(CONTRACT, made))
    validator = ExchangeValidator(CONTRACT)
    passed = [(f"{each.request.method} {each.reply.status}", validator.validate(each)) for each in fake.journal]
    har = fake.journal.har()
    har["log"]["entries"].reverse()
    for number, entry in enumerate(har["log"]["entries"]):  # in one order only
        entry["startedDateTime"] = f"2026-01-01T00:00:0{9 - number}Z"
    found = validate_recording(json.loads(json.dumps(har)))
    assert [list(each.violations) for each in found] == [_without_security(each) for _, each in passed]
    assert [each.name.split()[::2] for each in found] == [name.split() for name, _ in passed]


def test_other_hosts_are_ignored() -> None:
    """In the recording of a browser, only hosts on which the API was called are validated, whichever they are."""
    journal = Journal(CONTRACT)
    for base in ("https://gateway.example", CONTRACT.base_url):
        journal.add(Exchange(0, polling(CONTRACT, "1", base=base), Reply(404)))
        journal.add(Exchange(1, Request("GET", f"{base}/icon.png"), Reply(200)))
    journal.add(Exchange(2, Request("GET", "https://fonts.example/a"), Reply(200)))
    assert len(validate_recording(journal.har())) == 4


def test_another_revision_is_recognised() -> None:
    """Calls of another revision are not ignored, on any host, and an archive without the API is refused."""
    latest = Contract.load("latest")
    har = run(latest.revision.id, "http://localhost:8080").journal.har()
    judged = validate_recording(har)
    found = {(each.rule, each.severity) for result in judged for each in result.violations}
    assert found == {("revision", "warning")}
    strict = validate_recording(har, strictness="strict")
    assert {(each.rule, each.part) for result in strict for each in result.violations} >= {("revision", "path")}
    assert not [each for each in validate_recording(har, contract=latest) if each.violations]
    for entry in har["log"]["entries"]:
        entry["request"]["url"] = "http://localhost:8080/elsewhere"
    assert "no exchange with the API" in refusal(har)


def test_recordings_of_browsers_are_read(tmp_path: Path) -> None:
    """Archives of browsers are validated: decoded bodies with the original headers, missing bodies, unknown members."""
    exchange = shown(0, LIFECYCLE.statuses[-1])
    journal = Journal(CONTRACT)
    journal.add(exchange)
    har = journal.har()
    (entry,) = har["log"]["entries"]
    har["log"]["pages"], entry["_initiator"], entry["timings"] = [], {"type": "script"}, {"blocked": -1}
    entry["response"]["headers"] += [
        {"name": "Content-Encoding", "value": "br"},
        {"name": "content-length", "value": "999999"},
        {"name": ":status", "value": "200"},
    ]
    assert not validate_recording(har)[0].violations
    path = tmp_path / "session.har"
    path.write_text(json.dumps(har), encoding="utf-8-sig")
    assert not validate_recording(path)[0].violations
    del entry["response"]["content"]["text"]
    ((found,),) = (each.violations for each in validate_recording(har))
    assert found.rule == "unchecked"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \n",
        b"{",
        b"\xff",
        b"[]",
        b"3",
        b'{"log": []}',
        b'{"log": {"entries": {}}}',
        b'{"log": {"entries": []}}',
        b"[" * 100_000,
        b"1" * 10_000,
    ],
)
def test_a_file_that_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    """A file that is empty, no JSON, no archive, or an archive without entries is refused in one line that names it."""
    path = tmp_path / "session.har"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=r"session\.har: ") as wrong:
        validate_recording(path)
    assert "\n" not in str(wrong.value)


def refusal(har: Any) -> str:
    """Return why an archive is refused, "" if it is not."""
    try:
        validate_recording(har)
    except DocumentError as wrong:
        return str(wrong)
    return ""


HAR = json.dumps(run().journal.har())


@given(st.data())
def test_whatever_is_in_an_archive_is_read_or_refused(data: st.DataObject) -> None:
    """An archive in which any value is replaced by any other is validated, or refused in one line."""
    har = json.loads(HAR)
    node: Any = har["log"]["entries"][data.draw(st.integers(0, 21))]
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not node[key] or not isinstance(node[key], dict | list) or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=9)
        | st.sampled_from(["http://[", [], {}, [{}]])
    )
    assert "\n" not in refusal(har)


@given(st.integers(0, len(HAR) - 1))
def test_a_truncated_archive_is_refused(length: int) -> None:
    """An archive that was cut off anywhere is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.har"
        path.write_text(HAR[:length])
        assert "incomplete" in refusal(path) or not length


def test_headers_of_other_tools_are_made_legal() -> None:
    """Pseudo header fields of HTTP/2 are dropped, and of repeated fields joined by line feeds the last one is read."""
    har = json.loads(HAR)
    fields = [(":status", "200"), ("Set-Cookie", "a=1\nb=2; Path=/"), ("x-empty", ""), (":", "x")]
    for entry in har["log"]["entries"]:
        entry["response"]["headers"] = [{"name": name, "value": value} for name, value in fields]
        entry["request"]["headers"] = [{"name": ":authority", "value": "example.com"}]
    for exchange in read(har):
        assert not exchange.request.headers.get(":authority")
        assert dict(exchange.reply.headers) == {"set-cookie": "b=2; Path=/", "x-empty": ""}


def test_what_is_written_is_read_again() -> None:
    """Requests and replies are read from an archive as they were written, also those that broke off."""
    fake = run(scenario="cut-off-answer")
    for exchange, again in zip(fake.journal, read(archive(fake.journal)), strict=True):
        assert again.request == exchange.request
        assert again.arrived == exchange.arrived
        assert again.at == pytest.approx(exchange.at, abs=0.001)
        if exchange.arrived:
            assert (again.reply.status, again.reply.body) == (exchange.reply.status, exchange.reply.body)
    assert KEY not in str(fake.journal.har())


def _without_security(violations: tuple[Violation, ...]) -> list[Violation]:
    return [each for each in violations if each.rule != "security"]
