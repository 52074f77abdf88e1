"""Claims about schemathesis, which knows the OpenAPI document alone, with all its checks and phases, against the fake."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from fake_server import FakeServer
from kling_contract.checks.exploration_claims import schemathesis as schemathesis_finds_nothing
from kling_contract.checks.fuzzing import PHASES, FuzzResult, fuzz
from kling_contract.checks.runner import CheckRun
from kling_contract.contract import Contract, revisions
from kling_contract.errors import InvalidJson
from kling_contract.jsontext.parser import parse
from tests.support.broken_fakes import Twisted, other_refusal, other_success
from tests.support.referee import referee
from tests.support.targets import KEY, in_process, over_a_port


@pytest.fixture(scope="module", params=["in process", "over the wire"])
def fuzzed(request: pytest.FixtureRequest) -> tuple[FakeServer, FuzzResult]:
    fake = FakeServer(api_key=KEY, strictness="strict")
    with over_a_port(fake) if request.param == "over the wire" else nullcontext(in_process(fake)) as target:
        return fake, fuzz(target, seed=1)


def test_nothing_is_found(fuzzed: tuple[FakeServer, FuzzResult]) -> None:
    """No check of any phase fails, and none is skipped."""
    _, found = fuzzed
    assert (found.broken, found.errors) == ([], [])
    assert {phase: found.phases[phase] for phase in PHASES} == dict.fromkeys(PHASES, "success")
    load_all_checks()
    assert set(found.checks) >= {check.__name__ for check in CHECKS.get_all()}


def test_links_are_followed(fuzzed: tuple[FakeServer, FuzzResult]) -> None:
    """Generations that schemathesis created are polled by it, by the link in the document."""
    fake, _ = fuzzed
    polled = [each.generation_id for each in fake.journal if each.operation == fake.contract.get.id]
    assert len({each for each in polled if each is not None}) > 1


def test_another_validator_agrees(fuzzed: tuple[FakeServer, FuzzResult]) -> None:
    """Of the bodies that were sent as they must be, valid and invalid, those are accepted that another validator accepts."""
    fake, _ = fuzzed
    contract = fake.contract
    operation = contract.create
    faults = referee(contract.request_schema)
    verdicts: Counter[bool] = Counter()
    for exchange in fake.journal:
        if exchange.operation != operation.id or exchange.reply.status not in (operation.success, 400):
            continue
        try:
            valid = not faults(parse(exchange.request.body))
        except InvalidJson:
            valid = False
        assert (exchange.reply.status == operation.success) == valid, exchange.request.body
        verdicts[valid] += 1
    assert min(verdicts[True], verdicts[False]) > 20


@pytest.mark.parametrize("revision", revisions())
def test_positive_cases_have_whole_bodies(revision: str) -> None:
    """What schemathesis draws as valid is valid, and every property of the schema appears: references are not lost on it."""
    contract = Contract.load(revision)
    schema = schemathesis.openapi.from_dict(contract.bundled_for_model())
    operation = contract.create
    faults = referee(contract.request_schema)
    seen: set[str] = set()

    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(schema[operation.path][operation.method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def draw(case: Any) -> None:
        assert faults(case.body) == []
        seen.update(case.body)

    draw()
    assert seen >= set(contract.request_schema["properties"])


def test_what_the_service_tolerates_is_no_violation() -> None:
    """A server that accepts what the service is known to accept, although the documents forbid it, is not called broken."""
    whole = Contract.load()
    documents = {name: whole.document(name) for name in ("openapi.json", "observed.json", *whole.schemas)}
    documents["observed.json"]["tolerated"] = [
        {"pointer": f"/{name}", "schema": {}} for name in whole.request_schema["properties"]
    ]
    fake = FakeServer(api_key=KEY, contract=Contract(documents))
    assert fuzz(in_process(fake), seed=2, phases=["coverage"]).broken == []
    taken = [violation.rule for exchange in fake.journal if exchange.generation_id for violation in exchange.violations]
    assert {"type", "enum", "maximum"} <= set(taken)


def test_schemathesis_finds_what_there_is() -> None:
    """A success that is not documented is found, once, with the request that shows it."""
    found = fuzz(in_process(Twisted(other_success)), seed=1, phases=["coverage"])
    assert found.checks["status_code_conformance"]
    (broken,) = [each for each in found.broken if "ndocumented" in each.problem]
    assert not broken.assumed
    assert broken.request.method == "POST"
    assert broken.actual.startswith("202 ")


def test_a_finding_is_reproduced_where_it_was_found() -> None:
    """A finding shows a request to the server that was checked, never to the service: that one would be paid for."""
    with over_a_port(Twisted(other_success)) as target, CheckRun(target, creations=None, seed=0) as run:
        findings = run.check(schemathesis_finds_nothing).findings
    assert findings
    operation = target.contract.create
    for finding in findings:
        assert f" {target.base_url}{operation.path} " in finding.reproduce
        assert target.contract.base_url not in finding.reproduce
        assert finding.pointer.startswith("/paths/")
        assert finding.pointer.endswith("/post")
        assert KEY not in str(finding)


def test_an_undocumented_refusal_breaks_an_assumption() -> None:
    """Another status of the 4xx than the documented ones is told apart: only an assumption is broken."""
    found = fuzz(in_process(Twisted(other_refusal)), seed=1, phases=["coverage"])
    assert found.broken
    assert all(each.assumed and each.actual.startswith("422 ") for each in found.broken)


def test_a_server_that_hangs_up_is_found() -> None:
    """If no response comes, that is found, once, and is not called an error of schemathesis."""
    dropping = {"faults": [{"operation": "createGeneration", "drop": "before_processing"}]}
    found = fuzz(in_process(FakeServer(api_key=KEY, scenario=dropping)), seed=1, phases=["examples"])
    (broken,) = found.broken
    assert broken.expected == "a response"
    assert found.errors == []


def test_it_ends_with_its_client() -> None:
    """What the client raises, such as that time is up, ends the run at once."""

    class Over(Exception):
        pass

    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        raise Over

    target = replace(in_process(FakeServer()), http=httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises(Over):
        fuzz(target, seed=1)
    assert len(asked) < 5
