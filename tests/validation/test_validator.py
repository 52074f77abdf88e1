"""Claims about judging payloads."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract import Contract, Violation, revisions, validate
from kling_contract.contract.observed import Tolerated
from kling_contract.errors import UnknownRevision
from kling_contract.jsontext.pointer import split
from kling_contract.mutations import mutations
from kling_contract.strategies import valid_requests
from kling_contract.validation.creates import check_payload, validator_for
from kling_contract.validation.validator import Validator
from kling_contract.violation import Strictness, has_errors

CONTRACT = Contract.load()
EXAMPLE: dict[str, Any] = {
    "model": CONTRACT.request_schema["properties"]["model"]["enum"][0],
    "image_url": "https://example.com/cat.png",
    "prompt": "A cat wakes up.",
}


def found(payload: Any, **options: Any) -> list[tuple[str, str, str]]:
    return [(each.pointer, each.rule, each.severity) for each in validate(payload, **options)]


def hint_of(payload: Any, pointer: str) -> str:
    (violation,) = [each for each in validate(payload) if each.pointer == pointer]
    return violation.hint or ""


@given(valid_requests())
def test_valid_payloads_pass(payload: dict[str, Any]) -> None:
    """What is valid on paper draws no error, decoded or as text, however strict the judge."""
    for strictness in ("strict", "lax", "off"):
        assert not has_errors(validate(payload, strictness=strictness))
    assert not has_errors(validate(json.dumps(payload)))


@given(st.data())
def test_text_and_value_are_judged_alike(data: st.DataObject) -> None:
    """Judging a text gives what judging its value gives, and besides the place of each violation."""
    mutation = data.draw(st.sampled_from(mutations()))
    text = json.dumps(mutation.payload, indent=data.draw(st.sampled_from([None, 0, 2])))
    judged = validate(text)
    assert [replace(each, line=None, column=None) for each in judged] == list(
        check_payload(mutation.payload, CONTRACT, None, "lax").violations
    )
    assert judged == validate(text.encode())
    lines = text.splitlines()
    for violation in judged:
        assert violation.line is not None
        assert violation.column is not None
        assert violation.column <= len(lines[violation.line - 1])


@given(st.permutations(["model", "image_url", "prompt", "duration", "cfg_scale", "unheard_of", "ratio"]))
def test_violations_come_in_document_order(names: list[str]) -> None:
    """Violations stand in the order in which their values stand in the payload."""
    wrong = {
        "model": CONTRACT.model,
        "image_url": 2,
        "prompt": 3,
        "duration": 4,
        "cfg_scale": 5,
        "unheard_of": 6,
        "ratio": "16:9",
    }
    assert [each.pointer for each in validate({name: wrong[name] for name in names})] == [
        f"/{name}" for name in names if name != "model"
    ]


def test_missing_members_come_last_and_are_pointed_at() -> None:
    """A missing member has the pointer that it would have, after its siblings, in the order of the schema."""
    required = [name for name in CONTRACT.request_schema["required"] if name != "model"]
    assert found({"model": CONTRACT.model, "cfg_scale": 7})[1:] == [
        (f"/{name}", "required", "error") for name in required
    ]


def test_without_a_model_nothing_else_is_known() -> None:
    """A payload without a model, or of one that no revision knows, has that violation alone: the rest depends on the model."""
    wrong = {"cfg_scale": 7, "unheard_of": 1}
    assert found(wrong) == [("/model", "required", "error")]
    assert found({**wrong, "model": "kling-v9"}) == [("/model", "enum", "error")]
    assert found({**wrong, "model": None}) == [("/model", "type", "error")]


def test_a_wrong_type_is_said_once() -> None:
    """A value of the wrong type draws the rule type, and not also the bounds or values of that type."""
    assert found({**EXAMPLE, "duration": [5]}) == [("/duration", "type", "error")]
    assert found({**EXAMPLE, "cfg_scale": "2"}) == [("/cfg_scale", "type", "error")]


def test_strictness_decides_what_is_an_error() -> None:
    """What the service is known to take is an error in strict, a warning in lax and off; the rest an error but in off."""
    tolerated, refused = {**EXAMPLE, "duration": "5"}, {**EXAMPLE, "duration": "7"}
    assert [found(tolerated, strictness=s)[0][2] for s in ("strict", "lax", "off")] == [
        "error",
        "warning",
        "warning",
    ]
    assert [found(refused, strictness=s)[0][2] for s in ("strict", "lax", "off")] == [
        "error",
        "error",
        "warning",
    ]
    assert [found([], strictness=s)[0][2] for s in ("strict", "lax", "off")] == ["error"] * 3


def test_undeclared_and_deprecated_members_are_warnings() -> None:
    """What the contract does not declare, at any depth, and what it deprecates, is a warning and never an error."""
    payload = {
        **EXAMPLE,
        "fps": 24,
        "dynamic_masks": [{"mask_url": "https://x.org/m.png", "feather": 1}],
        "ratio": "1:1",
    }
    for strictness in ("strict", "lax", "off"):
        assert found(payload, strictness=strictness) == [
            ("/fps", "undeclared", "warning"),
            ("/dynamic_masks/0/feather", "undeclared", "warning"),
            ("/ratio", "deprecated", "warning"),
        ]


def test_the_editors_key_is_not_held_against_a_payload() -> None:
    """A top-level $schema is for editors: it draws nothing; deeper down it is undeclared like any other."""
    assert not validate({"$schema": "create-request.schema.json", **EXAMPLE})
    nested = {**EXAMPLE, "dynamic_masks": [{"mask_url": "https://x.org/m.png", "$schema": ""}]}
    assert found(nested) == [("/dynamic_masks/0/$schema", "undeclared", "warning")]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" ", id="blank"),
        pytest.param(b"{", id="truncated"),
        pytest.param(b"nonsense", id="words"),
        pytest.param(b'{"a": NaN}', id="nan"),
        pytest.param(b'{"a": 1, "a": 2}', id="duplicate"),
        pytest.param(b"\xff\xfe", id="not-utf8"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"9" * 5000, id="long-number"),
        pytest.param(b'"\\ud800"', id="surrogate"),
        pytest.param(b"{} {}", id="two"),
        pytest.param(b"1e999", id="overflow"),
    ],
)
def test_what_is_no_json_is_one_violation(text: bytes) -> None:
    """Text that is not JSON draws one error, of the rule json, with its place, even where nothing else is refused."""
    (violation,) = validate(text, strictness="off")
    assert (violation.pointer, violation.rule, violation.severity) == ("", "json", "error")
    assert violation.line is not None
    assert violation.column is not None


@pytest.mark.parametrize("value", [None, True, 5, 1.5, [], [EXAMPLE]])
def test_what_is_no_object_is_one_violation(value: Any) -> None:
    """A JSON value that is no object is refused as a whole, by its type."""
    assert found(value, strictness="off") == [("", "type", "error")]


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {1: 2}, object(), 10**5000],
    ids=["nan", "infinity", "key", "object", "long-number"],
)
def test_what_cannot_be_json_is_refused(value: Any) -> None:
    """A Python value that JSON cannot carry is refused, not a traceback."""
    assert has_errors(validate({**EXAMPLE, "prompt": value}))


@pytest.mark.parametrize(
    ("member", "hint"),
    [
        ({"duration": "5"}, "send the number 5"),
        ({"duration": "10s"}, "send the number 10"),
        ({"duration": 7}, "nearest allowed is 5"),
        ({"duration": 60}, "nearest allowed is 10"),
        ({"cfg_scale": "0.5"}, "send the number 0.5"),
        ({"negativ_prompt": ""}, "did you mean negative_prompt?"),
        ({"image_url": "iVBORw0KGgoAAAA"}, "data:image/png;base64,"),
        ({"image_url": "https://example.com/my cat.png"}, "percent-encode"),
        ({"image_url": "example.com/cat.png"}, "begin it with https://"),
        ({"image_url": "./cat.png"}, "data URI"),
    ],
)
def test_hints_say_how_to_mend(member: dict[str, Any], hint: str) -> None:
    """The usual mistakes draw a hint that says what to send instead."""
    (name,) = member
    assert hint in hint_of({**EXAMPLE, **member}, f"/{name}")


def test_a_missing_member_is_looked_for_among_the_undeclared() -> None:
    """Where a required member is missing and one of a similar name is there, the hint says so."""
    payload = {name: value for name, value in EXAMPLE.items() if name != "image_url"} | {"image": "https://x.org/a.png"}
    assert hint_of(payload, "/image_url") == "is image meant to be image_url?"


def test_a_member_that_should_not_be_there_is_found_by_its_name() -> None:
    """Of an undeclared or deprecated member the name is pointed at, of any other value the value."""
    text = json.dumps({**EXAMPLE, "fps": 24, "ratio": "1:1", "duration": 7})
    assert [text[(each.column or 0) - 1 :][:5] for each in validate(text)] == ['"fps"', '"rati', "7}"]


def test_large_values_are_cut_in_messages() -> None:
    """A megabyte of data URI does not come back in the message."""
    (violation,) = validate({**EXAMPLE, "image_url": "data:image/png;base64, " + "A" * 2**20})
    assert len(str(violation)) < 400


@pytest.mark.parametrize("revision", revisions())
def test_every_revision_judges(revision: str) -> None:
    """In each revision every single mutation is found, alone, where it is, and knows since when its rule holds."""
    contract = Contract.load(revision)
    for mutation in mutations(contract=contract):
        errors = [
            each
            for each in validate(mutation.payload, revision=revision, strictness="strict")
            if each.severity == "error"
        ]
        assert [(each.pointer, each.rule) for each in errors] == [(mutation.pointer, mutation.rule)], mutation.id
        assert errors[0].since in revisions()
        assert errors[0].since <= revision


def test_an_unknown_revision_lists_those_there_are() -> None:
    """Asking for a revision that there is not raises, with the list of those that there are."""
    with pytest.raises(UnknownRevision, match=CONTRACT.revision.id):
        validate({}, revision="1999-01-01")


@pytest.mark.parametrize("revision", list(revisions()))
def test_a_violation_has_the_limit_and_the_schema_that_its_value_breaks(revision: str) -> None:
    """A violation has the schema of its value, and the value of its broken keyword there; a missing member has a schema too."""
    contract = Contract.load(revision)
    for mutation in mutations(contract=contract):
        (error,) = (
            each
            for each in validate(mutation.payload, contract=contract, strictness="strict")
            if each.severity == "error"
        )
        parent = declared = contract.request_schema
        for part in split(mutation.pointer):
            parent, declared = declared, declared["items"] if "items" in declared else declared["properties"][part]
        assert error.schema is not None
        if mutation.pointer == "/model":  # what holds for all models is tested beside it, in test_unknown_model
            assert contract.model in error.schema["enum"]
            continue
        assert {key: error.schema[key] for key in ("type", "enum", "format") if key in error.schema} == {
            key: declared[key] for key in ("type", "enum", "format") if key in declared
        }
        assert error.limit == (parent if mutation.rule == "required" else declared)[mutation.rule], mutation.id
        assert hash(error) == hash(replace(error, limit=None, schema=None))


def test_a_violation_reads_as_a_line() -> None:
    """A violation printed says where, what, and how to mend it."""
    assert str(Violation("/a", "type", "is wrong", hint="make it right")) == "/a: is wrong (make it right)"
    assert str(Violation("", "type", "is wrong")) == "the whole: is wrong"
    assert str(Violation("/q", "type", "is wrong", part="query")) == "query /q: is wrong"


def judged(
    schema: dict[str, Any], value: Any, strictness: Strictness = "lax", **options: Any
) -> list[tuple[str, str, str]]:
    """Return what a judge of a schema of its own finds."""
    found = Validator(schema, contract=CONTRACT, **options).validate_value(value, strictness)
    return [(each.pointer, each.rule, each.severity) for each in found]


@pytest.mark.parametrize(
    ("rules", "value", "rule"),
    [
        ({"const": 1}, 2, "const"),
        ({"anyOf": [{"const": 1}, {"const": 2}]}, 3, "anyOf"),
        ({"uniqueItems": True}, [1, 1], "uniqueItems"),
        ({"not": {}}, 1, "not"),
        ({"multipleOf": 2}, 3, "multipleOf"),
    ],
)
def test_any_rule_of_a_schema_is_an_error(rules: dict[str, Any], value: Any, rule: str) -> None:
    """Whatever rule a schema has, whatever its name begins with, breaking it is an error."""
    assert judged({"properties": {"a": rules}}, {"a": value}) == [("/a", rule, "error")]


def test_only_what_is_tolerated_is_taken() -> None:
    """A tolerated value is a warning whichever rule it breaks; that it is missing is not tolerated, wherever it would be."""
    schema = {"properties": {"a": {"enum": [1, 2]}, "b": {"maximum": 3}}, "required": ["a"]}
    tolerated = [Tolerated("/a", {"const": 7}, None, "a test"), Tolerated("/b", {}, None, "a test")]
    assert judged(schema, {"a": 7, "b": 4}, tolerated=tolerated) == [
        ("/a", "enum", "warning"),
        ("/b", "maximum", "warning"),
    ]
    assert judged(schema, {"a": 8}, tolerated=tolerated) == [("/a", "enum", "error")]
    assert judged(schema, {}, tolerated=tolerated) == [("/a", "required", "error")]
    assert judged(schema, {"a": 7}, "strict", tolerated=tolerated) == [("/a", "enum", "error")]


def test_two_violations_are_in_order_too() -> None:
    """Two violations come as their values stand in the document, not as the schema has them."""
    schema = {"properties": {"a": {"type": "null"}, "b": {"type": "null"}}}
    assert [pointer for pointer, _, _ in judged(schema, {"b": 1, "a": 1})] == ["/b", "/a"]
    assert [pointer for pointer, _, _ in judged(schema, {"a": 1, "b": 1})] == ["/a", "/b"]
    absent = {"required": ["b"], "properties": {"a": {"type": "null"}, "b": {}}}
    assert [pointer for pointer, _, _ in judged(absent, {"a": 1})] == ["/a", "/b"]
    nested = {"properties": {"a": {"type": "null"}, "b": {"properties": {"c": {"type": "null"}}}}}
    for value in ({"x": 1, "a": 1}, {"b": {"x": 1, "c": 1}}, {"b": {"x": 1}, "a": 1}):
        first, second = judged(nested, value)
        written = json.dumps(value)
        assert written.index(first[0].rpartition("/")[2]) < written.index(second[0].rpartition("/")[2])


def test_a_deprecated_member_is_described_at_any_depth() -> None:
    """What the schema says of a deprecated member is said of it, also inside of objects."""
    inner = {"properties": {"old": {"deprecated": True, "description": "Use new."}}}
    schema = {"properties": {"outer": {"properties": {"inner": inner}}}}
    (found,) = Validator(schema, contract=CONTRACT).validate_value({"outer": {"inner": {"old": 1}}})
    assert (found.pointer, found.message) == ("/outer/inner/old", "old is deprecated. Use new.")


def test_hints_come_from_the_object_that_the_violation_is_in() -> None:
    """What is missing or undeclared inside of an object is compared with the members of that object, at any depth."""
    inner: dict[str, Any] = {"properties": {"mask": {}}, "required": ["mask"]}
    schema = {"properties": {"mesk": {}, "outer": {"properties": {"mosk": {}, "inner": inner}}}}
    found = Validator(schema, contract=CONTRACT, part="response").validate_value({"outer": {"inner": {"musk": 1}}})
    assert [(violation.pointer, violation.rule, violation.hint) for violation in found] == [
        ("/outer/inner/musk", "undeclared", "did you mean mask?"),
        ("/outer/inner/mask", "required", "is musk meant to be mask?"),
    ]
    inner["properties"]["masks"] = {}  # what is declared is not meant to be something else
    found = Validator(schema, contract=CONTRACT, part="response").validate_value({"outer": {"inner": {"masks": 1}}})
    assert [(violation.pointer, violation.hint) for violation in found] == [("/outer/inner/mask", None)]


@pytest.mark.parametrize("strictness", ["strict", "lax", "off"])
def test_a_notice_stays_a_notice(strictness: Strictness) -> None:
    """What is less than an error is left as it is, however strict the judge."""
    assert judged({"properties": {}}, {"a": 1}, strictness, undeclared="notice") == [("/a", "undeclared", "notice")]


@pytest.mark.parametrize("part", ["answer", "response", "query"])
def test_only_bodies_have_a_history(part: str) -> None:
    """Since when a rule holds is known of the payload of a create alone; elsewhere its part stands before the place."""
    schema = CONTRACT.request_schema
    for violation in Validator(schema, contract=CONTRACT, part=part).validate_value({}):
        assert violation.since is None
        assert str(violation).startswith(f"{part} /")
    assert all(each.since for each in Validator(schema, contract=CONTRACT).validate_value({}))


def test_a_deprecated_member_is_told_what_its_description_says() -> None:
    """The message about a deprecated member repeats the member's own description, not that of the whole."""
    schema = {"description": "Whole.", "properties": {"old": {"deprecated": True, "description": "Use new."}}}
    (violation,) = Validator(schema, contract=CONTRACT).validate_value({"old": 1})
    assert violation.message == "old is deprecated. Use new."


def test_a_nested_missing_member_is_looked_for_where_it_is_missing() -> None:
    """A member that is missing deep inside is looked for among those beside it."""
    assert hint_of({**EXAMPLE, "dynamic_masks": [{"mask": "https://a.example"}]}, "/dynamic_masks/0/mask_url") == (
        "is mask meant to be mask_url?"
    )


def test_a_judge_is_made_once() -> None:
    """Asked again, the judge of a contract is the same one."""
    assert validator_for(CONTRACT) is validator_for(CONTRACT)
