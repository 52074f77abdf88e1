"""Claims about the documents and the examples: they keep their own rules, in the eyes of two independent judges."""

from __future__ import annotations

import functools
import json
import random
import re
from collections import Counter
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

FAMILY = {
    "2025-04-25": (14, 7),
    "2025-08-19": (14, 3),
    "2025-11-11": (25, 10),
    "2025-12-18": (30, 14),
    "2026-08-21": (44, 23),
    "2026-08-30": (66, 24),
}
"""How many models and groups of models each revision has, as counted on the provider's pages."""
REVISIONS = tuple(FAMILY)
DOCUMENTS = {"openapi.json", "observed.json", "error.schema.json", "generation.schema.json", "models"}
GROUPS = sorted(path.relative_to(SCHEMAS).as_posix() for path in SCHEMAS.glob("*/models/*.schema.json"))
VALID = sorted((FIXTURES / "requests" / "valid").glob("*/*.json"))
INVALID = sorted((FIXTURES / "requests" / "invalid").glob("*/*.json"))
TIMELINES = ("timeline", "failure")


def _id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@functools.cache
def _read(name: str) -> Any:
    """Return a document by its path below `schemas/`."""
    return read_json(SCHEMAS / name)


def _operations(revision: str, method: str) -> list[dict[str, Any]]:
    return [item[method] for item in _read(f"{revision}/openapi.json")["paths"].values()]


@functools.cache
def _group_of(revision: str) -> dict[str, str]:
    """Return the document of each model's payload, as the creates of a revision map them."""
    found: dict[str, str] = {}
    for create in _operations(revision, "post"):
        found |= create["requestBody"]["content"]["application/json"]["schema"]["discriminator"]["mapping"]
    return found


def _answer(operation: dict[str, Any]) -> dict[str, Any]:
    """Return the media type of an operation's success."""
    success = next(status for status in operation["responses"] if status.startswith("2"))
    return cast("dict[str, Any]", operation["responses"][success]["content"]["application/json"])


@pytest.fixture(params=REVISIONS)
def revision(request: pytest.FixtureRequest) -> str:
    """Each revision in turn, by its name."""
    return cast("str", request.param)


@pytest.fixture
def contract(revision: str) -> Contract:
    """Each revision in turn, as the default model sees it or, if it has none such, its first."""
    return Contract.load(revision)


@functools.cache
def _referee(name: str) -> Draft202012Validator:
    """Return the independent judge of one schema: formats included, and no way out to a network."""
    registry: Registry[Any] = Registry(retrieve=_no_network)  # type: ignore[call-arg]
    return Draft202012Validator(_read(name), registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _no_network(uri: str) -> NoReturn:
    raise AssertionError(f"{uri} was looked up")


def _broken(revision: str, payload: Any) -> list[tuple[str, str]]:
    """Return where a payload breaks which rule, as violations say it: a missing member has a place, a wrong type hides the rest.

    Without a known model nothing else is judged.
    """
    if "model" not in payload:
        return [("/model", "required")]
    if (group := _group_of(revision).get(payload["model"])) is None:
        return [("/model", "enum")]
    found: set[tuple[str, str]] = set()
    errors: Iterator[jsonschema.ValidationError] = _referee(f"{revision}/{group}").iter_errors(payload)
    for error in errors:
        base = "".join(f"/{part}" for part in error.absolute_path)
        if error.validator == "required":
            wanted, present = cast("list[str]", error.validator_value), cast("dict[str, Any]", error.instance)
            found |= {(f"{base}/{name}", "required") for name in wanted if name not in present}
        else:
            found.add((base, str(error.validator)))
    mistyped = {pointer for pointer, rule in found if rule == "type"}
    return sorted((pointer, rule) for pointer, rule in found if rule == "type" or pointer not in mistyped)


def test_the_revisions_are_those_on_disk() -> None:
    """The package knows exactly the revisions whose folders are there."""
    assert sorted(revisions()) == sorted(REVISIONS) == sorted(path.name for path in SCHEMAS.iterdir() if path.is_dir())


def test_every_revision_has_the_same_documents(revision: str) -> None:
    """A newcomer who knows one revision's folder knows them all; only the number of answers and payloads differs."""
    names = {path.name for path in (SCHEMAS / revision).iterdir()}
    assert {name for name in names if not re.fullmatch(r"(generation|dummy)-[a-z]+\.schema\.json", name)} == DOCUMENTS


@pytest.mark.parametrize(
    "name", sorted(path.relative_to(SCHEMAS).as_posix() for path in SCHEMAS.rglob("*.schema.json"))
)
def test_schemas_are_json_schemas(name: str) -> None:
    """Each schema keeps the metaschema of JSON Schema 2020-12, which it names."""
    schema = _read(name)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$schema"]
    Draft202012Validator.check_schema(schema)
    assert schema["title"]
    assert schema["description"]


def test_the_models_of_a_revision_are_counted(revision: str) -> None:
    """A revision has as many models, in as many groups, as its pages have."""
    mapped = _group_of(revision)
    assert (len(mapped), len(set(mapped.values()))) == FAMILY[revision]


def test_every_model_is_in_the_group_that_names_it(revision: str) -> None:
    """The map of models in a create and the enums of the groups say the same; no model is in two groups."""
    named = Counter[tuple[str, str]]()
    for path in (SCHEMAS / revision / "models").iterdir():
        named.update((model, f"models/{path.name}") for model in read_json(path)["properties"]["model"]["enum"])
    assert named == Counter(_group_of(revision).items())
    assert len({model for model, _ in named}) == len(named)


def test_a_create_lists_the_groups_that_it_maps(revision: str) -> None:
    """The alternatives of a create's payload are the documents that its map points to, the same twice in no revision."""
    for create in _operations(revision, "post"):
        schema = create["requestBody"]["content"]["application/json"]["schema"]
        alternatives = [each["$ref"] for each in schema["oneOf"]]
        assert schema["discriminator"]["propertyName"] == "model"
        assert sorted(alternatives) == sorted(set(schema["discriminator"]["mapping"].values()))


def test_operations_say_what_they_are(revision: str) -> None:
    """On each path there is one create and one poll, by their own names or by what they say they are."""
    for method, name in (("post", "createGeneration"), ("get", "getGeneration")):
        operations = _operations(revision, method)
        assert {each.get("x-operation", each["operationId"]) for each in operations} == {name}
        assert len({each["operationId"] for each in operations}) == len(operations)
        assert operations[0]["operationId"] == name
    assert all(isinstance(each["x-published-security"], bool) for each in _operations(revision, "post"))


def test_answers_of_some_models_only_are_named(revision: str) -> None:
    """Which models are answered by another schema is said by create and poll alike, and what the fake then answers."""
    creates, polls = map(_answer, _operations(revision, "post")), map(_answer, _operations(revision, "get"))
    variants = set()
    for create, poll in zip(creates, polls, strict=True):
        assert create == poll
        alternatives = [each["$ref"] for each in create["schema"].get("anyOf", [create["schema"]])]
        special = create.get("x-models", {})
        assert set(special) <= set(_group_of(revision))
        assert alternatives == ["generation.schema.json", *dict.fromkeys(special.values())]
        variants |= set(special.values())
    assert variants == {path.name for path in (SCHEMAS / revision).glob("generation-*")}
    assert variants == set(_read(f"{revision}/observed.json")["answers"].get("variants", {}))


@pytest.mark.parametrize("name", GROUPS)
def test_every_payload_names_its_sources(name: str) -> None:
    """For each model of a group it is said in which file, at which commit and on which day its payload was published."""
    schema = _read(name)
    assert list(schema["x-sources"]) == schema["properties"]["model"]["enum"]
    for source in schema["x-sources"].values():
        assert re.match(r"[\w-]+/[\w-]+ [0-9a-f]{8} \S+\.(json|yml) \(20\d\d-\d\d-\d\d\)", source)


def test_a_field_is_described_in_the_same_words_everywhere() -> None:
    """A field of models of one kind has one description in all documents, and every field has one."""
    words: dict[tuple[str, str], set[str]] = {}
    for name in GROUPS:
        schema = _read(name)
        kinds = {_read("models.json")[model]["kind"] for model in schema["x-sources"]}
        for pointer, field in schema["properties"].items():
            for kind in kinds:
                words.setdefault((kind, pointer), set()).add(field["description"])
    assert {key: found for key, found in words.items() if len(found) != 1} == {}


def test_the_default_model_is_documented() -> None:
    """The model that is used when nobody names one is in the default revision, and in every other."""
    index = _read("index.json")
    assert index["default"] == REVISIONS[0] == revisions()[0]
    for revision in REVISIONS:
        assert index["model"] in _group_of(revision)


def test_the_facts_about_models_have_the_declared_shape() -> None:
    """What is known of models whatever the revision keeps its own schema, and names a source for every part."""
    referee = _referee("models.schema.json")
    referee.validate(_read("models.json"))
    assert not referee.is_valid({"a": {"kind": "image-to-video", "aliases": [], "first_seen": {"date": "2026-01-01"}}})


def test_every_model_ever_named_has_facts() -> None:
    """The models are those of all revisions, and those that only a union of the server named."""
    named = {model for revision in REVISIONS for model in _group_of(revision)}
    for revision in REVISIONS:
        also = _read(f"{revision}/openapi.json").get("x-also-named", {"ids": [], "source": "none"})
        assert also["source"]
        assert not set(also["ids"]) & set(_group_of(revision))
        named |= set(also["ids"])
    assert set(_read("models.json")) == named


def test_other_names_of_a_model_are_mutual() -> None:
    """A model's other name has the model as its other name; exact ones have the same payload, the others another."""
    models, last = _read("models.json"), REVISIONS[-1]
    for model, facts in models.items():
        for alias in facts["aliases"]:
            assert {"id": model, "exact": alias["exact"]}.items() <= {
                key: value
                for each in models[alias["id"]]["aliases"]
                if each["id"] == model
                for key, value in each.items()
            }.items()
            assert (_group_of(last)[model] == _group_of(last)[alias["id"]]) is alias["exact"]
            assert models[alias["id"]]["kind"] == facts["kind"]
        assert facts.get("replaced_by", {"id": model})["id"] in models


def test_models_end_after_they_begin() -> None:
    """No model ends before it was first seen, and none is documented by a revision before that."""
    for model, facts in _read("models.json").items():
        assert facts["first_seen"]["date"] < facts.get("ended", {}).get("date", "9999")
        for revision in REVISIONS[1:]:  # the first was in force for three months, in which models joined it
            assert model not in _group_of(revision) or facts["first_seen"]["date"] <= revision


@pytest.mark.parametrize("model", [model for model, facts in _read("models.json").items() if "timeline" in facts])
def test_timelines_of_models_obey_the_lifecycle(model: str) -> None:
    """What was seen of a model's generation begins, goes on and ends as the statuses allow, later and later."""
    steps = _read("models.json")[model]["timeline"]["steps"]
    status = _read(f"{REVISIONS[-1]}/generation.schema.json")["properties"]["status"]
    assert (steps[0]["status"], steps[0]["at"]) == (status["x-initial"], 0)
    for earlier, later in pairwise(steps):
        assert later["status"] in status["x-transitions"][earlier["status"]]
        assert earlier["at"] < later["at"]
    assert status["x-outcomes"][steps[-1]["status"]] == "success"


def test_the_dummy_says_what_is_assumed() -> None:
    """The payload of the provider's own dummy is marked as assumed, and is none of the family."""
    dummy = _read("2026-08-30/dummy-video.schema.json")
    assert "assumed" in dummy["x-assumed"]
    assert not set(dummy["properties"]["model"]["enum"]) & set(_read("models.json"))
    judge = Draft202012Validator(dummy)
    assert judge.is_valid({"model": "test/dummy-video", "test": {"delay": 0.5, "runningPolls": 2}})
    assert not judge.is_valid({"model": "test/dummy-video", "test": {"runningPolls": "2"}})


def test_the_bundle_is_an_openapi_document(contract: Contract) -> None:
    """The OpenAPI document with its schemas in it keeps OpenAPI 3.1, defaults and links included."""
    openapi_spec_validator.validate(contract.bundled())


def test_observations_have_the_declared_shape(revision: str) -> None:
    """What is seen rather than promised keeps its own schema, and names a source for every part."""
    _referee("observed.schema.json").validate(_read(f"{revision}/observed.json"))


def test_every_reference_closes_without_a_network(revision: str) -> None:
    """Whatever a document refers to is in its own folder, in the bundle even in the same file."""
    files = (SCHEMAS / revision).rglob("*.json")
    folder = {
        path.relative_to(SCHEMAS / revision).as_posix(): DRAFT202012.create_resource(read_json(path)) for path in files
    }
    split: Registry[Any] = Registry(retrieve=_no_network).with_resources(folder.items())  # type: ignore[call-arg]
    openapi, bundle = _read(f"{revision}/openapi.json"), Contract.load(revision).bundled()
    alone: Registry[Any] = Registry(retrieve=_no_network).with_resource("", DRAFT202012.create_resource(bundle))  # type: ignore[call-arg]
    assert sum(1 for _ in _references(openapi)) > 20
    for ref in _references(openapi):
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


@pytest.mark.parametrize(
    "name", sorted(path.relative_to(SCHEMAS).as_posix() for path in SCHEMAS.glob("*/generation*.json"))
)
def test_the_lifecycle_is_about_the_declared_statuses(name: str) -> None:
    """Edges and outcomes speak of the enum's statuses, all of them, and each can be reached."""
    status = _read(name)["properties"]["status"]
    edges, outcomes = status["x-transitions"], status["x-outcomes"]
    assert list(edges) == status["enum"]
    assert set(outcomes) == {each for each, following in edges.items() if not following}
    reached, pending = set(), [status["x-initial"]]
    while pending:
        if (each := pending.pop()) not in reached:
            reached.add(each)
            pending.extend(edges[each])
    assert reached == set(status["enum"])


def test_answers_fit_the_generation_schema(revision: str) -> None:
    """What the fake answers to each shape of payload in every status is what the documents say an answer is, by both judges."""
    seen = set()
    for model in _examples(revision):
        contract = Contract.load(revision, model=model)
        name = _answer_of(revision, model)
        referee = _referee(f"{revision}/{name}")
        second = jsonschema_rs.Draft202012Validator(_read(f"{revision}/{name}"), validate_formats=True)
        for answer in _answers(contract, _examples(revision)[model]):
            referee.validate(answer)
            second.validate(answer)
            seen.add(answer["status"])
    assert seen == set(_read(f"{revision}/observed.json")["answers"]["get"])


def _answers(contract: Contract, payload: Any) -> Iterator[Any]:
    """Yield the bodies of a create and of a poll at each step, of a generation that succeeds and of one that fails."""
    create, get = contract.create, contract.get
    for name in TIMELINES:
        timeline = contract.observed.timelines[name]
        fake = FakeServer(contract=contract, scenario=Scenario(timeline=timeline), clock=VirtualClock())
        created = fake.handle(_post(contract, payload))
        assert created.status == create.success
        yield (first := json.loads(created.body))
        query = urlencode({get.query["required"][0]: first["id"]})
        for step in timeline.steps:
            fake.clock.sleep(step.at - (fake.clock.now() - next(iter(fake.generations.values())).created_at))
            polled = fake.handle(Request(get.method, f"{contract.base_url}{get.path}?{query}", _HEADERS))
            assert polled.status == get.success
            yield json.loads(polled.body)


def _answer_of(revision: str, model: str) -> str:
    """Return the document of what a model's create is answered with."""
    for create in _operations(revision, "post"):
        if model in create["requestBody"]["content"]["application/json"]["schema"]["discriminator"]["mapping"]:
            return cast("str", _answer(create).get("x-models", {}).get(model, "generation.schema.json"))
    raise AssertionError(model)


@functools.cache
def _examples(revision: str) -> dict[str, Any]:
    """Return one valid payload for each model that has an example in a revision."""
    return {
        payload["model"]: payload for path in VALID if path.parent.name == revision for payload in [read_json(path)]
    }


def test_refusals_fit_the_error_schema(contract: Contract) -> None:
    """Every refusal that a revision knows has the envelope of its time and a documented status."""
    answers, referee = Responses(contract, random.Random(1)), _referee(f"{contract.revision.id}/error.schema.json")
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


def test_every_new_shape_of_payload_has_an_example() -> None:
    """Whenever a revision brings a payload that no earlier one has, one that is valid under it is among the examples."""
    known: list[Any] = []
    for revision in REVISIONS:
        shown = {_group_of(revision)[model] for model in _examples(revision)}
        for group in sorted(set(_group_of(revision).values())):
            if (shape := _shape(_read(f"{revision}/{group}"))) not in known:
                known.append(shape)
                assert group in shown, f"{revision}/{group} is new and has no example"


def _shape(node: Any) -> Any:
    """Return a schema without its words and its models, which decide nothing about the other fields."""
    if isinstance(node, dict):
        words = {"title", "description", "$comment", "x-sources", "examples", "default", "model"}
        return {key: _shape(value) for key, value in node.items() if key not in words}
    return [_shape(each) for each in node] if isinstance(node, list) else node


@pytest.mark.parametrize("path", VALID, ids=_id)
def test_valid_examples_are_valid(path: Path) -> None:
    """A payload called valid breaks no rule of its revision, to the letter, by either judge."""
    payload, revision = read_json(path), path.parent.name
    assert _broken(revision, payload) == []
    assert not [v for v in validate(payload, revision=revision, strictness="strict") if v.severity == "error"]


@pytest.mark.parametrize("path", INVALID, ids=_id)
def test_invalid_examples_break_what_they_name(path: Path) -> None:
    """A payload called invalid breaks exactly the rules that it names, where it says, by either judge."""
    example, revision = read_json(path), path.parent.name
    named = [(each["pointer"], each["rule"]) for each in example["violations"]]
    assert _broken(revision, example["payload"]) == sorted(named)
    judged = validate(example["payload"], revision=revision, strictness="strict")
    assert [(v.pointer, v.rule) for v in judged if v.severity == "error"] == named


def test_the_page_example_is_of_its_time() -> None:
    """The example on the provider's page, 310 bytes as it is sent, is valid under its own revision alone."""
    example = read_json(FIXTURES / "requests" / "valid" / REVISIONS[0] / "page-example.json")
    assert len(json.dumps(example, separators=(",", ":"))) == 310
    assert [each for each in REVISIONS if _broken(each, example) == []] == [REVISIONS[0]]


def test_tolerated_values_are_refused_on_paper(revision: str) -> None:
    """What is tolerated is a deviation: every field of that place refuses each of its values as text, and takes it as read."""
    for entry in _read(f"{revision}/observed.json")["tolerated"]:
        tolerated, fields = Draft202012Validator(entry["schema"]), list(_fields(revision, entry["pointer"]))
        assert fields
        for field in fields:
            judge = Draft202012Validator(field)
            for value in field["enum"]:
                assert tolerated.is_valid(str(value))
                assert not judge.is_valid(str(value))
                assert judge.is_valid({"integer": int, "number": float}[entry["reads_as"]](str(value)))
        assert not any(tolerated.is_valid(text) for text in ("", "5.0", "05", "-5", " 5", "5s", "five", "100"))


def test_lengths_as_text_are_tolerated_wherever_they_are(revision: str) -> None:
    """A program that sends lengths as text, as the pages do, may do so for every model, at any depth."""
    places = {
        pointer
        for group in set(_group_of(revision).values())
        for pointer in _places(_read(f"{revision}/{group}"), "")
        if pointer.endswith("/duration")
    }
    assert places == {entry["pointer"] for entry in _read(f"{revision}/observed.json")["tolerated"]}


def _fields(revision: str, pointer: str) -> Iterator[dict[str, Any]]:
    for group in sorted(set(_group_of(revision).values())):
        places = dict(_places(_read(f"{revision}/{group}"), ""))
        if pointer in places:
            yield places[pointer]


def _places(schema: dict[str, Any], pointer: str) -> dict[str, dict[str, Any]]:
    """Return the schema of every field by its pointer, in which * is any item."""
    found = {pointer: schema}
    for name, field in schema.get("properties", {}).items():
        found |= _places(field, f"{pointer}/{name}")
    return found | (_places(schema["items"], f"{pointer}/*") if "items" in schema else {})


_HEADERS = Headers({"authorization": "Bearer key", "content-type": "application/json"})


def _post(contract: Contract, payload: Any) -> Request:
    create = contract.create
    return Request(create.method, contract.base_url + create.path, _HEADERS, json.dumps(payload).encode())
