"""Claims about differences of two schemas: what each breaks, proved by values that are drawn."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract.drift.difference import Difference
from kling_contract.drift.schema_changes import differences
from kling_contract.strategies import matching

_NAMES = st.sampled_from(["alpha", "bravo", "india", "oscar", "zulu"])


def _numeric(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    limits = st.tuples(st.integers(-5, 5), st.integers(0, 5))
    return limits.map(lambda pair: {"type": kind, "minimum": pair[0], "maximum": pair[0] + pair[1]})


_LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "string"}),
    st.just({"type": "string", "format": "uri"}),
    st.tuples(st.integers(1, 3), st.integers(0, 3)).map(
        lambda pair: {"type": "string", "minLength": pair[0], "maxLength": pair[0] + pair[1]}
    ),
    _numeric("integer"),
    _numeric("number"),
    st.lists(st.sampled_from(["a", "b", 1, 2, None]), min_size=1, max_size=4, unique=True).map(lambda v: {"enum": v}),
)


def _branches(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    arrays = st.tuples(inner, st.integers(0, 2), st.integers(1, 3)).map(
        lambda t: {"type": "array", "items": t[0], "minItems": t[1], "maxItems": t[1] + t[2]}
    )
    nullable = inner.filter(lambda s: isinstance(s.get("type"), str)).map(lambda s: {**s, "type": [s["type"], "null"]})
    either = st.tuples(inner, inner).map(lambda pair: {"anyOf": list(pair)})
    return st.one_of(arrays, _objects(inner), nullable, either)


def _objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    members = st.dictionaries(_NAMES, inner, min_size=1, max_size=3)
    return members.flatmap(
        lambda each: st.lists(st.sampled_from(sorted(each)), unique=True).map(
            lambda required: {"type": "object", "required": required, "properties": each}
        )
    )


_SCHEMAS = _objects(st.recursive(_LEAVES, _branches, max_leaves=5))


def _validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


@given(st.data(), _SCHEMAS, _SCHEMAS)
def test_no_break_means_that_everything_fits(data: st.DataObject, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Where nothing breaks requests, the new schema allows all that the old one does; for responses it is the other way round."""
    for in_response, producer, consumer in ((False, old, new), (True, new, old)):
        found = differences(old, new, in_response=in_response)
        value = data.draw(matching(producer))
        if not any(each.breakage == "breaking" for each in found):
            assert _validator(consumer).is_valid(value)


@given(_SCHEMAS, _SCHEMAS)
def test_a_break_means_that_something_does_not_fit(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Each break of requests has a counterexample that only the old schema allows, or that has a renamed field's old name."""
    for each in differences(old, new):
        if each.breakage == "breaking":
            assert _validator(old).is_valid(each.counterexample)
            assert each.rule == "renamed" or not _validator(new).is_valid(each.counterexample)


def _nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    found = [schema]
    for child in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        found.extend(_nodes(child))
    return found


def _edits(node: dict[str, Any]) -> list[tuple[str, dict[str, Any], str, str]]:
    """Return possible edits of a node: the rule, its members after the edit, and what that breaks in requests and in responses."""
    narrower, wider = ("breaking", "non-breaking"), ("non-breaking", "breaking")
    edits: list[tuple[str, dict[str, Any], str, str]] = []
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")):
        if low in node:
            if node[low] < node[high]:
                edits += [(low, {low: node[low] + 1}, *narrower), (high, {high: node[high] - 1}, *narrower)]
            edits += [(high, {high: node[high] + 1}, *wider)]
            edits += [(low, {low: node[low] - 1}, *wider)] if node[low] > 0 else []
    if "enum" in node:
        edits.append(("enum", {"enum": [*node["enum"], "other"]}, *wider))
        edits += [("enum", {"enum": node["enum"][1:]}, *narrower)] if len(node["enum"]) > 1 else []
    if isinstance(node.get("type"), list):
        edits.append(("type", {"type": node["type"][0]}, *narrower))
    elif "type" in node:
        edits.append(("type", {"type": [node["type"], "null"]}, *wider))
    if node.get("type") == "string" and "format" not in node and "minLength" not in node:
        edits.append(("format", {"format": "uri"}, *narrower))
    if "properties" in node:
        members, required = node["properties"], node["required"]
        first = next(iter(members))
        without = {name: each for name, each in members.items() if name != first}
        left = [name for name in required if name != first]
        if first in required:
            edits.append(("required", {"required": left}, *wider))
        else:
            edits.append(("required", {"required": [*required, first]}, *narrower))
        edits.append(("removed", {"properties": without, "required": left}, "breaking if strict", "breaking"))
        grown = {**members, "extra": {"type": "string"}}
        edits.append(("added", {"properties": grown}, "non-breaking", "non-breaking"))
        edits.append(("added, required", {"properties": grown, "required": [*required, "extra"]}, *narrower))
        if isinstance(members[first], dict):
            called = {f"{first}_url" if name == first else name: each for name, each in members.items()}
            again = [f"{first}_url" if name == first else name for name in required]
            edits.append(("renamed", {"properties": called, "required": again}, "breaking", "breaking"))
    return edits


@given(st.data(), _SCHEMAS)
def test_one_edit_is_one_change(data: st.DataObject, old: dict[str, Any]) -> None:
    """When one rule of a schema is edited, exactly that rule is reported, with what the edit is known to break."""
    new = json.loads(json.dumps(old))
    nodes = _nodes(new)
    node = nodes[data.draw(st.integers(0, len(nodes) - 1))]
    edits = _edits(node)
    if not edits:
        assert {"type", "anyOf"} & set(node)
        return
    rule, members, in_requests, in_responses = data.draw(st.sampled_from(edits))
    node.update(members)
    for in_response, breakage in ((False, in_requests), (True, in_responses)):
        found = differences(old, new, in_response=in_response)
        assert [(each.rule, each.breakage) for each in found] == [(rule, breakage)]


def test_alternatives_without_a_partner_are_compared() -> None:
    """A removed alternative breaks requests unless another allows all that it allowed; an added one breaks responses likewise."""
    wide, low = {"type": "integer", "maximum": 9}, {"type": "integer", "maximum": 5}
    text = {"type": "string", "minLength": 2}
    assert _only({"anyOf": [wide, low]}, wide).breakage == "non-breaking"
    assert _only(wide, {"anyOf": [wide, low]}, in_response=True).breakage == "non-breaking"
    assert _only({"anyOf": [wide, low]}, low).counterexample == 6
    assert _only(low, {"anyOf": [wide, low]}, in_response=True).breakage == "breaking"
    gone = _only({"anyOf": [wide, text]}, wide)
    assert (gone.rule, gone.breakage, gone.counterexample) == ("type", "breaking", "aa")


def _only(old: Any, new: Any, **options: Any) -> Difference:
    (found,) = differences(old, new, **options)
    return found


@pytest.mark.parametrize(
    ("old", "new", "in_requests", "in_responses"),
    [
        ({"type": "number"}, {"type": "integer"}, "breaking", "non-breaking"),
        ({"type": "integer", "minimum": 0.5}, {"type": "integer", "minimum": 1}, "non-breaking", "non-breaking"),
        ({"type": "integer", "multipleOf": 2}, {"type": "integer", "multipleOf": 4}, "breaking", "non-breaking"),
        ({"enum": ["a"]}, {"enum": ["a"], "type": "string"}, "non-breaking", "non-breaking"),
        ({"type": "string"}, {"type": "string", "pattern": "^b"}, "breaking", "non-breaking"),
        ({"type": "string", "pattern": "^ab"}, {"type": "string", "pattern": "^a"}, "breaking", "breaking"),
        ({"type": "string", "default": "a"}, {"type": "string"}, "non-breaking", "non-breaking"),
        ({"type": "string"}, {"type": "string", "deprecated": True}, "non-breaking", "non-breaking"),
        ({"type": "object"}, {"type": "object", "additionalProperties": False}, "breaking", "non-breaking"),
        (
            {"type": "object"},
            {"type": "object", "additionalProperties": {"type": "string"}},
            "breaking",
            "non-breaking",
        ),
        ({"type": "object", "maxProperties": 2}, {"type": "object", "maxProperties": 1}, "breaking", "non-breaking"),
        ({"type": "array"}, {"type": "array", "uniqueItems": True}, "breaking", "non-breaking"),
        ({"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "non-breaking", "breaking"),
        ({}, {"type": "string"}, "breaking", "non-breaking"),
        ({}, {"x-not": {"type": "string"}}, "breaking", "breaking"),
    ],
)
def test_rules_that_no_random_schema_has(old: Any, new: Any, in_requests: str, in_responses: str) -> None:
    """Each rule is compared by the values that it allows; one whose effect cannot be determined is called breaking."""
    assert _only(old, new).breakage == in_requests
    assert _only(old, new, in_response=True).breakage == in_responses


def test_rules_that_mean_the_same_are_no_change() -> None:
    """The order of listed values and types, and an explicit permission of unknown members, change nothing."""
    assert (
        differences({"enum": [1, 2], "type": ["integer", "null"]}, {"enum": [2, 1], "type": ["null", "integer"]}) == []
    )
    assert differences({"type": "object"}, {"type": "object", "additionalProperties": True}) == []


def test_an_open_object_that_gets_a_shape_breaks_responses() -> None:
    """A program that reads undeclared members cannot know that they are still there."""
    shaped = {"type": "object", "properties": {"name": {"type": "string"}}}
    assert _only({}, shaped, in_response=True).breakage == "breaking"
    assert _only({"type": "object"}, shaped, in_response=True).rule == "shape"
