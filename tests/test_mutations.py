"""Claims about the catalogue of mutations: each breaks one rule, and together they break every rule there is."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from kling_contract import Contract, revisions, validate
from kling_contract.jsontext.pointer import to_pointer
from kling_contract.mutations import Mutation, mutations, mutations_of
from kling_contract.schema_values.formats import INVALID_EXAMPLES
from kling_contract.schema_values.rules import TYPES, next_after, resolve
from kling_contract.strategies import valid_requests
from tests.support.referee import referee
from tests.support.small_schemas import SCHEMAS

DOCUMENTS = [
    pytest.param(schema, id=f"{revision}-{name.removesuffix('.schema.json')}")
    for revision in revisions()
    for name, schema in Contract.load(revision).schemas.items()
]
Place = tuple[str | int, ...]


def _errors(payload: Any, revision: str) -> list[tuple[str, str]]:
    judged = validate(payload, revision=revision, strictness="strict")
    return [(each.pointer, each.rule) for each in judged if each.severity == "error"]


def _accepts_one(schema: Any, cases: tuple[Mutation, ...]) -> bool:
    validator = Draft202012Validator(schema, validate_formats=True)
    return any(validator.is_valid(case.payload) for case in cases)


def _rules(node: dict[str, Any], place: Place = (), where: Place = ()) -> Iterator[tuple[Place, Place, str]]:
    """Yield each rule of a resolved schema: the path to its schema, the path of the values it restricts, and its name."""
    for keyword, value in node.items():
        yield place, where, keyword
        if keyword == "properties":
            for name, member in value.items():
                yield from _rules(member, (*place, keyword, name), (*where, name))
        elif keyword == "items":
            yield from _rules(value, (*place, keyword), (*where, 0))


def _changed(schema: dict[str, Any], place: Place, keyword: str, value: Any = None) -> dict[str, Any]:
    """Return a resolved schema with one rule set to `value`, or (None) without it."""
    changed = copy.deepcopy(schema)
    node: Any = changed
    for part in place:
        node = node[part]
    del node[keyword]
    if value is not None:
        node[keyword] = value
    return changed


def _at(node: Any, place: Place) -> Any:
    for part in place:
        node = node[part]
    return node


@pytest.mark.parametrize("case", mutations())
def test_each_has_the_one_violation_that_it_names(case: Mutation, request: pytest.FixtureRequest) -> None:
    """Strict validation of each payload finds one error, with the pointer and the rule named; and pytest shows the id."""
    assert _errors(case.payload, Contract.load().revision.id) == [(case.pointer, case.rule)]
    assert case.id.startswith(f"{case.pointer}:{case.rule}:")
    assert request.node.name.endswith(f"[{case.id}]")


@pytest.mark.parametrize("revision", revisions())
def test_the_same_holds_in_every_revision(revision: str) -> None:
    """In each revision each payload has the one violation named, as a decoded value and as text."""
    for case in mutations(revision=revision):
        named = [(case.pointer, case.rule)]
        assert _errors(case.payload, revision) == named, case.id
        assert _errors(json.dumps(case.payload).encode(), revision) == named, case.id


@pytest.mark.parametrize("schema", DOCUMENTS)
def test_a_second_validator_agrees(schema: Any) -> None:
    """Another validator, with other format checks, finds the same violation in every mutation of every document."""
    faults = referee(schema)
    for case in mutations_of(schema):
        assert faults(case.payload) == [(case.pointer, case.rule)], case.id


@pytest.mark.parametrize("schema", DOCUMENTS)
def test_ids_are_distinct_and_stable(schema: Any) -> None:
    """No two mutations of a document share an id, and each call gives the same ones, in payloads of its own."""
    first, second = mutations_of(schema), mutations_of(schema)
    assert len({case.id for case in first}) == len(first)
    assert first == second
    for a, b in zip(first, second, strict=True):
        assert a.payload is not b.payload or not isinstance(a.payload, dict | list)


@pytest.mark.parametrize("schema", DOCUMENTS)
def test_every_rule_has_a_mutation(schema: Any) -> None:
    """Each rule at each place of each document is broken by a mutation, and each required member is missing once."""
    named = {(case.pointer, case.rule) for case in mutations_of(schema)}
    for place, where, rule in _rules(resolve(schema)):
        if rule == "required":
            missing = {(to_pointer((*where, name)), rule) for name in _at(resolve(schema), place)["required"]}
            assert missing <= named
        elif rule not in ("properties", "items"):
            assert (to_pointer(where), rule) in named


@pytest.mark.parametrize("schema", DOCUMENTS)
def test_a_rule_taken_away_lets_a_mutation_pass(schema: Any) -> None:
    """Without any one of its rules, a document accepts a payload of the catalogue.

    But for a type beside an enum, which says the same once more: there it is the enum that refuses.
    """
    rules = resolve(schema)
    cases = mutations_of(schema)
    for place, where, rule in _rules(rules):
        less = _changed(rules, place, rule)
        beside = _at(rules, place)
        if rule == "type" and "enum" in beside:
            typed = [case.payload for case in cases if (case.pointer, case.rule) == (to_pointer(where), "type")]
            assert typed
            faults = referee(less)
            assert all(faults(payload) == [(to_pointer(where), "enum")] for payload in typed)
        elif not _idle(rule, beside):
            assert _accepts_one(less, cases), (place, rule)


def _idle(rule: str, beside: dict[str, Any]) -> bool:
    """Return whether a rule restricts nothing, as members without rules of their own do."""
    return rule in ("properties", "items") and not any(True for _ in _inner_rules(rule, beside[rule]))


def _inner_rules(rule: str, value: Any) -> Iterator[str]:
    for node in value.values() if rule == "properties" else [value]:
        yield from node


@pytest.mark.parametrize("schema", DOCUMENTS)
def test_a_limit_moved_by_one_step_lets_a_mutation_pass(schema: Any) -> None:
    """A bound off by one, a type more, a member no longer required, a shorter text: the catalogue notices the smallest change."""
    rules = resolve(schema)
    cases = mutations_of(schema)
    tried = 0
    for place, where, rule in _rules(rules):
        beside = _at(rules, place)
        for looser in _looser(rule, beside):
            tried += 1
            weaker = _changed(rules, place, rule, looser)
            assert _accepts_one(weaker, cases), (where, rule, looser)
    assert tried


def _looser(rule: str, beside: dict[str, Any]) -> Iterator[Any]:
    limit = beside[rule]
    kind = "number" if "number" in beside.get("type", ()) else "integer"
    if rule in ("minimum", "maximum"):
        yield next_after(limit, kind, float("-inf") if rule == "minimum" else float("inf"))
    elif rule in ("minItems", "minLength"):
        yield limit - 1
    elif rule in ("maxItems", "maxLength"):
        yield limit + 1
    elif rule == "required":
        yield from ([name for name in limit if name != optional] for optional in limit)
    elif rule == "type" and "enum" not in beside:
        allowed = [limit] if isinstance(limit, str) else limit
        numeric = {"integer"} if "number" in allowed else set()
        yield from ([*allowed, other] for other in TYPES if other not in {*allowed, *numeric})


@pytest.mark.parametrize("revision", revisions())
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=8)
@given(data=st.data())
def test_a_mutation_can_be_applied_to_any_valid_payload(revision: str, data: st.DataObject) -> None:
    """Applied to any valid payload, every mutation has the one violation it names, and the payload is not changed."""
    base = data.draw(valid_requests(revision=revision))
    before = copy.deepcopy(base)
    for case in mutations(revision=revision):
        assert _errors(case.onto(base).payload, revision) == [(case.pointer, case.rule)], case.id
    assert base == before


def test_a_changed_payload_does_not_change_its_mutation() -> None:
    """A payload made by a mutation can be changed without changing the mutation."""
    wrapped = next(case for case in mutations() if isinstance(case.payload, list))
    wrapped.onto({}).payload.clear()
    assert wrapped.payload == next(case for case in mutations() if case.id == wrapped.id).payload


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(SCHEMAS)
def test_it_works_for_any_schema(schema: dict[str, Any]) -> None:
    """For any supported schema, each mutation breaks exactly the rule it names, and no id comes twice."""
    cases = mutations_of(schema)
    assert len({case.id for case in cases}) == len(cases)
    faults = referee(schema)
    for case in cases:
        assert faults(case.payload) == [(case.pointer, case.rule)], case.id


@pytest.mark.parametrize("revision", revisions())
def test_known_mistakes_are_in_it(revision: str) -> None:
    """What the live service is known to tolerate is a violation in the catalogue, and so is every broken form of a URI."""
    contract = Contract.load(revision)
    cases = mutations(contract=contract)
    for deviation in contract.observed.tolerated:
        at = [case for case in cases if case.pointer == deviation.pointer]
        assert not at or any(not validate_lax(case, contract) for case in at)
    texts = json.dumps([case.payload for case in cases])
    if any(rule == "format" for _, _, rule in _rules(resolve(contract.request_schema))):
        assert all(json.dumps(text)[1:-1] in texts for text in INVALID_EXAMPLES["uri"].values())


def validate_lax(case: Mutation, contract: Contract) -> list[str]:
    return [each.rule for each in validate(case.payload, contract=contract) if each.severity == "error"]


def broken(schema: Any) -> dict[str, list[tuple[str, Any]]]:
    """Return, for each rule, the variants of breaking it and the values, but for those of a wrong type."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for case in mutations_of(schema):
        if case.rule != "type":
            found.setdefault(case.rule, []).append((case.id.rpartition(":")[2], case.payload))
    return found


def test_bounds_are_crossed_by_a_step_and_by_far() -> None:
    """Each bound is crossed by the smallest step there is, and by a thousand million; an excluded one is met, too."""
    far = 10**9
    assert broken({"type": "integer", "minimum": 2, "maximum": 5}) == {
        "minimum": [("below", 1), ("far-below", 2 - far)],
        "maximum": [("above", 6), ("far-above", 5 + far)],
    }
    assert broken({"type": "number", "minimum": 0.5}) == {
        "minimum": [("below", math.nextafter(0.5, 0)), ("far-below", -far)],
    }
    assert broken({"type": "number", "exclusiveMinimum": 0.5, "exclusiveMaximum": 2.5}) == {
        "exclusiveMinimum": [("at", 0.5), ("far-below", -far)],
        "exclusiveMaximum": [("at", 2.5), ("far-above", 2 + far)],
    }
    assert broken({"type": "integer", "exclusiveMinimum": 0.5, "exclusiveMaximum": 2.5}) == {
        "exclusiveMinimum": [("at", 0), ("far-below", -far)],
        "exclusiveMaximum": [("at", 3), ("far-above", 2 + far)],
    }


def test_lengths_are_crossed_by_one_and_by_far() -> None:
    """A text or an array is one too short and empty, one too long and ten times as long."""
    assert broken({"type": "string", "minLength": 3, "maxLength": 5}) == {
        "minLength": [("short", "aa"), ("empty", "")],
        "maxLength": [("long", "a" * 6), ("far-too-long", "a" * 60)],
    }
    assert broken({"type": "string", "minLength": 1}) == {"minLength": [("short", "")]}
    assert broken({"type": "string", "minLength": 2}) == {"minLength": [("short", "a"), ("empty", "")]}
    assert broken({"type": "array", "items": {"const": 0}, "minItems": 2, "maxItems": 4}) | {"const": []} == {
        "minItems": [("short", [0]), ("empty", [])],
        "maxItems": [("long", [0] * 5), ("far-too-long", [0] * 50)],
        "const": [],
    }
    assert broken({"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 0x10}) == {
        "minItems": [("short", [])],
        "maxItems": [("long", [None] * 17), ("far-too-long", [None] * 170)],
    }


def test_enums_are_left_by_their_neighbours() -> None:
    """An enum of numbers is left by each neighbour, by what lies in the middle, by 0, by a sign and by far."""
    values = [5, 10]
    steps = [4, 6, 9, 11, 7, 0, -5, 10 + 10**9]
    assert broken({"type": "integer", "enum": values}) == {"enum": [(str(value), value) for value in steps]}
    assert broken({"type": "string", "enum": ["red", "Green"]})["enum"] == [
        ("empty", ""),
        ("cut", "re"),
        ("padded", "red "),
        ("other-case", "RED"),
    ]
    assert broken({"type": "boolean", "const": True}) == {"const": [("false", False)]}
    below, above = (math.nextafter(-1.5, way) for way in (-math.inf, math.inf))
    assert [value for _, value in broken({"type": "number", "enum": [-1.5]})["enum"]][:2] == [below, above]
    untyped = [variant for variant, _ in broken({"enum": ["red", 1]})["enum"]]
    assert untyped[:5] == ["null", "boolean", "number", "array", "object"]


def test_nothing_else_is_wrong() -> None:
    """A value that breaks another rule as well is left out, whichever of the two comes first."""
    schema = {"type": "integer", "enum": [5, 10], "minimum": 5, "maximum": 10}
    assert broken(schema) == {"enum": [("6", 6), ("9", 9), ("7", 7)]}


def test_wrong_types_look_like_the_right_value() -> None:
    """Each other type comes from a common mistake: a number as text, an item without its array."""

    def typed(schema: Any) -> dict[str, Any]:
        cases = mutations_of({"properties": {"a": schema}})
        return {case.id.rpartition(":")[2]: case.payload["a"] for case in cases if case.pointer == "/a"}

    whole = {"null": None, "boolean": True, "number": 2.5, "string": "2", "array": [2], "object": {"a": 2}}
    assert typed({"type": "integer", "minimum": 2}) == {
        **whole,
        "below": 1,
        "far-below": 2 - 10**9,
    }
    assert typed({"type": "string"}) == {
        "null": None,
        "boolean": True,
        "integer": 1,
        "number": 1.5,
        "array": ["a"],
        "object": {"a": "a"},
    }
    listed = typed({"type": "array", "items": {"type": "object", "required": ["b"]}})
    assert (listed["string"], listed["object"]) == ("[]", {"b": None})


def test_a_violation_in_one_item_leaves_the_others() -> None:
    """Applied to a payload with a longer array, a violation in an item changes that item alone."""
    schema = {"properties": {"a": {"type": "array", "items": {"type": "integer", "maximum": 3}}}}
    (case,) = [each for each in mutations_of(schema) if each.id == "/a/0:maximum:above"]
    assert case.onto({"a": [1, 2, 3], "b": 0}).payload == {"a": [4, 2, 3], "b": 0}
    assert case.onto({"a": []}).payload == {"a": [4]}
    pair = {"type": "array", "minItems": 2, "items": {"type": "integer", "maximum": 3}}
    (case,) = [each for each in mutations_of(pair) if each.id == "/0:maximum:above"]
    assert case.payload == [4, 0]


def test_a_mutation_shows_what_it_is() -> None:
    """A mutation shows its id, its place, its rule and its payload, and nothing else."""
    (case,) = [each for each in mutations_of({"type": "integer", "minimum": 1}) if each.id == ":minimum:below"]
    assert repr(case) == "Mutation(id=':minimum:below', pointer='', rule='minimum', payload=0)"
