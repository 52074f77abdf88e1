"""Claims about every group of models, in every revision: what is made for it fits it, and what breaks it is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from fake_server import FakeServer, exercise
from kling_contract import Client, Contract, validate
from kling_contract.checks.creation_claims import valid_payloads_are_accepted
from kling_contract.checks.lifecycle_claims import success_costs_its_price
from kling_contract.checks.plan import EXPLORATIONS, photo_payload
from kling_contract.checks.runner import CheckRun, check
from kling_contract.checks.suite import contract_tests
from kling_contract.contract import revisions
from kling_contract.errors import UnknownModel
from kling_contract.mutations import mutations
from kling_contract.payloads import example, samples
from kling_contract.schema_values.rules import minimal_value, resolve
from kling_contract.strategies import invalid_requests, scenarios, valid_requests
from tests.support.groups import EACH_GROUP, GROUPS
from tests.support.referee import referee
from tests.support.targets import KEY, in_process, served

FEW = settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
EXPLORING = ("hypothesis", "schemathesis")
LATEST = [contract for contract in GROUPS if contract.revision == Contract.load("latest").revision]
NEWEST = {contract.request_document: contract for contract in GROUPS}


def _errors(payload: Any, contract: Contract) -> list[tuple[str, str]]:
    judged = validate(payload, contract=contract, strictness="strict")
    return [(each.pointer, each.rule) for each in judged if each.severity == "error"]


def test_every_group_is_there() -> None:
    """Every model of every revision shares its schema with one that is tested here."""
    tested = {(contract.revision.id, contract.request_document) for contract in GROUPS}
    loaded = map(Contract.load, revisions())
    assert {
        (known.revision.id, model.request_document) for known in loaded for model in known.models.values()
    } == tested


@EACH_GROUP
def test_every_mutation_is_refused_for_what_it_names(contract: Contract) -> None:
    """Strict validation finds the one violation that is named; two other validators refuse the payload, one names the same."""
    faults = referee(contract.request_schema)
    validator = Draft202012Validator(dict(contract.request_schema), validate_formats=True)
    cases = mutations(contract=contract)
    for case in cases:
        named = [(case.pointer, case.rule)]
        assert _errors(case.payload, contract) == named, case.id
        assert faults(case.payload) == named, case.id
        assert not validator.is_valid(case.payload), case.id
    assert len({case.id for case in cases}) == len(cases)
    assert [case.id for case in mutations(contract=contract)] == [case.id for case in cases]
    assert {case.pointer for case in cases} >= {f"/{name}" for name in contract.request_schema["properties"]} - {
        f"/{name}"
        for name, member in contract.request_schema["properties"].items()
        if not {"type", "enum", "anyOf"} & set(member)
    }


@EACH_GROUP
@FEW
@given(data=st.data())
def test_what_is_drawn_fits(contract: Contract, data: st.DataObject) -> None:
    """A valid payload is accepted by all three validators; an invalid one has the violation that it names."""
    payload = data.draw(valid_requests(contract=contract))
    assert _errors(payload, contract) == []
    assert referee(contract.request_schema)(payload) == []
    assert Draft202012Validator(dict(contract.request_schema), validate_formats=True).is_valid(payload)
    case = data.draw(invalid_requests(contract=contract))
    assert _errors(case.payload, contract) == [(case.pointer, case.rule)]


@EACH_GROUP
def test_examples_are_flawless(contract: Contract) -> None:
    """Examples have no violation at all, no broken guideline either; every member that is not deprecated comes up."""
    seen: set[str] = set()
    for seed in range(80):
        payload = example(seed, contract=contract)
        assert validate(payload, contract=contract, strictness="strict") == []
        seen |= set(payload)
    members = contract.request_schema["properties"]
    assert seen == {name for name, member in members.items() if not member.get("deprecated")}


@EACH_GROUP
def test_samples_have_the_verdict_they_name(contract: Contract) -> None:
    """Valid samples have no error, and invalid ones the violation that they name."""
    for sample in islice(samples(2, 6, contract=contract), 8):
        violation = sample["violation"]
        assert _errors(sample["payload"], contract) == (
            [] if violation is None else [(violation["pointer"], violation["rule"])]
        )


@EACH_GROUP
def test_what_is_paid_for_breaks_nothing(contract: Contract) -> None:
    """The payload of a paid check is flawless, names the model, and asks for the shortest video without a broken guideline."""
    payload = photo_payload(contract)
    assert validate(payload, contract=contract, strictness="strict") == []
    assert payload["model"] == contract.model
    assert "prompt" in payload or "prompt" not in contract.request_schema["properties"]
    lengths = contract.request_schema["properties"].get("duration", {}).get("enum", [])
    judged = {length: validate({**payload, "duration": length}, contract=contract) for length in lengths}
    assert payload.get("duration") == min((length for length, found in judged.items() if not found), default=None)


@pytest.mark.parametrize("contract", LATEST, ids=lambda contract: contract.model)
def test_a_fake_of_the_model_keeps_its_contract(contract: Contract) -> None:
    """A check of a fake that was made for a model of the latest revision finds nothing, and skips a price that nobody knows."""
    fake = FakeServer(contract=contract, api_key=KEY)
    with CheckRun(in_process(fake), creations=None, seed=0) as run:
        run.claims = [claim for claim in run.claims if claim.needs not in EXPLORING]
        results = list(run.results())
    assert [finding for result in results for finding in result.findings if finding.severity != "notice"] == []
    unpriced = {"success-costs-its-price"} if contract.price(5) is None else set()
    assert {result.claim for result in results if result.skipped} == unpriced
    assert {generation.model for generation in fake.generations.values()} == {contract.model}


@pytest.mark.parametrize("contract", GROUPS[::9])
def test_the_model_is_a_choice_wherever_the_revision_is(contract: Contract) -> None:
    """Whatever takes a revision takes a model: the fake, the client, an exercise, scenarios and checks."""
    chosen: dict[str, Any] = {"revision": contract.revision.id, "model": contract.model}
    assert FakeServer(**chosen).contract is contract
    assert Client("any-key", **chosen).contract is contract
    assert scenarios(**chosen) is scenarios(contract=contract)
    (outcome,) = exercise(lambda: None, scenarios=["happy"], **chosen)
    assert outcome.fake.contract is contract
    with served(**chosen) as (url, fake):
        assert [found for found in check(url, **chosen, key=KEY, spend=1) if found.severity == "error"] == []
    assert [generation.model for generation in fake.generations.values()] == [contract.model]


@EACH_GROUP
def test_a_client_of_the_model_makes_a_video_of_it(contract: Contract) -> None:
    """A client that was made for a model sends that model if the payload names none, and gets its video."""
    payload = {name: value for name, value in example(contract=contract).items() if name != "model"}
    fake = FakeServer(contract=contract, strictness="strict")
    with httpx.Client(transport=fake.transport()) as http:
        made = Client("any-key", http=http, clock=fake.clock, contract=contract).generate(payload)
    assert made.video is not None
    assert [generation.model for generation in fake.generations.values()] == [contract.model]


def test_off_takes_the_model_of_the_fake() -> None:
    """Under "off" a payload that names no model makes a generation of the fake's own."""
    for contract in GROUPS[::7]:
        fake = FakeServer(revision=contract.revision.id, model=contract.model, strictness="off")
        with httpx.Client(transport=fake.transport()) as http:
            sent = http.post(
                f"{contract.base_url}{contract.create.path}", json={}, headers={"authorization": "Bearer x-any-key"}
            )
        assert sent.status_code == contract.create.success
        assert [generation.model for generation in fake.generations.values()] == [contract.model]


@pytest.mark.parametrize("group", ["effects"])
def test_explorations_know_the_model(group: str) -> None:
    """schemathesis and the state machine find nothing on a fake of another model either."""
    contract = NEWEST[f"models/{group}.schema.json"]
    with CheckRun(in_process(FakeServer(contract=contract, api_key=KEY)), creations=None, seed=0, examples=5) as run:
        run.claims = list(EXPLORATIONS)
        assert [found for result in run.results() for found in result.findings if found.severity != "notice"] == []


@EACH_GROUP
def test_a_wrong_price_is_found(contract: Contract) -> None:
    """A server that bills something else breaks the claim on prices, if the price is known; else the claim is skipped."""
    fake = FakeServer(contract=contract, api_key=KEY)
    target = replace(in_process(fake), spent=lambda: 2 * fake.ledger.booked + 1)
    with CheckRun(target, creations=None, seed=0) as run:
        result = run.check(success_costs_its_price)
    if contract.price(5) is None:
        assert contract.model in (result.skipped or "")
    else:
        assert result.findings


@pytest.mark.parametrize("group", ["v3-text", "v3-turbo-image", "omni-image"])
def test_what_the_pages_forbid_in_words_may_be_refused(group: str) -> None:
    """A server that refuses what breaks a guideline still accepts every valid payload of the claim."""
    contract = NEWEST[f"models/{group}.schema.json"]
    fake = FakeServer(contract=contract, api_key=KEY)
    through = fake.transport()
    strictly = []

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == contract.create.method and validate(request.content, contract=contract):
            strictly.append(request)
            return through.handle_request(
                httpx.Request(request.method, request.url, headers=request.headers, content=b"{}")
            )
        return through.handle_request(request)

    target = replace(in_process(fake), http=httpx.Client(transport=httpx.MockTransport(respond)))
    valid_payloads_are_accepted(target)
    assert fake.generations
    rules = contract.request_schema["properties"]
    assert not target.create(
        {
            **example(contract=contract),
            "prompt": "x",
            "multi_prompt": [minimal_value(resolve(rules["multi_prompt"]["items"]))],
        }
    ).is_success
    assert len(strictly) == 1


def test_an_unknown_model_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes a model names the nearest one to a wrong id, before anything is sent."""
    monkeypatch.setenv("AIMLAPI_KEY", "any-key")
    known = GROUPS[-1].model
    makers: list[Callable[..., Any]] = [
        FakeServer,
        Client.from_env,
        partial(Client, "any-key"),
        scenarios,
        partial(check, "http://127.0.0.1:9"),
        partial(contract_tests, "http://127.0.0.1:9"),
        partial(exercise, lambda: None, scenarios=["happy"]),
    ]
    for make in makers:
        with pytest.raises(UnknownModel, match=known):
            make(model=f"{known}x")
