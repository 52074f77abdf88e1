"""Claims about the documents and the examples: they keep their own rules, in the eyes of two independent judges."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, cast
from urllib.parse import urlencode

import jsonschema
import jsonschema_rs
import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from fake_server import FakeServer, Scenario
from fake_server.messages import Headers, Request
from fake_server.service.responses import Responses
from kling_contract import Contract, VirtualClock, revisions, validate
from kling_contract.contract.documents import FIXTURES, SCHEMAS, read_json

REVISIONS = revisions()
FILES = sorted(path.name for path in (SCHEMAS / REVISIONS[0]).glob("*.json"))
VALID = sorted((FIXTURES / "requests" / "valid").glob("*/*.json"))
INVALID = sorted((FIXTURES / "requests" / "invalid").glob("*/*.json"))
TIMELINES = ("timeline", "failure")


def _id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.fixture(params=REVISIONS)
def contract(request: pytest.FixtureRequest) -> Contract:
    """Each revision in turn."""
    return Contract.load(request.param)


@functools.cache
def _referee(revision: str, name: str) -> Draft202012Validator:
    """Return the independent judge of one schema: formats included, and no way out to a network."""
    registry: Registry[Any] = Registry(retrieve=_no_network)  # type: ignore[call-arg]
    schema = Contract.load(revision).document(name)
    return Draft202012Validator(schema, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _no_network(uri: str) -> NoReturn:
    raise AssertionError(f"{uri} was looked up")


def _broken(errors: Iterator[jsonschema.ValidationError]) -> list[tuple[str, str]]:
    """Return where which rule is broken, as violations say it: a missing member has a place, a wrong type hides the rest."""
    found: set[tuple[str, str]] = set()
    for error in errors:
        base = "".join(f"/{part}" for part in error.absolute_path)
        if error.validator == "required":
            wanted, present = cast("list[str]", error.validator_value), cast("dict[str, Any]", error.instance)
            found |= {(f"{base}/{name}", "required") for name in wanted if name not in present}
        else:
            found.add((base, str(error.validator)))
    mistyped = {pointer for pointer, rule in found if rule == "type"}
    return sorted((pointer, rule) for pointer, rule in found if rule == "type" or pointer not in mistyped)


def test_every_revision_has_the_same_documents() -> None:
    """A newcomer who knows one revision's folder knows them all."""
    for revision in REVISIONS:
        assert sorted(path.name for path in (SCHEMAS / revision).iterdir()) == FILES


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".schema.json")])
def test_schemas_are_json_schemas(contract: Contract, name: str) -> None:
    """Each schema keeps the metaschema of JSON Schema 2020-12, which it names."""
    schema = contract.document(name)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$schema"]
    Draft202012Validator.check_schema(schema)


def test_the_bundle_is_an_openapi_document(contract: Contract) -> None:
    """The OpenAPI document with its schemas in it keeps OpenAPI 3.1, defaults and links included."""
    openapi_spec_validator.validate(contract.bundled())


def test_observations_have_the_declared_shape(contract: Contract) -> None:
    """What is seen rather than promised keeps its own schema, and names a source for every part."""
    schema = read_json(SCHEMAS / "observed.schema.json")
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(contract.document("observed"))


def test_every_reference_closes_without_a_network(contract: Contract) -> None:
    """Whatever a document refers to is in its own folder, in the bundle even in the same file."""
    folder = {name: DRAFT202012.create_resource(contract.document(name)) for name in FILES}
    split: Registry[Any] = Registry(retrieve=_no_network).with_resources(folder.items())  # type: ignore[call-arg]
    bundle = contract.bundled()
    alone: Registry[Any] = Registry(retrieve=_no_network).with_resource("", DRAFT202012.create_resource(bundle))  # type: ignore[call-arg]
    assert sum(1 for _ in _references(contract.openapi)) > 20
    for ref in _references(contract.openapi):
        split.resolver(base_uri="openapi.json").lookup(ref)
    for ref in _references(bundle):
        assert ref.startswith("#/")
        alone.resolver().lookup(ref)
    with pytest.raises(Unresolvable):
        alone.resolver().lookup("#/components/schemas/Elsewhere")


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


@pytest.mark.parametrize("name", TIMELINES)
def test_timelines_obey_the_lifecycle(contract: Contract, name: str) -> None:
    """A generation begins where it must, takes only declared steps, and ends for good."""
    lifecycle = contract.lifecycle
    steps = contract.observed.timelines[name].steps
    assert steps[0].status == lifecycle.initial
    for earlier, later in pairwise(step.status for step in steps):
        assert earlier != later
        assert lifecycle.allows(earlier, later)
    assert lifecycle.is_final(steps[-1].status)
    assert lifecycle.succeeded(steps[-1].status) is (name == "timeline")


def test_the_lifecycle_is_about_the_declared_statuses(contract: Contract) -> None:
    """Edges and outcomes speak of the enum's statuses, all of them, and each can be reached."""
    status = contract.generation_schema["properties"]["status"]
    edges, outcomes = status["x-transitions"], status["x-outcomes"]
    assert list(edges) == status["enum"]
    assert set(outcomes) == {name for name, following in edges.items() if not following}
    reached, pending = set(), [status["x-initial"]]
    while pending:
        if (name := pending.pop()) not in reached:
            reached.add(name)
            pending.extend(edges[name])
    assert reached == set(status["enum"])


def test_answers_fit_the_generation_schema(contract: Contract) -> None:
    """What the fake answers in every status is what the documents say an answer is, by both judges."""
    create, get = contract.create, contract.get
    referee = _referee(contract.revision.id, "generation")
    second = jsonschema_rs.Draft202012Validator(contract.generation_schema, validate_formats=True)
    seen = set()
    for name in TIMELINES:
        timeline = contract.observed.timelines[name]
        fake = FakeServer(contract=contract, scenario=Scenario(timeline=timeline), clock=VirtualClock())
        created = fake.handle(_post(contract, _example(contract)))
        assert created.status == create.success
        answers = [json.loads(created.body)]
        query = urlencode({get.query["required"][0]: answers[0]["id"]})
        for step in timeline.steps:
            fake.clock.sleep(step.at - (fake.clock.now() - next(iter(fake.generations.values())).created_at))
            polled = fake.handle(Request(get.method, f"{contract.base_url}{get.path}?{query}", _HEADERS))
            assert polled.status == get.success
            answers.append(json.loads(polled.body))
        for answer in answers:
            referee.validate(answer)
            second.validate(answer)
            seen.add(answer["status"])
    assert seen == set(contract.observed.answers.get) == set(contract.lifecycle.statuses)


def test_refusals_fit_the_error_schema(contract: Contract) -> None:
    """Every refusal that a revision knows has the envelope of its time and a documented status."""
    answers, referee = Responses(contract, random.Random(1)), _referee(contract.revision.id, "error")
    documented = {status for operation in contract.operations.values() for status in operation.responses}
    violations = validate({}, contract=contract)
    assert violations
    for reason, entry in contract.observed.refusals.reasons.items():
        reply = answers.refused(
            reason,
            method="POST",
            path="/a",
            now=0.0,
            explanation="",
            violations=violations,
        )
        assert reply.status == entry.status_code
        assert reply.status in documented
        referee.validate(json.loads(reply.body))


def test_the_fixtures_are_about_revisions() -> None:
    """Every example lies in the folder of a revision, and every revision has a valid and an invalid one."""
    for paths in (VALID, INVALID):
        assert {path.parent.name for path in paths} == set(REVISIONS)


@pytest.mark.parametrize("path", VALID, ids=_id)
def test_valid_examples_are_valid(path: Path) -> None:
    """A payload called valid breaks no rule of its revision, to the letter, by either judge."""
    payload, revision = read_json(path), path.parent.name
    assert not [v for v in validate(payload, revision=revision, strictness="strict") if v.severity == "error"]
    assert not list(_referee(revision, "create-request").iter_errors(payload))


@pytest.mark.parametrize("path", INVALID, ids=_id)
def test_invalid_examples_break_what_they_name(path: Path) -> None:
    """A payload called invalid breaks exactly the rules that it names, where it says, by either judge."""
    example, revision = read_json(path), path.parent.name
    named = [(each["pointer"], each["rule"]) for each in example["violations"]]
    judged = validate(example["payload"], revision=revision, strictness="strict")
    assert [(v.pointer, v.rule) for v in judged if v.severity == "error"] == named
    assert _broken(_referee(revision, "create-request").iter_errors(example["payload"])) == sorted(named)


def test_the_page_example_is_of_its_time() -> None:
    """The example on the provider's page, 310 bytes as it is sent, is valid under its own revision alone."""
    example = read_json(FIXTURES / "requests" / "valid" / REVISIONS[0] / "page-example.json")
    assert len(json.dumps(example, separators=(",", ":"))) == 310
    takes = [each for each in REVISIONS if _referee(each, "create-request").is_valid(example)]
    assert takes == [REVISIONS[0]]


def test_tolerated_values_are_refused_on_paper(contract: Contract) -> None:
    """What is tolerated is a deviation: the schema refuses it, and reading it as the named type mends it."""
    properties = contract.request_schema["properties"]
    for entry in contract.observed.tolerated:
        name = entry.pointer.removeprefix("/")
        for value in entry.schema["enum"]:
            judge = Draft202012Validator(properties[name])
            assert not judge.is_valid(value)
            assert judge.is_valid({"integer": int, "number": float}[entry.reads_as or "number"](value))


_HEADERS = Headers({"authorization": "Bearer key", "content-type": "application/json"})


def _example(contract: Contract) -> Any:
    return read_json(next(path for path in VALID if path.parent.name == contract.revision.id))


def _post(contract: Contract, payload: Any) -> Request:
    create = contract.create
    return Request(create.method, contract.base_url + create.path, _HEADERS, json.dumps(payload).encode())
