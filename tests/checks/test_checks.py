"""Claims about checking a server: what it finds, what it never sends, and that nothing a server does can harm the caller."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast, get_args

import httpx
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import engine

from fake_server import FakeServer, Reply, Request
from fake_server.adapters.listen import listen
from fake_server.messages import Headers
from kling_contract.checks import places, plan, runner
from kling_contract.checks import report as check_report
from kling_contract.checks.claims import CLAIMS, FREE, Claim
from kling_contract.checks.creation_claims import claim_calls_at_once_do_not_mix
from kling_contract.checks.deadline import Deadline, DeadlineExceeded
from kling_contract.checks.findings import Finding, Verdict
from kling_contract.checks.fuzzing import attack
from kling_contract.checks.guard import Guard, UnexpectedCreation
from kling_contract.checks.report import Report
from kling_contract.checks.restricted import RecordingTarget, UncreatableTarget
from kling_contract.checks.runner import Inspection, check
from kling_contract.checks.target import Target
from kling_contract.cli import cli
from kling_contract.clock import VirtualClock
from kling_contract.contract import Contract, revisions
from kling_contract.errors import ContractBroken, ServerUnreachable
from kling_contract.jsontext.pointer import resolve
from kling_contract.mutations import mutations
from kling_contract.reports import Format
from kling_contract.strategies import valid_requests
from kling_contract.validation import validate
from kling_contract.validation.messages import operation_of
from kling_contract.violation import has_errors
from tests.support.broken_fakes import BROKEN, FOR_FREE, Broken, Twist, Twisted, knows_everybody, over_the_wire
from tests.support.targets import KEY, in_process

pytest_plugins = ["pytester"]

CONTRACT = Contract.load()
CONTRACTS = [Contract.load(each) for each in revisions()]
REASONS = CONTRACT.observed.refusals.reasons
CREATION, POLLING = CONTRACT.create, CONTRACT.get


@contextmanager
def served(**options: Any) -> Iterator[tuple[str, FakeServer]]:
    """Give the URL of a fake that takes KEY and has its control path, and the fake."""
    fake = FakeServer(**{"api_key": KEY, **options})
    with fake.listen() as url:
        yield str(url), fake


def answering(answer: Callable[[httpx.Request], httpx.Response], contract: Contract = CONTRACT) -> Target:
    """Return a server that answers as it is told."""
    return Target(http=httpx.Client(transport=httpx.MockTransport(answer)), key=KEY, contract=contract)


def names(findings: list[Finding]) -> set[str]:
    """Return which questions found something."""
    return {finding.claim for finding in findings}


def name_of(claim: Claim) -> str:
    """Return what a claim is called in a finding."""
    return claim.__name__.removeprefix("claim_").replace("_", "-")


def creates_nothing(request: httpx.Request) -> bool:
    """Is this a request that no revision could take for a create?"""
    safe = request.method in ("GET", "HEAD", "OPTIONS")
    return safe or all(has_errors(validate(request.content, contract=each)) for each in CONTRACTS)


# --- what it finds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strictness", ["strict", "lax"])
@pytest.mark.parametrize("revision", revisions())
def test_free_the_fake_is_clean(revision: str, strictness: str) -> None:
    """Over the wire nothing is found on the fake for free, and nothing is made, in any revision."""
    with served(revision=revision, strictness=strictness) as (url, fake):
        assert check(url, revision=revision, key=KEY) == []
        assert not fake.generations
        assert len(fake.journal) > len(FREE)


@pytest.mark.parametrize("revision", revisions())
def test_the_fake_is_clean(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the wire nothing is found on the fake when everything is asked, in any revision, and everything is asked."""
    monkeypatch.setattr(plan, "EXAMPLES", 1)
    with (
        served(revision=revision) as (url, _),
        Inspection(url, contract=Contract.load(revision), creations=None, key=KEY, seed=0) as asked,
    ):
        verdicts = list(asked.verdicts())
    assert [(each.findings, each.left_out) for each in verdicts] == [((), None)] * (len(CLAIMS) + 3)


def test_a_fake_that_refuses_nothing_ends_the_free_run() -> None:
    """The first create that is accepted for free is the last request of the run, and is reported with the generation's id."""
    with served(strictness="off") as (url, fake), Inspection(url, key=KEY, seed=0) as asked:
        verdicts = list(asked.verdicts())
        (finding,) = [finding for verdict in verdicts for finding in verdict.findings]
        assert finding.generation_id is not None
        assert list(fake.generations) == [finding.generation_id]
        assert fake.journal[-1].generation_id == finding.generation_id
        assert finding.generation_id in finding.expected
    assert verdicts[-1].incomplete


@pytest.mark.parametrize("broken", BROKEN, ids=lambda each: each.name)
def test_each_broken_fake_is_found(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where creating is allowed, the question about what is wrong with a broken fake finds it, over the wire.

    For what no claim thought of that is the state machine.
    """
    monkeypatch.setattr(
        engine, "MAX_SHRINKING_SECONDS", 1
    )  # it is about finding: shrinking over the wire takes a minute
    with over_the_wire(broken) as target:
        findings = asked_about(broken, target)
    assert findings
    for finding in findings:
        assert finding.expected
        assert finding.came
        assert KEY not in str(finding)


def test_the_state_machine_tells_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the state machine finds comes with the steps that lead there, to the one that shows it."""
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", 2)
    with Inspection(in_process(Twisted(knows_everybody)), creations=None, seed=0) as asked:
        (finding,) = asked.judge(asked.questions[-1]).findings
    assert finding.curl
    calls = [step.partition("state.")[2].partition("(")[0] for step in finding.steps if "state." in step]
    assert calls[-2:] == ["poll_strange_ids", "teardown"]


def asked_about(broken: Broken, target: Target) -> tuple[Finding, ...]:
    """Return what the question finds that is about what is wrong with a broken fake, where creating is allowed."""
    with Inspection(target, creations=None, seed=0) as asked:
        name = name_of(broken.noticed_by) if broken.noticed_by else "any-order"
        (question,) = [each for each in asked.questions if each.name == name]
        return asked.judge(question).findings


@pytest.mark.parametrize("broken", BROKEN, ids=lambda each: each.name)
def test_what_is_found_for_free(broken: Broken) -> None:
    """For free just those broken fakes are found that are known to be, and nothing is created.

    What is broken in a refusal and not found for free shows in a create that is accepted, and nowhere else.
    """
    target = broken.make()
    fake = cast("FakeServer", getattr(target.play, "__self__", None))
    found = check(target, seed=0)
    assert not fake.generations or broken.name == "polls_the_latest"  # that one makes them by itself
    grave = min((each.severity for each in found), default=None)
    assert grave == FOR_FREE.get(broken.name)
    if not found and broken.noticed_by in FREE:
        findings = asked_about(broken, broken.make())
        assert findings
        assert all(each.came.startswith(str(CREATION.success)) for each in findings)


class Otherwise(FakeServer):
    """A fake that refuses where it must, but with other statuses than those that the documents only assume."""

    def handle(self, request: Request) -> Reply:
        reply = super().handle(request)
        assumed = {each.status_code for each in REASONS.values() if each.assumed}
        plain = {"unknown_path", "unauthorized", "invalid_body"}
        certain = {each.status_code for name, each in REASONS.items() if name in plain}
        other = {404: 400, 400: 404}.get(reply.status, 422)
        polled = operation_of(CONTRACT, request.method, request.url)[1] == POLLING
        if reply.status in assumed and (polled or reply.status not in certain):
            body = json.dumps({**reply.json(), "statusCode": other}).encode()
            return Reply(other, Headers({**reply.headers, "content-length": str(len(body))}), body)
        return reply


ASSUMED = {
    "media-type-is-needed",
    "unknown-ids-are-refused",
    "polls-need-an-id",
    "other-methods-are-refused",
}


def test_assumptions_are_told_apart() -> None:
    """A server that refuses where it must, but with another status than assumed, gets warnings, and is not called broken."""
    with listen(Otherwise(api_key=KEY).asgi) as url:
        findings = check(str(url), key=KEY, seed=0)
        lenient, strict = run(str(url)), run(str(url), "--fail-on", "warning")
        report = json.loads(run(str(url), "--format", "json").output)
    assert names(findings) == ASSUMED
    assert {finding.severity for finding in findings} == {"warning"}
    assert len({(finding.claim, finding.expected) for finding in findings}) == len(findings)
    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert lenient.output.count("\nassumed   ") + lenient.output.startswith("assumed   ") == len(findings)
    assert f"{len(ASSUMED)} not as assumed" in lenient.output
    assert f"{len(ASSUMED)} broken" in strict.output
    assert report["summary"]["not_as_assumed"] == len(ASSUMED)


def test_behind_an_assumption_everything_is_still_asked() -> None:
    """What is not as assumed keeps nothing else from being found: here, an id that crashes the server."""

    class Crashing(Otherwise):
        def handle(self, request: Request) -> Reply:
            reply = super().handle(request)
            return replace(reply, status=500) if request.url.endswith("=%25") else reply

    findings = [each for each in check(in_process(Crashing(api_key=KEY)), seed=0) if each.severity == "error"]
    assert names(findings) == {"unknown-ids-are-refused"}


def test_what_is_only_assumed_is_not_witnessed() -> None:
    """Among what must not be lost, because it may not come again, is nothing that is only otherwise than assumed."""
    target = RecordingTarget.of(replace(in_process(Otherwise(api_key=KEY)), assumptions=[]))
    target.must_refuse(target.poll("nobody"), "unknown_generation")
    assert target.assumptions
    assert target.seen == []
    with pytest.raises(ContractBroken):
        target.must_refuse(target.poll("nobody"), "unauthorized")
    assert len(target.seen) == 1


@pytest.mark.parametrize("status", [200, 302, 500])
def test_no_refusal_at_all_is_no_assumption(status: int) -> None:
    """An unknown id that is not refused with any 4xx breaks the contract, whatever is assumed."""
    fake = FakeServer(api_key=KEY)

    def answer(request: httpx.Request) -> httpx.Response:
        response = httpx.Client(transport=fake.transport()).send(request)
        unknown = response.status_code == REASONS["unknown_generation"].status_code
        return httpx.Response(status, headers=response.headers, content=response.content) if unknown else response

    findings = check(answering(answer), seed=0)
    assert "error" in {each.severity for each in findings if each.claim == "unknown-ids-are-refused"}


def test_a_server_of_usual_habits_is_not_blamed() -> None:
    """That a server answers OPTIONS, and takes a path with a slash at its end or in capitals, is no finding."""
    fake = FakeServer(api_key=KEY)

    def habitual(request: httpx.Request) -> httpx.Response:
        if request.method == "OPTIONS":
            return httpx.Response(204, headers={"allow": "GET, HEAD, OPTIONS, POST"})
        path = request.url.path.lower().removesuffix("/")
        response = httpx.Client(transport=fake.transport()).send(
            httpx.Request(
                request.method, request.url.copy_with(path=path), headers=request.headers, content=request.content
            )
        )
        if "allow" in response.headers:
            response.headers["allow"] += ", HEAD, OPTIONS"
        return response

    assert check(answering(habitual), seed=0) == []


def test_each_accepted_fault_is_told_apart() -> None:
    """Where creating is allowed, each rule that a server does not keep is a finding, with the smallest payload that shows it."""
    with served(strictness="off") as (url, _), Inspection(url, creations=None, key=KEY, seed=0) as asked:
        (question,) = [each for each in asked.questions if each.name == "broken-payloads-are-refused"]
        findings = asked.judge(question).findings
    catalogue = [each for each in mutations() if has_errors(validate(each.payload)) and each.pointer]
    assert len(findings) == len({(each.pointer, each.rule) for each in catalogue})
    for finding in findings:
        assert has_errors(validate(finding.payload))
        assert len(finding.payload) <= min(len(each.payload) for each in catalogue if finding.payload == each.payload)
        assert str(CREATION.success) in finding.came


@pytest.mark.parametrize("contract", CONTRACTS, ids=repr)
def test_findings_rest_on_the_documents(contract: Contract) -> None:
    """Each question, and each mutation, names a place that is in a document of the revision; a mutation's has the broken rule."""
    for question in [*plan.questions(creations=None), *plan.questions(creations=1)]:
        document, pointer = places.place_of(question, contract)
        assert resolve(contract.document(document), pointer) is not None
    for mutation in mutations(contract=contract):
        document, pointer = places.schema_place(contract, mutation)
        assert pointer.endswith(f"/{mutation.rule}")
        assert resolve(contract.document(document), pointer) is not None


@pytest.mark.parametrize("twist", [None, knows_everybody], ids=["right", "wrong"])
def test_what_only_the_real_time_moves(twist: Twist | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a server without a clock to move, the state machine waits for nothing, and finds what is answered wrong."""
    monkeypatch.setattr(plan, "EXAMPLES", 30)
    fake = FakeServer(api_key=KEY) if twist is None else Twisted(twist)
    with listen(fake.asgi) as url, Inspection(str(url), creations=None, key=KEY, seed=0) as asked:
        (question,) = [each for each in asked.questions if each.name == "any-order"]
        verdict = asked.judge(question)
    assert verdict.left_out is None
    assert bool(verdict.findings) == (twist is not None)


def test_a_fake_of_ours_is_steered_into_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a port with a control path, calls fail and generations go other ways, as the state machine has it."""
    monkeypatch.setattr(plan, "EXAMPLES", 20)
    with served() as (url, fake), Inspection(url, creations=None, key=KEY, seed=3) as asked:
        (question,) = [each for each in asked.questions if each.name == "any-order"]
        assert asked.judge(question).findings == ()
        assert fake.scenario.name == "happy"
        replies = [exchange.reply for exchange in fake.journal]
    assert any(reply.cut is not None or reply.delay for reply in replies)
    ended = {fake.contract.lifecycle.failed(each.status(fake.now())) for each in fake.generations.values()}
    assert ended == {True, False}


def test_callers_at_the_same_time() -> None:
    """A server that mixes up callers who come at the same time is found."""
    fake = FakeServer(api_key=KEY)
    target = in_process(fake)
    first: list[httpx.Response] = []

    def mixed(request: httpx.Request) -> httpx.Response:
        response = httpx.Client(transport=fake.transport()).send(request)
        if request.method == CREATION.method:
            first.append(response)
            return first[0]
        return response

    twisted = replace(target, http=httpx.Client(transport=httpx.MockTransport(mixed)))
    with Inspection(twisted, creations=None, seed=0) as asked:
        (question,) = [each for each in asked.questions if each.name == name_of(claim_calls_at_once_do_not_mix)]
        assert asked.judge(question).findings


# --- what it never sends ---------------------------------------------------------------------------------------------

BODIES = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'{"id": "x"}',
    json.dumps({"id": "x", "status": CONTRACT.lifecycle.initial}).encode(),
    b"<h1>",
    b"\xff",
)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32), contract=st.sampled_from(CONTRACTS), friendly=st.booleans())
def test_for_free_nothing_is_sent_that_could_create(seed: int, contract: Contract, friendly: bool) -> None:
    """Whatever a server answers, for free no request is sent that any revision takes for a create; none after one was accepted."""
    chance = random.Random(seed)
    statuses = [*POLLING.responses, *CREATION.responses, 302, 418] if friendly else [400, 401, 404, 405, 415, 422, 500]
    sent: list[tuple[httpx.Request, int]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        status = chance.choice(statuses)
        sent.append((request, status))
        headers = {"content-type": chance.choice(["application/json", "text/html"]), "location": "/elsewhere"}
        return httpx.Response(status, headers=headers, content=chance.choice([*BODIES, KEY.encode()]))

    try:
        findings = check(answering(answer, contract), seed=seed)
    except ServerUnreachable:
        findings = []
    assert all(creates_nothing(request) for request, _ in sent)
    accepted = [
        place for place, (request, status) in enumerate(sent) if request.method == "POST" and 200 <= status < 300
    ]
    assert accepted in ([], [len(sent) - 1])
    assert not any(KEY in str(finding) for finding in findings)


@settings(max_examples=60)
@given(st.data())
def test_what_could_create_is_held_back(data: st.DataObject) -> None:
    """The transport itself holds back a payload that any revision takes, and lets as many pass as were agreed."""
    payload = data.draw(valid_requests(contract=data.draw(st.sampled_from(CONTRACTS))))
    agreed = data.draw(st.integers(0, 2))
    arrived: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        arrived.append(request)
        return httpx.Response(CREATION.success)

    guard = Guard(httpx.MockTransport(answer), deadline=Deadline(60), key=KEY, creations=agreed)
    with httpx.Client(transport=guard) as client:
        for _ in range(agreed):
            client.post("http://localhost/", json=payload)
        with pytest.raises(RuntimeError, match="held back"):
            client.post("http://localhost/", json=payload)
    assert len(arrived) == agreed


@settings(max_examples=60)
@given(st.data())
def test_whatever_is_created_for_free_is_doomed(data: st.DataObject) -> None:
    """A payload, alone or within another value, can create nothing any more when it is sent for free."""
    payload = data.draw(valid_requests(contract=data.draw(st.sampled_from(CONTRACTS))))
    wrapped = data.draw(st.sampled_from([payload, [payload], json.dumps(payload), {"input": payload}]))
    arrived: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        arrived.append(request)
        return httpx.Response(400)

    UncreatableTarget.of(answering(answer)).create(body=json.dumps(wrapped).encode())
    models = [each for contract in CONTRACTS for each in contract.request_schema["properties"]["model"]["enum"]]
    assert all(creates_nothing(request) for request in arrived)
    assert not any(model.encode() in arrived[0].content for model in models)


def test_after_an_accepted_create_nothing_passes() -> None:
    """Once something was accepted that must create nothing, the transport passes nothing on any more, not even a poll."""
    arrived: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        arrived.append(request)
        return httpx.Response(CREATION.success)

    with httpx.Client(transport=Guard(httpx.MockTransport(answer), deadline=Deadline(60), key=KEY)) as client:
        for method, body in ((CREATION.method, b"{}"), (POLLING.method, b"")):
            with pytest.raises(UnexpectedCreation, match=str(CREATION.success)):
                client.request(method, "http://localhost/", content=body)
    assert len(arrived) == 1


@pytest.mark.parametrize("creations", [0, None])
@pytest.mark.parametrize("given", [True, False], ids=["target", "url"])
def test_each_question_stands_alone(given: bool, creations: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's cookie is never sent back: what was answered once decides nothing. A client's own cookies are sent, and stay."""
    fake = FakeServer(api_key=KEY)
    cookies: list[str | None] = []

    def with_session(request: httpx.Request) -> httpx.Response:
        cookies.append(request.headers.get("cookie"))
        if "session=1" in (cookies[-1] or ""):  # lets everybody in who was let in before
            request.headers["authorization"] = f"Bearer {KEY}"
        response = fake.transport().handle_request(request)
        if response.status_code != REASONS["unauthorized"].status_code:
            response.headers["set-cookie"] = "session=1; Path=/"
        return response

    monkeypatch.setattr(httpx, "HTTPTransport", lambda **_: httpx.MockTransport(with_session))
    client = httpx.Client(transport=httpx.MockTransport(with_session), cookies={"own": "1"})
    server: Any = replace(answering(with_session), http=client) if given else "http://127.0.0.1:1"
    with Inspection(server, creations=creations, key=KEY, seed=0) as asked:
        for question in asked.questions[: len(FREE)]:
            assert asked.judge(question).findings == ()
    assert set(cookies) == {"own=1" if given else None}
    assert dict(client.cookies) == {"own": "1"}


def test_wrong_keys_are_hidden_too() -> None:
    """A key that was made of the true one to be wrong is in no finding, even where a server repeats it."""

    def echo(request: httpx.Request) -> httpx.Response:
        sent = request.headers.get("authorization", "")
        return httpx.Response(404, json={"message": sent, "again": sent.swapcase()})

    findings = check(answering(echo), seed=0)
    assert "other-keys-are-refused" in names(findings)
    for finding in findings:
        assert not any(spelt in str(finding) for spelt in (KEY, KEY[1:], KEY.swapcase()))


LONG_KEY = "kQ7vX2mZ9pL4wR8tB1nJ6sD3fH5g"
ENDS = (b"", b'", "id": "x"}', b'"} x', b"\xff")


def told_in_every_format(verdicts: list[Verdict]) -> str:
    """Return what all reports of a check say, one after the other."""
    report = Report("http://127.0.0.1:1", CONTRACT.revision.id, 0, 1, verdicts)
    formats: tuple[Format, ...] = get_args(Format)
    return "\n".join(line for each in formats for line in check_report.lines(report, each))


def parts_of(key: str) -> set[str]:
    """Return every stretch of 6 characters of a key."""
    return {key[at : at + 6] for at in range(len(key) - 5)}


@settings(max_examples=40, deadline=None)
@given(
    before=st.integers(340, 420) | st.integers(0, 60) | st.integers(3_960, 4_010),
    start=st.sampled_from([b"", b'{"status": "', b'{"message": "', b"["]),
    end=st.sampled_from(ENDS),
    status=st.sampled_from([200, 201, 400, 404, 500]),
    spelt=st.sampled_from([LONG_KEY, LONG_KEY[1:], LONG_KEY.swapcase()]),
    paid=st.booleans(),
)
def test_no_part_of_a_key_is_told(before: int, start: bytes, end: bytes, status: int, spelt: str, paid: bool) -> None:
    """Wherever in an answer the key stands, before or behind where it is cut, no report has a part of it, in any format."""
    body = start + b"-" * before + spelt.encode() + end

    def echo(request: httpx.Request) -> httpx.Response:
        if not paid and request.method == CREATION.method:
            return httpx.Response(400, content=body)
        return httpx.Response(status, headers={"x": spelt, "content-type": f"a/{spelt}"}, content=body)

    server = replace(answering(echo), key=LONG_KEY, clock=VirtualClock())
    with Inspection(server, creations=int(paid), seed=0) as asked:
        told = told_in_every_format(list(asked.verdicts()))
    assert not [part for part in parts_of(spelt) | parts_of(LONG_KEY) if part in told]


@pytest.mark.parametrize("before", [370, 385, 395])
def test_no_part_of_a_key_is_told_of_what_others_find(before: int) -> None:
    """What schemathesis and the state machine tell of an answer has no part of the key, either."""
    fake = FakeServer(api_key=LONG_KEY)

    def echo(request: httpx.Request) -> httpx.Response:
        response = fake.transport().handle_request(request)
        content = json.dumps({"status": "-" * before + LONG_KEY, "id": LONG_KEY}).encode()
        return httpx.Response(response.status_code, headers={"content-type": "application/json"}, content=content)

    server = replace(answering(echo), key=LONG_KEY, clock=VirtualClock())
    with Inspection(server, creations=None, seed=0) as asked:
        asked.questions = [each for each in asked.questions if each.name in ("any-order", "answers-fit")]
        told = told_in_every_format(list(asked.verdicts()))
    found = attack(server, seed=0, phases=["examples"])
    assert found.broken
    told += "".join(f"{each}{each.came}{each.wrong}" for each in found.broken)
    assert not [part for part in parts_of(LONG_KEY) if part in told]


class _BreaksOff(httpx.SyncByteStream):
    """A body that breaks off after its first piece."""

    def __init__(self, first: bytes, broken: Exception) -> None:
        self._first = first
        self._broken = broken

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        raise self._broken


@pytest.mark.parametrize("given", [True, False], ids=["target", "url"])
@pytest.mark.parametrize("first", [b"", b'{"id": "gen-1", "sta', b'{"id": "gen-1"}', b"[" * 5000, b"a" * 11_000_000])
@pytest.mark.parametrize(
    "broken", [httpx.RemoteProtocolError("cut"), httpx.ReadTimeout("late"), DeadlineExceeded(), None]
)
def test_the_status_line_decides(
    broken: Exception | None, first: bytes, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A create that is accepted for free ends the run and is reported, even when its body breaks off or cannot be read."""
    fake = FakeServer(api_key=KEY)
    accepted: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if accepted or request.method != CREATION.method:
            accepted.extend([1] if accepted else [])
            return fake.transport().handle_request(request)
        accepted.append(0)
        stream = httpx.ByteStream(first) if broken is None else _BreaksOff(first, broken)
        return httpx.Response(CREATION.success, stream=stream)

    monkeypatch.setattr(httpx, "HTTPTransport", lambda **_: httpx.MockTransport(answer))
    server = answering(answer) if given else "http://127.0.0.1:1"
    (finding,) = check(server, key=KEY, seed=0)
    assert accepted == [0]
    assert finding.came.startswith(str(CREATION.success))
    assert "may be billed" in finding.expected
    assert finding.generation_id == ("gen-1" if first.endswith(b"}") else None)


# --- what is paid for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_so_many_are_paid_for(count: int) -> None:
    """As many generations are made as were paid for, with a real picture, and each is followed to its end."""
    with served() as (url, fake):
        assert check(url, spend=count, key=KEY, seed=0) == []
        assert len(fake.generations) == count
        assert fake.ledger.pending == 0
        bodies = [each.request.json() for each in fake.journal if each.reply.status == CREATION.success]
    assert all(body["image_url"].startswith("data:image/jpeg;base64,") for body in bodies)


@pytest.mark.parametrize("name", ["wrong_size", "begins_late", "skips_back", "no_video", "lost_video"])
def test_what_is_paid_for_is_judged(name: str) -> None:
    """A generation that goes wrong is found, and only one was made for it."""
    broken = next(each for each in BROKEN if each.name == name)
    with over_the_wire(broken) as target:
        findings = check(target, spend=1, seed=0)
        assert names(findings) == {"paid-generation-1"}
        assert len(cast("FakeServer", getattr(target.play, "__self__", None)).generations) == 1


def test_a_create_without_answer_is_not_repeated() -> None:
    """When the answer to a paid create is lost, that is a finding, and nothing is created a second time."""
    fake = FakeServer(api_key=KEY)
    creates: list[bytes] = []

    def lossy(request: httpx.Request) -> httpx.Response:
        if not creates_nothing(request):
            creates.append(request.content)
            raise httpx.ReadError("the connection broke", request=request)
        return httpx.Client(transport=fake.transport()).send(request)

    target = replace(in_process(fake), http=httpx.Client(transport=httpx.MockTransport(lossy)), play=None)
    (finding,) = [each for each in check(target, spend=1, seed=0) if each.claim == "paid-generation-1"]
    assert "the connection broke" in finding.came
    assert len(creates) == 1


def test_a_create_that_is_refused_is_not_repeated() -> None:
    """When a paid create is refused, that is one finding, and nothing is created a second time."""
    refusal = {"faults": [{"operation": CREATION.id, "refusal": "out_of_credits"}]}
    fake = FakeServer(api_key=KEY)
    sent: list[bytes] = []

    def poor(request: httpx.Request) -> httpx.Response:
        if not creates_nothing(request):
            sent.append(request.content)
            fake.play(refusal)
        return httpx.Client(transport=fake.transport()).send(request)

    target = replace(in_process(fake), http=httpx.Client(transport=httpx.MockTransport(poor)), play=None)
    (finding,) = [each for each in check(target, spend=1, seed=0) if each.claim == "paid-generation-1"]
    assert str(CREATION.success) in finding.expected
    assert len(sent) == 1


def test_a_paid_generation_that_is_left_unwatched_is_named() -> None:
    """When polls of a paid generation get no answer any more, the finding has its id."""
    fake = FakeServer(api_key=KEY)
    made: list[str] = []

    def falls_silent(request: httpx.Request) -> httpx.Response:
        if made and request.method == POLLING.method:
            raise httpx.ReadTimeout("", request=request)
        response = httpx.Client(transport=fake.transport()).send(request)
        made.extend(fake.generations)
        return response

    target = replace(in_process(fake), http=httpx.Client(transport=httpx.MockTransport(falls_silent)), play=None)
    (finding,) = check(target, spend=1, seed=0)
    assert made[0] in finding.came
    assert "goes on unwatched" in finding.expected


# --- servers that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:8080", "scheme"),
        ("", "scheme"),
        ("ftp://localhost", "scheme"),
        ("http://", "scheme"),
        ("http://localhost:99999", "not a URL"),
        ("http://me:secret@localhost", "no user name"),
        ("http://localhost/?key=secret", "query"),
        ("http://127.0.0.1:9", "does not answer"),
        ("http://192.0.2.1", "allow_remote=True"),
        ("http://localhost.example.com", "allow_remote=True"),
    ],
)
def test_urls_that_lead_nowhere(url: str, told: str) -> None:
    """A URL that leads nowhere, or to another machine without being told so, is refused with what to do, and no secret."""
    with pytest.raises(ServerUnreachable, match=told) as refused:
        check(url)
    assert "secret" not in str(refused.value)


def test_a_host_that_does_not_resolve() -> None:
    """A host that does not resolve is unreachable."""
    with pytest.raises(ServerUnreachable, match="does not answer"):
        check("http://no-such-host.invalid", live=True, time_limit=5)


def test_tls_that_fails() -> None:
    """A server that speaks no TLS, or has a certificate that nobody vouches for, is unreachable."""
    with FakeServer().listen(tls=True) as url, pytest.raises(ServerUnreachable, match=r"(?i)certificate"):
        check(str(url))
    with served() as (url, _), pytest.raises(ServerUnreachable, match=r"(?i)ssl"):
        check(url.replace("http:", "https:"))


def test_a_redirect_is_not_followed() -> None:
    """A server that sends the caller elsewhere is unreachable, and elsewhere nobody is asked."""
    asked: list[str] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"location": "http://elsewhere.example/"})

    with pytest.raises(ServerUnreachable, match=r"elsewhere\.example"):
        check(answering(elsewhere))
    assert set(asked) == {httpx.URL(CONTRACT.base_url).host}


def test_a_key_that_is_not_taken() -> None:
    """A server that does not take the key is not held against the contract with it."""
    with served() as (url, _), pytest.raises(ServerUnreachable, match="key"):
        check(url, key="a-key-of-nobody")


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\nx: "], ids=["silent", "dripping"])
def test_a_server_that_never_answers(drip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing, or sends a header without end, is unreachable within the time limit."""
    monkeypatch.setattr(runner, "_GRACE", 0.1)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(drip)
                while drip and not over.wait(0.02):
                    connection.sendall(b"a")
                over.wait()

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ServerUnreachable, match=r"answer|too long"):
            check(f"http://127.0.0.1:{listener.getsockname()[1]}", time_limit=0.3)
        over.set()
        thread.join()


class _Endless(BaseHTTPRequestHandler):
    """Answers every request with a body that has no end, or is announced with 5 GB."""

    announced: int | None = None
    poured = 0

    def do_GET(self) -> None:
        self.send_response(404)
        if self.announced:
            self.send_header("content-length", str(self.announced))
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"a" * 2**16)
                type(self).poured += 2**16
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("announced", [None, 5 * 2**30], ids=["endless", "5 GB"])
def test_answers_without_end_are_not_read_on(announced: int | None) -> None:
    """Of an answer that has no end, or 5 GB, ten megabytes are read, and the server is said not to answer."""
    handler: Any = type("Endless", (_Endless,), {"announced": announced, "poured": 0})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with pytest.raises(ServerUnreachable, match="more than 10,000,000 bytes"):
            check(f"http://127.0.0.1:{server.server_port}", time_limit=20)
        server.shutdown()
        thread.join()
    assert handler.poured < 30 * 2**20


def test_a_bomb_is_not_unpacked() -> None:
    """Nothing is read of what unpacks to more than the limit."""
    import gzip

    bomb = gzip.compress(bytes(50_000_000))

    class Bomb(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            pieces = iter([bomb[i : i + 4096] for i in range(0, len(bomb), 4096)])
            return httpx.Response(404, headers={"content-encoding": "gzip"}, content=pieces)

    guard = Guard(Bomb(), deadline=Deadline(60), key=KEY)
    with httpx.Client(transport=guard) as client, pytest.raises(httpx.ReadError, match="more than 10,000,000 bytes"):
        client.get("http://localhost/", headers={"authorization": "Bearer x"})


def test_a_server_that_dies_on_the_way() -> None:
    """A server that does not answer any more is found, and what was not asked is said to be left out."""
    fake = FakeServer(api_key=KEY)
    count = iter(range(10**6))

    def dying(request: httpx.Request) -> httpx.Response:
        if next(count) > 5:
            raise httpx.ConnectError("connection refused", request=request)
        return httpx.Client(transport=fake.transport()).send(request)

    with Inspection(answering(dying), seed=0) as asked:
        verdicts = list(asked.verdicts())
    assert [bool(each.findings) for each in verdicts[:4]] == [True, True, True, False]
    assert all(each.incomplete for each in verdicts[3:])
    assert "curl" in verdicts[0].findings[0].curl


@pytest.mark.parametrize("name", ["any-order", "schemathesis"])
def test_time_that_runs_out_on_the_way_is_said(name: str) -> None:
    """When the time is over in the middle of a question that tries again what fails, it is left out, and not taken for kept."""
    with served() as (url, _), Inspection(url, creations=None, key=KEY, seed=0, time_limit=60) as asked:
        (question,) = [each for each in asked.questions if each.name == name]
        asked.meet()
        asked._deadline = asked._guard._deadline = Deadline(0.3)
        with pytest.raises(DeadlineExceeded):
            asked.judge(question)


def test_the_time_limit_ends_a_run() -> None:
    """What there was no time for is left out, and says so."""
    fake = FakeServer(api_key=KEY)
    with Inspection(answering(lambda request: httpx.Client(transport=fake.transport()).send(request)), seed=0) as asked:
        list_of_deadlines = iter([1.0] * 10)

        def remaining() -> float:
            try:
                return next(list_of_deadlines)
            except StopIteration:
                raise DeadlineExceeded from None

        asked._deadline.remaining = remaining  # type: ignore[method-assign]
        verdicts = list(asked.verdicts())
    assert verdicts[-1].incomplete
    assert "time limit" in str(verdicts[-1].left_out)


@pytest.mark.parametrize("server", ["kept", "broken", "silent", "elsewhere", "gone"])
def test_nothing_is_left_open(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes of a check, every client that it opened is closed after it, and every connection of theirs."""
    clients: list[httpx.Client] = []
    transports: list[httpx.HTTPTransport] = []
    client_made, transport_made = httpx.Client.__init__, httpx.HTTPTransport.__init__

    def noted_client(self: httpx.Client, **options: Any) -> None:
        clients.append(self)
        client_made(self, **options)

    def noted_transport(self: httpx.HTTPTransport, **options: Any) -> None:
        transports.append(self)
        transport_made(self, **options)

    monkeypatch.setattr(runner, "_GRACE", 0.1)
    monkeypatch.setattr(httpx.Client, "__init__", noted_client)
    monkeypatch.setattr(httpx.HTTPTransport, "__init__", noted_transport)
    with served(strictness="off" if server == "broken" else "lax") as (kept, _), socket.create_server(("", 0)) as mute:
        silent = f"http://127.0.0.1:{mute.getsockname()[1]}"
        url = {"silent": silent, "elsewhere": "http://192.0.2.1", "gone": "http://127.0.0.1:9"}.get(server, kept)
        with suppress(ServerUnreachable):
            check(url, spend=1, key=KEY, time_limit=0.3 if server == "silent" else 60)
    assert len(clients) == (0 if server == "elsewhere" else 2)
    assert all(each.is_closed for each in clients)
    assert not any(each._pool.connections for each in transports)


# --- on the command line ---------------------------------------------------------------------------------------------


def run(*arguments: str, key: str | None = KEY) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli, ["check", *arguments], env={"AIMLAPI_KEY": key})


def test_exit_codes() -> None:
    """0: kept, 1: broken, 2: wrong usage, 3: unreachable."""
    with served() as (url, _):
        assert run(url).exit_code == 0
        assert run(url, "--spend", "1").exit_code == 2
        assert run(url, "--spend", "1", "--allow-create").exit_code == 2
        assert run(url, "--live", key=None).exit_code == 2
        assert run(url, "--report", "html=x").exit_code == 2
        assert run().exit_code == 2
        assert run(url, "--revision", "1999-01-01").exit_code != 0
        assert run(url, key="another-key").exit_code == 3
    with served(strictness="off") as (url, _):
        assert run(url).exit_code == 1
        assert run(url.replace("http:", "https:")).exit_code == 3
    assert run("http://127.0.0.1:9").exit_code == 3


@pytest.mark.parametrize("options", [[], ["--spend", "1"], ["--revision", "all"], ["--allow-create"]])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("foo", "scheme"),
        ("localhost:8080", "scheme"),
        ("http://localhost:99999", "not a URL"),
        ("http://me:secret@localhost", "no user name"),
        ("https://api.example.com", "--remote"),
    ],
)
def test_a_url_that_cannot_be_asked_is_wrong_usage(url: str, told: str, options: list[str]) -> None:
    """A URL that cannot be asked, whatever a server does, is wrong usage (2); it is said before a price is."""
    refused = run(url, *options)
    assert refused.exit_code == 2
    assert told in refused.output
    assert "secret" not in refused.output
    assert "cost" not in refused.output


def test_the_cost_is_told_before_it_is_paid() -> None:
    """Without --yes nobody pays where nobody can be asked, and the documented cost is told."""
    with served() as (url, fake):
        refused = run(url, "--spend", "2")
        assert not len(fake.journal)
        assert f"{2 * CONTRACT.price(5):,.0f} {CONTRACT.observed.price.unit}" in refused.output
        assert run(url, "--spend", "1", "--yes").exit_code == 0
        assert len(fake.generations) == 1


@pytest.mark.parametrize("format_", ["text", "json", "junit", "sarif", "github"])
def test_every_format_tells_of_a_finding_and_no_key(format_: str, tmp_path: Any) -> None:
    """Each format, on the terminal and in a file, names the broken claim and how to ask again, without the key."""
    fake = next(each for each in BROKEN if each.name == "echoes_key").make()
    broken: FakeServer = cast("FakeServer", getattr(fake.play, "__self__", None))
    path = tmp_path / "report"
    with listen(broken.asgi) as url:
        shown = run(str(url), "--format", format_, "--report", f"{format_}={path}", "--seed", "1")
    assert shown.exit_code == 1
    text = path.read_text()
    assert text.strip() == shown.output.strip()
    assert "refusals-are-well-formed" in text
    assert "curl" in text
    assert "repeats the key" in text
    assert KEY not in text
    if format_ in ("json", "sarif"):
        json.loads(text)


def test_reports_of_what_is_kept(tmp_path: Any) -> None:
    """Several reports are written at once; a JUnit report has a case for each question, and none that failed."""
    from junitparser import JUnitXml

    with served() as (url, _):
        done = run(url, "--report", f"junit={tmp_path / 'a.xml'}", "--report", f"json={tmp_path / 'a.json'}")
    assert done.exit_code == 0
    assert "10 kept" in done.output
    suites = JUnitXml.fromfile(str(tmp_path / "a.xml"))
    assert (suites.tests, suites.failures, suites.errors) == (len(FREE), 0, 0)
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["summary"] == {"kept": len(FREE) - 1, "broken": 0, "not_as_assumed": 0, "left_out": 1}


@pytest.mark.parametrize("path", ["folder", "no/such/folder", "file/x"])
def test_a_report_that_cannot_be_opened_costs_nothing(path: str, tmp_path: Any) -> None:
    """A report that cannot be written is wrong usage before anything is asked or paid for."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with served() as (url, fake):
        refused = run(url, "--spend", "1", "--yes", "--report", f"junit={tmp_path / path}")
        assert len(fake.journal) == 0
    assert refused.exit_code == 2
    assert path in refused.output.replace("\n", "")


def test_a_report_that_fails_loses_no_other(tmp_path: Any) -> None:
    """Where a report cannot be written after all, that is said, and the one on the terminal and the others are there."""
    path = tmp_path / "a.json"
    path.write_text("x" * 100_000)
    with served() as (url, fake):
        reports = ("--report", "junit=/dev/full", "--report", f"json={path}")
        done = run(url, "--spend", "1", "--yes", *reports)
        assert len(fake.generations) == 1
    assert done.exit_code == 1
    assert "/dev/full: " in done.stderr
    assert f"{len(FREE) + 1} kept" in done.stdout
    assert json.loads(path.read_text())["summary"]["broken"] == 0


def test_everything_is_asked_and_nothing_is_left_behind(tmp_path: Any) -> None:
    """With --allow-create everything is asked, and the command leaves no file where it was called."""
    with served() as (url, _):
        program = (
            "from kling_contract import cli; from kling_contract.checks import plan; plan.EXAMPLES = 8; cli.main()"
        )
        arguments = [sys.executable, "-c", program, "check", url, "--allow-create"]
        environment = {**os.environ, "AIMLAPI_KEY": KEY, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(CLAIMS) + 3} kept" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("revision", revisions())
def test_which_revision_a_server_speaks(revision: str) -> None:
    """With --revision all the one that a server speaks is among the best matches, and is the one that is reported."""
    with served(revision=revision) as (url, _):
        told = run(url, "--revision", "all", "--format", "json", "--seed", "0")
    found = json.loads(told.output)
    assert told.exit_code == 0
    assert found["revisions"][revision] == 0 == found["revisions"][found["revision"]]
    assert list(found["revisions"]) == list(revisions())


def test_a_seed_repeats_a_run() -> None:
    """Two runs with one seed send the same, and another seed something else."""

    def bodies(seed: str) -> list[bytes]:
        with served() as (url, fake):
            run(url, "--seed", seed)
            return [each.request.body for each in fake.journal]

    assert bodies("1") == bodies("1") != bodies("2")


def test_a_recording_is_judged(tmp_path: Any) -> None:
    """With --har a recording is judged without any server."""
    fake = FakeServer(api_key=KEY)
    target = in_process(fake)
    target.poll(target.generation(target.create(), target.creation).id)
    path = tmp_path / "session.har"
    path.write_text(json.dumps(fake.journal.har()))
    assert run("--har", str(path)).exit_code == 0
    assert run("--har", str(path), "--revision", "all").output.startswith("* ")
    target.create({**target.minimal_payload(), "duration": 7})
    path.write_text(json.dumps(fake.journal.har()))
    refused = run("--har", str(path))
    assert refused.exit_code == 1
    assert "/duration" in refused.output
    assert run("--har", str(path), "http://localhost").exit_code == 2


# --- as tests --------------------------------------------------------------------------------------------------------

PROGRAM = """
import pytest
from fake_server import FakeServer, Reply, Request
from kling_contract.checks import contract_tests

KEY = "a-key-of-the-tests"

@pytest.fixture(scope="module")
def gateway():
    with FakeServer(api_key=KEY, strictness="lax").listen() as url:
        yield url

@pytest.fixture(scope="module")
def sloppy():
    with FakeServer(api_key=KEY, strictness="off").listen() as url:
        yield url

TestGateway = contract_tests("gateway", key=KEY)
TestSloppy = contract_tests("sloppy", key=KEY)
"""


def test_contract_tests_in_a_suite(pytester: pytest.Pytester) -> None:
    """Imported tests ask one question each; after a create that was accepted the rest fail without asking."""
    pytester.makepyfile(PROGRAM)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    good = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", "TestGateway")
    good.assert_outcomes(passed=len(FREE) - 1, skipped=1, deselected=len(FREE))
    bad = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", "TestSloppy")
    counted = bad.parseoutcomes()
    assert (counted["passed"], counted["failed"]) == (2, len(FREE) - 2)
    bad.stdout.fnmatch_lines(["*was created, which may be billed*", "*not asked: in an earlier test*"])
