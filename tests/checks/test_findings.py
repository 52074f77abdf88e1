"""Claims about what a check finds, and how a finding says it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis.internal.conjecture import engine

from fake_server import FakeServer, Reply, Request
from fake_server.adapters.listen import listen
from fake_server.messages import Headers
from kling_contract.checks.claims import Claim
from kling_contract.checks.creation_claims import calls_at_once_do_not_mix
from kling_contract.checks.findings import CheckResult, Finding
from kling_contract.checks.places import place_of, schema_place
from kling_contract.checks.plan import CLAIMS, EXPLORATIONS, claims_for
from kling_contract.checks.refusal_claims import invalid_payloads_are_refused
from kling_contract.checks.runner import CheckRun, check
from kling_contract.checks.target import Target
from kling_contract.contract import Contract, revisions
from kling_contract.errors import ContractBroken
from kling_contract.jsontext.pointer import resolve
from kling_contract.mutations import mutations
from kling_contract.validation import validate
from kling_contract.validation.messages import operation_of
from kling_contract.violation import has_errors
from tests.support.broken_fakes import BROKEN, FOR_FREE, Broken, Twist, Twisted, knows_everybody, over_the_wire
from tests.support.targets import KEY, answering, in_process, served

CONTRACT = Contract.load()
CONTRACTS = [Contract.load(revision) for revision in revisions()]
FREE = [claim for claim in CLAIMS if claim.free]
ANY_ORDER = next(claim for claim in EXPLORATIONS if claim.name == "any-order")
REASONS = CONTRACT.observed.refusals.reasons


def claims_in(findings: list[Finding]) -> set[str]:
    """Return which claims are broken."""
    return {finding.claim for finding in findings}


def checked(server: str | Target, claim: Claim, **options: Any) -> CheckResult:
    """Return what checking one claim finds, if creating is allowed."""
    with CheckRun(server, creations=None, key=KEY, **{"seed": 0, **options}) as run:
        return run.check(claim)


@pytest.mark.parametrize("strictness", ["strict", "lax"])
@pytest.mark.parametrize("revision", [CONTRACT.revision.id, "latest"])
def test_the_fake_is_clean_for_free(revision: str, strictness: str) -> None:
    """Over the wire nothing is found on the fake for free, and nothing is created."""
    with served(revision=revision, strictness=strictness) as (url, fake):
        assert check(url, revision=revision, key=KEY) == []
        assert not fake.generations
        assert len(fake.journal) > len(FREE)


@pytest.mark.parametrize("revision", [CONTRACT.revision.id, "latest"])
def test_the_fake_is_clean(revision: str) -> None:
    """Over the wire nothing is found on the fake when everything is checked, and everything is checked."""
    with (
        served(revision=revision) as (url, _),
        CheckRun(url, contract=Contract.load(revision), creations=None, key=KEY, seed=0, examples=1) as run,
    ):
        results = list(run.results())
    assert [(result.claim, result.findings, result.skipped) for result in results] == [
        (claim.name, (), None) for claim in (*CLAIMS, *EXPLORATIONS)
    ]


def test_a_fake_that_refuses_nothing_ends_the_free_run() -> None:
    """The first create that is accepted for free is the last request of the run, and is reported with the generation's id."""
    with served(strictness="off") as (url, fake), CheckRun(url, key=KEY, seed=0) as run:
        results = list(run.results())
        (finding,) = [finding for result in results for finding in result.findings]
        assert finding.generation_id is not None
        assert list(fake.generations) == [finding.generation_id]
        assert fake.journal[-1].generation_id == finding.generation_id
        assert finding.generation_id in finding.problem
    assert results[-1].incomplete


@pytest.mark.parametrize("broken", [each for each in BROKEN if each.noticed_by], ids=lambda broken: broken.name)
def test_each_broken_fake_is_found(broken: Broken) -> None:
    """If creating is allowed, the claim about what is wrong with a broken fake finds it, over the wire."""
    assert broken.noticed_by is not None
    with over_the_wire(broken, broken.fake()) as target:
        findings = checked(target, broken.noticed_by).findings
    assert_well_said(findings)


@pytest.mark.parametrize("broken", [each for each in BROKEN if not each.noticed_by], ids=lambda broken: broken.name)
def test_what_no_claim_thought_of_is_found(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    """If creating is allowed, the state machine finds the broken fakes that break no other claim."""
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", 1)  # that it is found is the point, not the shortest way there
    assert_well_said(checked(broken.target(), ANY_ORDER, seed=3).findings)


def assert_well_said(findings: Sequence[Finding]) -> None:
    """Assert that there are findings, which say what was expected and what came, without the key."""
    assert findings
    for finding in findings:
        assert finding.expected
        assert finding.actual
        assert KEY not in str(finding)


def test_the_state_machine_tells_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the state machine finds comes with the steps that lead there, to the one that shows it."""
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", 2)
    (finding,) = checked(in_process(Twisted(knows_everybody)), ANY_ORDER).findings
    assert finding.reproduce
    calls = [step.partition("state.")[2].partition("(")[0] for step in finding.steps if "state." in step]
    assert calls[-2:] == ["poll_strange_ids", "teardown"]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_what_is_found_for_free(broken: Broken) -> None:
    """For free just those broken fakes are found that are known to be, and nothing is created.

    What is broken in a refusal and not found for free shows in a create that is accepted, and nowhere else.
    """
    fake = broken.fake()
    found = check(broken.target(fake), seed=0)
    assert not fake.generations or broken.name == "polls_the_latest"  # that one creates them by itself
    assert min((finding.severity for finding in found), default=None) == FOR_FREE.get(broken.name)
    if not found and broken.noticed_by in FREE:
        findings = checked(broken.target(), broken.noticed_by).findings
        assert findings
        assert all(finding.actual.startswith(str(CONTRACT.create.success)) for finding in findings)


def test_a_finding_says_what_was_expected() -> None:
    """A finding has the status that was expected, what came instead, and a request that shows it again."""
    (finding,) = check(in_process(FakeServer()), seed=0)  # it takes any key
    assert finding.claim == "other-keys-are-refused"
    assert (finding.expected, finding.actual.partition(" ")[0], finding.others) == ("401", "404", 0)
    assert finding.reproduce.startswith("curl ")
    assert "--api-key" in finding.hint
    lines = str(finding).splitlines()
    assert "  expected   401" in lines
    assert any(line.startswith("  actual     404 ") for line in lines)


class Otherwise(FakeServer):
    """A fake that refuses where it must, but with other statuses than those that the documents only assume."""

    def handle(self, request: Request) -> Reply:
        reply = super().handle(request)
        assumed = {reason.status_code for reason in REASONS.values() if reason.assumed}
        known = {"unknown_path", "unauthorized", "invalid_body"}
        certain = {reason.status_code for name, reason in REASONS.items() if name in known}
        other = {404: 400, 400: 404}.get(reply.status, 422)
        polled = operation_of(CONTRACT, request.method, request.url)[1] == CONTRACT.get
        if reply.status in assumed and (polled or reply.status not in certain):
            body = json.dumps({**reply.json(), "statusCode": other}).encode()
            return Reply(other, Headers({**reply.headers, "content-length": str(len(body))}), body)
        return reply


ASSUMED = {"media-type-is-needed", "unknown-ids-are-refused", "polls-need-an-id", "other-methods-are-refused"}


def test_assumptions_are_told_apart() -> None:
    """A server that refuses where it must, but with another status than assumed, gets warnings, one for each assumption."""
    with listen(Otherwise(api_key=KEY).asgi) as url:
        findings = check(str(url), key=KEY, seed=0)
    assert claims_in(findings) == ASSUMED
    assert {finding.severity for finding in findings} == {"warning"}
    assert len({(finding.claim, finding.expected, finding.problem) for finding in findings}) == len(findings)


def test_behind_an_assumption_everything_is_still_checked() -> None:
    """A broken assumption does not hide anything else: here, an id that crashes the server."""

    class Crashing(Otherwise):
        def handle(self, request: Request) -> Reply:
            reply = super().handle(request)
            return replace(reply, status=500) if request.url.endswith("=%25") else reply

    findings = [each for each in check(in_process(Crashing(api_key=KEY)), seed=0) if each.severity == "error"]
    assert claims_in(findings) == {"unknown-ids-are-refused"}


def test_a_broken_assumption_is_not_recorded() -> None:
    """What is recorded, because it may not be seen a second time, are violations of the contract, not of assumptions."""
    recorded: list[ContractBroken] = []
    assumptions: list[ContractBroken] = []
    target = replace(in_process(Otherwise(api_key=KEY)), assumptions=assumptions, recorded=recorded)
    target.must_refuse(target.poll("nobody"), "unknown_generation")
    assert assumptions
    assert recorded == []
    with pytest.raises(ContractBroken):
        target.must_refuse(target.poll("nobody"), "unauthorized")
    assert len(recorded) == 1


@pytest.mark.parametrize("status", [200, 302, 500])
def test_no_refusal_at_all_is_no_assumption(status: int) -> None:
    """An unknown id that is not refused with any 4xx breaks the contract, whatever is assumed."""
    fake = FakeServer(api_key=KEY)

    def respond(request: httpx.Request) -> httpx.Response:
        response = httpx.Client(transport=fake.transport()).send(request)
        unknown = response.status_code == REASONS["unknown_generation"].status_code
        return httpx.Response(status, headers=response.headers, content=response.content) if unknown else response

    findings = check(answering(respond), seed=0)
    assert "error" in {finding.severity for finding in findings if finding.claim == "unknown-ids-are-refused"}


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


def test_each_accepted_violation_is_told_apart() -> None:
    """If creating is allowed, each rule that a server does not check is a finding, with the smallest payload that shows it."""
    with served(strictness="off") as (url, _):
        findings = checked(url, invalid_payloads_are_refused).findings
    catalogue = [mutation for mutation in mutations() if has_errors(validate(mutation.payload)) and mutation.pointer]
    assert len(findings) == len({(mutation.pointer, mutation.rule) for mutation in catalogue})
    for finding in findings:
        assert has_errors(validate(finding.payload))
        same = [mutation for mutation in catalogue if finding.payload == mutation.payload]
        assert len(finding.payload) <= min(len(mutation.payload) for mutation in same)
        assert finding.expected == str(REASONS["invalid_body"].status_code)
        assert str(CONTRACT.create.success) in finding.actual
    with_others = max(findings, key=lambda finding: finding.others)
    assert f"  also       {with_others.others} other payloads" in str(with_others).splitlines()


@pytest.mark.parametrize("contract", CONTRACTS, ids=repr)
def test_findings_rest_on_the_documents(contract: Contract) -> None:
    """Each claim, and each mutation, names a place that is in a document of the revision; a mutation's has the broken rule."""
    for claim in [*claims_for(creations=None), *claims_for(creations=1)]:
        document, pointer = place_of(claim.place, contract)
        assert resolve(contract.document(document), pointer) is not None
    for mutation in mutations(contract=contract):
        document, pointer = schema_place(contract, mutation)
        assert pointer.endswith(f"/{mutation.rule}")
        assert resolve(contract.document(document), pointer) is not None


@pytest.mark.parametrize("twist", [None, knows_everybody], ids=["right", "wrong"])
def test_what_only_the_real_time_moves(twist: Twist | None) -> None:
    """On a server without a clock to move, the state machine waits for nothing, and finds what is wrong."""
    fake = FakeServer(api_key=KEY) if twist is None else Twisted(twist)
    with listen(fake.asgi) as url:
        result = checked(str(url), ANY_ORDER, examples=30)
    assert result.skipped is None
    assert bool(result.findings) == (twist is not None)


def test_a_fake_of_ours_is_steered_into_trouble() -> None:
    """On a port with the control API, calls fail and generations follow other scenarios, as the state machine has it."""
    with served() as (url, fake), CheckRun(url, creations=None, key=KEY, seed=3, examples=20) as run:
        assert run.check(ANY_ORDER).findings == ()
        assert fake.scenario.name == "happy"
        replies = [exchange.reply for exchange in fake.journal]
    assert any(reply.cut is not None or reply.delay for reply in replies)
    ended = {fake.contract.lifecycle.failed(each.status(fake.now())) for each in fake.generations.values()}
    assert ended == {True, False}


def mixed_up(fake: FakeServer) -> Callable[[httpx.Request], httpx.Response]:
    """Return a server that gives every create the response to the first one."""
    first: list[httpx.Response] = []

    def respond(request: httpx.Request) -> httpx.Response:
        response = httpx.Client(transport=fake.transport()).send(request)
        if request.method == CONTRACT.create.method:
            first.append(response)
            return first[0]
        return response

    return respond


def test_clients_at_the_same_time() -> None:
    """A server that mixes up clients who come at the same time is found."""
    fake = FakeServer(api_key=KEY)
    transport = httpx.MockTransport(mixed_up(fake))
    assert checked(replace(in_process(fake), http=httpx.Client(transport=transport)), calls_at_once_do_not_mix).findings
