"""Claims about faults: which are valid, which calls they hit, and what they do to a response."""

from __future__ import annotations

import json
import math
from typing import Any
from urllib.parse import urlencode

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fake_server import FakeServer, Fault, Reply, Request, Scenario
from fake_server.adapters.delivery import deliver, wait_in_process
from fake_server.messages import Headers
from fake_server.scenario.faults import merged
from fake_server.service.media import video
from kling_contract import Contract
from kling_contract.contract.documents import SCHEMAS, read_json

CONTRACT = Contract.load()
SCHEMA = read_json(SCHEMAS / "scenario.schema.json")["$defs"]["fault"]
REFEREE = jsonschema.Draft202012Validator(SCHEMA)
OPERATIONS = SCHEMA["properties"]["operation"]["enum"]
REASONS = CONTRACT.observed.refusals.reasons
VIDEO_SIZE = len(video(CONTRACT.video_seconds({})))
KEY = {"authorization": "Bearer k"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


def create(fake: FakeServer) -> Reply:
    operation = fake.contract.create
    fields = fake.contract.request_schema["properties"]
    required = fake.contract.request_schema["required"]
    payload = {name: fields[name].get("enum", ["https://example.com/a.png"])[0] for name in required}
    headers = Headers({**KEY, "content-type": operation.media_type or ""})
    url = fake.contract.base_url + operation.path
    return fake.handle(Request(operation.method, url, headers, json.dumps(payload).encode()))


def get(fake: FakeServer, generation_id: str) -> Reply:
    operation = fake.contract.get
    query = urlencode({operation.query["required"][0]: generation_id})
    return fake.handle(Request(operation.method, f"{fake.contract.base_url}{operation.path}?{query}", Headers(KEY)))


def played(*faults: Fault, **options: Any) -> FakeServer:
    return FakeServer(scenario=Scenario(name="odd", faults=faults), **options)


@given(
    st.sampled_from(["createGeneration", "getGeneration"]),
    st.integers(0, 6),
    st.none() | st.integers(1, 4),
    st.lists(st.sampled_from(["createGeneration", "getGeneration"]), max_size=24),
)
def test_a_fault_hits_the_calls_it_names(operation: Any, skip: int, times: int | None, calls: list[str]) -> None:
    """A fault lets `skip` calls of its operation pass and hits the next `times`, whatever other calls come in between."""
    other: Any = "createGeneration" if operation == "getGeneration" else "getGeneration"
    fake = played(Fault(operation=operation, skip=skip, times=times, status=599), Fault(operation=other, status=598))
    own = 0
    for call in calls:
        reply = create(fake) if call == "createGeneration" else get(fake, "nobody")
        if call == operation:
            assert (reply.status == 599) == (skip <= own < skip + (math.inf if times is None else times))
            own += 1
        else:
            assert reply.status == 598


@given(st.lists(st.sampled_from(["refused", "answered", "before", "after", "fine", "patched"]), max_size=8))
def test_accepted_creates_are_billed(fates: list[str]) -> None:
    """A create that was refused or never processed is not billed; one whose response was lost or changed is billed once."""
    kinds: dict[str, dict[str, Any]] = {
        "refused": {"refusal": next(iter(REASONS))},
        "answered": {"status": CONTRACT.create.success, "body": {"id": "a"}},
        "before": {"drop": "before_processing"},
        "after": {"drop": "after_processing"},
        "patched": {"patch": {"id": "another"}},
    }
    faults = [
        Fault(operation="createGeneration", skip=call, times=1, **kinds[fate])
        for call, fate in enumerate(fates)
        if fate in kinds
    ]
    fake = played(*faults)
    for _ in fates:
        create(fake)
    accepted = [fate in ("after", "fine", "patched") for fate in fates]
    assert [exchange.generation_id is not None for exchange in fake.journal] == accepted
    assert len(fake.generations) == len(fake.ledger.charges) == sum(accepted)
    assert fake.ledger.pending == sum(accepted) * (fake.contract.price(fake.contract.video_seconds({})) or 0)


FIELDS = {
    "operation": st.sampled_from([*OPERATIONS, "delete", 1]),
    "skip": st.sampled_from([0, 3, -1, 1.5]),
    "times": st.sampled_from([1, 5, 0]),
    "refusal": st.sampled_from([*REASONS, 5]),
    "status": st.sampled_from([200, 503, 599, 100, 600, "500"]),
    "headers": st.sampled_from(
        [{"retry-after": "1"}, {}, {"a b": "c"}, {"a": "b\n"}, {"a": 1}, {"Content-Length": "1"}, {"a\n": "b"}]
    ),
    "body": st.sampled_from(["", "text", {}, [], {"a": None}, 5]),
    "patch": st.sampled_from([{}, {"a": None}, []]),
    "latency": st.sampled_from([0.5, 3, 0, -1, "1"]),
    "drop": st.sampled_from(["before_processing", "after_processing", "never"]),
    "truncate": st.sampled_from([1, 100, 0, 2.5]),
    "odd": st.just(1),
}


@given(
    st.fixed_dictionaries(
        {"operation": FIELDS["operation"]}, optional={k: v for k, v in FIELDS.items() if k != "operation"}
    )
)
def test_two_validators_agree_on_faults(data: dict[str, Any]) -> None:
    """A fault is accepted if another validator finds it valid under the schema; any other is refused with a message."""
    if REFEREE.is_valid(data):
        assert Fault.from_data(data).data() == {"skip": 0, **data}
    else:
        with pytest.raises(ValueError, match=r"invalid fault: ."):
            Fault.from_data(data)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"operation": "getGeneration"},
            "^invalid fault: it has no effect; give at least one of refusal, status.*truncate$",
        ),
        ({"operation": "poll", "status": 500}, "operation: .*createGeneration"),
        ({"operation": "getGeneration", "skip": -1, "status": 500}, "skip: .*0"),
        ({"operation": "getGeneration", "times": 0, "status": 500}, "times: .*1"),
        ({"operation": "getGeneration", "latency": math.inf}, "latency: "),
        ({"operation": "getGeneration", "truncate": 0}, "truncate: "),
        ({"operation": "getGeneration", "refusal": "x", "status": 500}, "status: not allowed with refusal"),
        ({"operation": "getGeneration", "body": "x", "patch": {}}, "patch: not allowed with body"),
        ({"operation": "getGeneration", "drop": "before_processing", "status": 500}, "status: not allowed with drop"),
        ({"operation": "getGeneration", "drop": "after_processing", "body": "x"}, "body: allowed with drop only"),
        ({"operation": "getGeneration", "drop": "after_processing", "truncate": 5}, "truncate: not allowed with drop"),
        ({"operation": "download", "patch": {}}, "patch: not allowed for downloads"),
        ({"operation": "getGeneration", "headers": {"a": "b\r\nc: d"}}, "headers/a: .*one line"),
        ({"operation": "getGeneration", "headers": {"Transfer-Encoding": "x"}}, "headers: .*tokens"),
    ],
)
def test_an_invalid_fault_is_refused(fields: dict[str, Any], message: str) -> None:
    """An invalid fault made in Python is refused as well, and the message names the field."""
    with pytest.raises(ValueError, match=message):
        Fault(**fields)


@given(JSON, JSON)
def test_a_patch_is_idempotent(document: Any, patch: Any) -> None:
    """A merge patch applied twice changes nothing more, and an empty one changes no object."""
    once = merged(document, patch)
    assert merged(once, patch) == once
    if isinstance(document, dict):
        assert merged(document, {}) == document


@given(st.dictionaries(st.text(max_size=2), JSON), st.dictionaries(st.text(max_size=2), JSON))
def test_a_patch_touches_what_it_names(document: dict[str, Any], patch: dict[str, Any]) -> None:
    """Members that the patch does not name stay, those that are null in it are removed, and the others are set."""
    result = merged(document, patch)
    for name in document.keys() - patch.keys():
        assert result[name] == document[name]
    assert result.keys() - document.keys() <= patch.keys()
    for name, value in patch.items():
        assert (name in result) == (value is not None)
        if not isinstance(value, dict) and value is not None:
            assert result[name] == value


def test_a_patch_changes_the_true_response() -> None:
    """A patched poll keeps its status, headers and other members, and has the new ones."""
    fake = played(Fault(operation="getGeneration", times=1, patch={"status": "vanished", "odd": {"a": 1}}))
    generation_id = create(fake).json()["id"]
    patched, true = get(fake, generation_id), get(fake, generation_id)
    assert patched.json() == {**true.json(), "status": "vanished", "odd": {"a": 1}}
    assert (patched.status, dict(patched.headers)) == (true.status, dict(true.headers))


@given(st.text(st.characters(codec="utf-8")) | st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers()))
def test_a_given_response_is_sent_as_it_is(body: Any) -> None:
    """Text is sent as it is, anything else as JSON; the status and the header fields are those of the fault."""
    fake = played(Fault(operation="getGeneration", status=502, headers={"X-Odd": "1"}, body=body))
    reply = get(fake, "anybody")
    assert reply.status == 502
    assert reply.headers["x-odd"] == "1"
    assert (reply.body.decode() if isinstance(body, str) else reply.json()) == body
    assert reply.headers["content-type"].startswith("text/plain" if isinstance(body, str) else "application/json")
    assert "odd" in reply.headers["x-fake-reason"]


@pytest.mark.parametrize("reason", REASONS)
def test_refusals_are_those_of_the_revision(reason: str) -> None:
    """A refusal has the status and the envelope of its revision, and the header fields that the fault adds."""
    fake = played(Fault(operation="createGeneration", refusal=reason, headers={"retry-after": "3"}))
    reply = create(fake)
    assert reply.status == REASONS[reason].status_code
    assert jsonschema.Draft202012Validator(fake.contract.error_schema).is_valid(reply.json())
    assert reply.headers["retry-after"] == "3"
    assert reply.headers["content-type"] == CONTRACT.observed.refusals.content_type


def test_a_body_alone_keeps_the_true_status() -> None:
    """A body without a status replaces the true one: the create is accepted, with its own status and media type."""
    fake = played(Fault(operation="createGeneration", body="{'id'"))
    reply = create(fake)
    operation = fake.contract.create
    assert (reply.status, reply.body) == (operation.success, b"{'id'")
    assert len(fake.generations) == 1


@given(
    st.binary(max_size=20),
    st.none() | st.integers(0, 25),
    st.none() | st.integers(1, 25),
    st.fixed_dictionaries(
        {}, optional={"body": st.just("other"), "latency": st.just(3), "headers": st.just({"a": "b"})}
    ),
)
def test_a_broken_off_response_stays_broken_off(
    body: bytes, cut: int | None, truncate: int | None, more: dict[str, Any]
) -> None:
    """A reply that breaks off by itself still breaks off under a fault, unless the fault has a body of its own."""
    fault = Fault(operation="getGeneration", truncate=truncate, **(more or {"patch": {"a": 1}}))
    made = fault.apply(Reply(200, Headers(), body, delay=2.0, cut=cut))
    own = "body" in more and cut != 0
    assert made.cut == min((each for each in (None if own else cut, truncate) if each is not None), default=None)
    assert made.delay == 2.0 + more.get("latency", 0)


def test_the_journal_has_what_was_lost() -> None:
    """The journal has a lost response as it was, with a cut of 0; a call that was never processed has status 0."""
    fake = played(
        Fault(operation="createGeneration", times=1, drop="after_processing"),
        Fault(operation="createGeneration", drop="before_processing"),
    )
    create(fake), create(fake)
    lost, unread = (exchange.reply for exchange in fake.journal)
    assert (lost.json()["id"], lost.cut) == (next(iter(fake.generations)), 0)
    assert (unread.status, unread.body, unread.cut) == (0, b"", 0)


def test_another_body_has_its_own_length() -> None:
    """The Content-Length of a body that replaces a video is its own, not that of the video."""
    fake = played(Fault(operation="download", body="moved"), progression="immediate")
    create(fake)
    (generation,) = fake.generations.values()
    reply = deliver(fake.handle, Request("GET", generation.video_url))
    assert (reply.headers["content-length"], reply.body) == ("5", b"moved")


@given(st.integers(1, 40_000), st.booleans())
@example(VIDEO_SIZE, False)
@example(VIDEO_SIZE - 1, False)
def test_a_cut_body_announces_its_true_length(size: int, head: bool) -> None:
    """A truncated download has the Content-Length of the whole, and breaks off unless it is no longer than the cut."""
    fake = played(Fault(operation="download", truncate=size), progression="immediate")
    create(fake)
    (generation,) = fake.generations.values()
    request = Request("HEAD" if head else "GET", generation.video_url)
    reply = deliver(fake.handle, request)
    whole = int(reply.headers["content-length"])
    assert reply.cut == (size if size < whole and not head else None)
    assert len(reply.body) == (0 if head else whole)


@given(st.floats(0.001, 1e6), st.none() | st.floats(0.001, 1e6))
def test_nobody_waits_in_process(latency: float, timeout: float | None) -> None:
    """In process a delay moves the virtual clock, at most by the read timeout; a longer delay means a timeout."""
    fake = FakeServer()
    before = fake.clock.now()
    in_time = wait_in_process(fake.clock, latency, timeout)
    assert in_time == (timeout is None or latency <= timeout)
    assert fake.clock.now() - before == pytest.approx(min(latency, math.inf if timeout is None else timeout), abs=1e-6)


def test_the_first_of_two_faults_holds() -> None:
    """If two faults cover a call, the first one hits it; the second one hits when the first is over."""
    fake = played(
        Fault(operation="getGeneration", times=2, status=502), Fault(operation="getGeneration", times=3, status=503)
    )
    assert [get(fake, "x").status for _ in range(4)] == [502, 502, 503, REASONS["unknown_generation"].status_code]


def test_counting_begins_anew() -> None:
    """A reset, or another scenario, starts to count calls anew; a reset restores the first scenario."""
    fake = played(Fault(operation="getGeneration", times=1, status=502))
    missing = REASONS["unknown_generation"].status_code
    assert [get(fake, "x").status for _ in range(2)] == [502, missing]
    fake.play({"faults": [{"operation": "getGeneration", "skip": 1, "status": 503}]})
    assert [get(fake, "x").status for _ in range(2)] == [missing, 503]
    fake.reset()
    assert fake.scenario.name == "odd"
    assert [get(fake, "x").status for _ in range(2)] == [502, missing]
