"""Claims about what a check never does: send what could create a generation, or show a key."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_server import FakeServer
from kling_contract.checks.deadline import Deadline, DeadlineExceeded
from kling_contract.checks.findings import CheckResult
from kling_contract.checks.fuzzing import fuzz
from kling_contract.checks.guard import CreationGuard, UnexpectedCreation
from kling_contract.checks.plan import CLAIMS
from kling_contract.checks.report import CheckReport, lines
from kling_contract.checks.restricted import uncreatable
from kling_contract.checks.runner import CheckRun, check
from kling_contract.clock import VirtualClock
from kling_contract.contract import Contract, revisions
from kling_contract.errors import ServerUnreachable
from kling_contract.reports import Format
from kling_contract.strategies import valid_requests
from kling_contract.validation import validate
from kling_contract.violation import has_errors
from tests.support.targets import KEY, answering

CONTRACT = Contract.load()
CONTRACTS = [Contract.load(revision) for revision in revisions()]
REASONS = CONTRACT.observed.refusals.reasons
CREATE, GET = CONTRACT.create, CONTRACT.get
FREE = [claim for claim in CLAIMS if claim.free]


def creates_nothing(request: httpx.Request) -> bool:
    """Return whether no revision takes this for a create."""
    safe = request.method in ("GET", "HEAD", "OPTIONS")
    return safe or all(has_errors(validate(request.content, contract=contract)) for contract in CONTRACTS)


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
    """Whatever a server returns, for free no request is sent that any revision takes for a create; none after one was accepted."""
    chance = random.Random(seed)
    statuses = [*GET.responses, *CREATE.responses, 302, 418] if friendly else [400, 401, 404, 405, 415, 422, 500]
    sent: list[tuple[httpx.Request, int]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        status = chance.choice(statuses)
        sent.append((request, status))
        headers = {"content-type": chance.choice(["application/json", "text/html"]), "location": "/elsewhere"}
        return httpx.Response(status, headers=headers, content=chance.choice([*BODIES, KEY.encode()]))

    try:
        findings = check(answering(respond, contract=contract), seed=seed)
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
    """The transport itself holds back a payload that any revision accepts, and sends as many as were agreed."""
    payload = data.draw(valid_requests(contract=data.draw(st.sampled_from(CONTRACTS))))
    agreed = data.draw(st.integers(0, 2))
    arrived: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        arrived.append(request)
        return httpx.Response(CREATE.success)

    guard = CreationGuard(httpx.MockTransport(respond), deadline=Deadline(60), key=KEY, creations=agreed)
    with httpx.Client(transport=guard) as client:
        for _ in range(agreed):
            client.post("http://localhost/", json=payload)
        with pytest.raises(RuntimeError, match="held back"):
            client.post("http://localhost/", json=payload)
    assert len(arrived) == agreed


@settings(max_examples=60)
@given(st.data())
def test_for_free_every_create_is_for_an_unknown_model(data: st.DataObject) -> None:
    """A payload that is sent for free, alone or within another value, cannot create anything any more."""
    payload = data.draw(valid_requests(contract=data.draw(st.sampled_from(CONTRACTS))))
    wrapped = data.draw(st.sampled_from([payload, [payload], json.dumps(payload), {"input": payload}]))
    arrived: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        arrived.append(request)
        return httpx.Response(400)

    uncreatable(answering(respond)).create(body=json.dumps(wrapped).encode())
    models = [each for contract in CONTRACTS for each in contract.request_schema["properties"]["model"]["enum"]]
    assert all(creates_nothing(request) for request in arrived)
    assert not any(model.encode() in arrived[0].content for model in models)


def test_for_free_no_body_names_a_model_in_any_encoding() -> None:
    """In a free check no body names a model of any revision, not even in UTF-16, which a careless server might read."""
    arrived: list[bytes] = []

    def respond(request: httpx.Request) -> httpx.Response:
        arrived.append(request.content)
        return httpx.Response(400)

    check(answering(respond), seed=0)
    models = [model for contract in CONTRACTS for model in contract.request_schema["properties"]["model"]["enum"]]
    spelt = [model.encode(encoding) for model in models for encoding in ("utf-8", "utf-16-le", "utf-16-be")]
    assert not [body for body in arrived if any(model in body for model in spelt)]
    assert any(b"k\0l\0i\0n\0g\0" in body for body in arrived)


def test_after_an_accepted_create_nothing_passes() -> None:
    """Once something was accepted that must not create anything, the transport sends nothing any more, not even a poll."""
    arrived: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        arrived.append(request)
        return httpx.Response(CREATE.success)

    with httpx.Client(transport=CreationGuard(httpx.MockTransport(respond), deadline=Deadline(60), key=KEY)) as client:
        for method, body in ((CREATE.method, b"{}"), (GET.method, b"")):
            with pytest.raises(UnexpectedCreation, match=str(CREATE.success)):
                client.request(method, "http://localhost/", content=body)
    assert len(arrived) == 1


@pytest.mark.parametrize("creations", [0, None])
@pytest.mark.parametrize("given", [True, False], ids=["target", "url"])
def test_each_request_stands_alone(given: bool, creations: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's cookie is never sent back, so that no response decides a later one. A client's own cookies are sent, and stay."""
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
    with CheckRun(server, creations=creations, key=KEY, seed=0) as run:
        for claim in run.claims[: len(FREE)]:
            assert run.check(claim).findings == ()
    assert set(cookies) == {"own=1" if given else None}
    assert dict(client.cookies) == {"own": "1"}


def test_wrong_keys_are_hidden_too() -> None:
    """A key that was made of the true one to be wrong is in no finding, even where a server repeats it."""

    def echo(request: httpx.Request) -> httpx.Response:
        sent = request.headers.get("authorization", "")
        return httpx.Response(404, json={"message": sent, "again": sent.swapcase()})

    findings = check(answering(echo), seed=0)
    assert "other-keys-are-refused" in {finding.claim for finding in findings}
    for finding in findings:
        assert not any(spelt in str(finding) for spelt in (KEY, KEY[1:], KEY.swapcase()))


LONG_KEY = "kQ7vX2mZ9pL4wR8tB1nJ6sD3fH5g"
ENDS = (b"", b'", "id": "x"}', b'"} x', b"\xff")


def reported(results: list[CheckResult]) -> str:
    """Return the reports of a check in all formats, one after the other."""
    report = CheckReport("http://127.0.0.1:1", CONTRACT.revision.id, CONTRACT.model, 0, 1, results)
    formats: tuple[Format, ...] = get_args(Format)
    return "\n".join(line for each in formats for line in lines(report, each))


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
def test_no_part_of_a_key_is_shown(before: int, start: bytes, end: bytes, status: int, spelt: str, paid: bool) -> None:
    """Wherever in a response the key stands, before or behind where it is cut, no report has a part of it, in any format."""
    body = start + b"-" * before + spelt.encode() + end

    def echo(request: httpx.Request) -> httpx.Response:
        if not paid and request.method == CREATE.method:
            return httpx.Response(400, content=body)
        return httpx.Response(status, headers={"x": spelt, "content-type": f"a/{spelt}"}, content=body)

    server = replace(answering(echo), key=LONG_KEY, clock=VirtualClock())
    with CheckRun(server, creations=int(paid), seed=0) as run:
        told = reported(list(run.results()))
    assert not [part for part in parts_of(spelt) | parts_of(LONG_KEY) if part in told]


@pytest.mark.parametrize("before", [370, 385, 395])
def test_no_part_of_a_key_is_shown_by_what_others_find(before: int) -> None:
    """What schemathesis and the state machine say about a response has no part of the key, either."""
    fake = FakeServer(api_key=LONG_KEY)

    def echo(request: httpx.Request) -> httpx.Response:
        response = fake.transport().handle_request(request)
        content = json.dumps({"status": "-" * before + LONG_KEY, "id": LONG_KEY}).encode()
        return httpx.Response(response.status_code, headers={"content-type": "application/json"}, content=content)

    server = replace(answering(echo), key=LONG_KEY, clock=VirtualClock())
    with CheckRun(server, creations=None, seed=0) as run:
        run.claims = [claim for claim in run.claims if claim.name in ("any-order", "responses-fit")]
        told = reported(list(run.results()))
    found = fuzz(server, seed=0, phases=["examples"])
    assert found.broken
    told += "".join(f"{each}{each.expected}{each.actual}{each.problem}" for each in found.broken)
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

    def respond(request: httpx.Request) -> httpx.Response:
        if accepted or request.method != CREATE.method:
            accepted.extend([1] if accepted else [])
            return fake.transport().handle_request(request)
        accepted.append(0)
        stream = httpx.ByteStream(first) if broken is None else _BreaksOff(first, broken)
        return httpx.Response(CREATE.success, stream=stream)

    monkeypatch.setattr(httpx, "HTTPTransport", lambda **_: httpx.MockTransport(respond))
    server = answering(respond) if given else "http://127.0.0.1:1"
    (finding,) = check(server, key=KEY, seed=0)
    assert accepted == [0]
    assert finding.actual.startswith(str(CREATE.success))
    assert "may be billed" in finding.problem
    assert finding.generation_id == ("gen-1" if first.endswith(b"}") else None)
