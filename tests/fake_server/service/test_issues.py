"""Claims about the issues in refusals: they say in the words of the service what we found."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer, Reply
from fake_server.service.issues import issues_of
from kling_contract import Contract, revisions, validate
from kling_contract.contract.observed import Tolerated
from kling_contract.jsontext.pointer import to_pointer
from kling_contract.mutations import Mutation, mutations, mutations_of
from kling_contract.validation.validator import Validator
from kling_contract.violation import Violation
from tests.support.calls import creating, polling

REVISIONS = [Contract.load(revision) for revision in revisions()]
MUTATIONS = {contract: mutations(contract=contract) for contract in REVISIONS}
LISTING = [
    contract for contract in REVISIONS if "{issues}" not in contract.observed.refusals.reasons["invalid_body"].message
]
"""The revisions whose refusals list the issues as data. Those of the others have one line for each."""
CONTRACT = Contract.load("2026-08-30")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["url", "model", "shape"],
    "properties": {
        "model": {"enum": ["a", "b"]},
        "url": {"type": "string", "format": "uri"},
        "shape": {"type": "string", "enum": ["16:9", "1:1"]},
        "duration": {"type": "integer", "enum": [5, 10], "minimum": 5},
        "fps": {"type": "integer", "enum": [24, 30]},
        "steps": {"type": "integer"},
        "cfg": {"type": "number", "minimum": 0, "maximum": 1},
        "speed": {"type": "number", "exclusiveMinimum": 0.5, "exclusiveMaximum": 2},
        "prompt": {"type": "string", "minLength": 2, "maxLength": 2500},
        "masks": {
            "type": "array",
            "minItems": 2,
            "maxItems": 6,
            "items": {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}},
        },
        "image": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "array", "items": {"type": "string"}}]},
        "user": {"type": ["null", "string"]},
        "flag": {"const": True},
    },
}
VALID = {"model": "a", "url": "https://example.com/a.png", "shape": "1:1"}
MISSING = object()


def refused(contract: Contract, payload: Any) -> Reply:
    """Return how a strict fake refuses a payload: bytes as they are, anything else as JSON."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return FakeServer(contract=contract, strictness="strict").handle(creating(contract, body))


def violations_of(payload: Any) -> list[Violation]:
    return Validator(SCHEMA, contract=CONTRACT).validate_value(payload, "strict")


@pytest.mark.parametrize(
    ("name", "value", "issue"),
    [
        (
            "url",
            MISSING,
            '{"code":"invalid_type","expected":"string","received":"undefined","path":["url"],"message":"Required"}',
        ),
        (
            "shape",
            MISSING,
            """{"expected":"'16:9' | '1:1'","received":"undefined","code":"invalid_type","""
            """"path":["shape"],"message":"Required"}""",
        ),
        (
            "model",
            MISSING,
            """{"code":"invalid_union_discriminator","options":["a","b"],"""
            """"path":["model"],"message":"Invalid discriminator value. """
            """Expected 'a' | 'b'"}""",
        ),
        (
            "model",
            "c",
            """{"code":"invalid_union_discriminator","options":["a","b"],"""
            """"path":["model"],"message":"Invalid discriminator value. """
            """Expected 'a' | 'b'"}""",
        ),
        (
            "url",
            None,
            '{"code":"invalid_type","expected":"string","received":"null",'
            '"path":["url"],"message":"Expected string, received null"}',
        ),
        (
            "user",
            5,
            '{"code":"invalid_type","expected":"string","received":"number",'
            '"path":["user"],"message":"Expected string, received number"}',
        ),
        (
            "steps",
            "5",
            '{"code":"invalid_type","expected":"number","received":"string",'
            '"path":["steps"],"message":"Expected number, received string"}',
        ),
        (
            "cfg",
            True,
            '{"code":"invalid_type","expected":"number","received":"boolean",'
            '"path":["cfg"],"message":"Expected number, received boolean"}',
        ),
        (
            "masks",
            {"x": 1},
            '{"code":"invalid_type","expected":"array","received":"object",'
            '"path":["masks"],"message":"Expected array, received object"}',
        ),
        (
            "steps",
            5.5,
            '{"code":"invalid_type","expected":"integer","received":"float",'
            '"message":"Expected integer, received float","path":["steps"]}',
        ),
        ("url", "a b", '{"validation":"url","code":"invalid_string","message":"Invalid url","path":["url"]}'),
        (
            "shape",
            "4:3",
            """{"received":"4:3","code":"invalid_enum_value","options":["16:9","1:1"],"""
            """"path":["shape"],"message":"Invalid enum value. """
            """Expected '16:9' | '1:1', received '4:3'"}""",
        ),
        (
            "shape",
            ["1:1"],
            """{"expected":"'16:9' | '1:1'","received":"array","code":"invalid_type","""
            """"path":["shape"],"message":"Expected """
            """'16:9' | '1:1', received array"}""",
        ),
        (
            "duration",
            "4",
            """{"received":"4","code":"invalid_enum_value","options":["5","10"],"""
            """"path":["duration"],"message":"Invalid enum value. """
            """Expected '5' | '10', received '4'"}""",
        ),
        (
            "duration",
            7,
            """{"received":"7","code":"invalid_enum_value","options":["5","10"],"""
            """"path":["duration"],"message":"Invalid enum value. """
            """Expected '5' | '10', received '7'"}""",
        ),
        (
            "duration",
            7.0,
            """{"received":"7","code":"invalid_enum_value","options":["5","10"],"""
            """"path":["duration"],"message":"Invalid enum value. """
            """Expected '5' | '10', received '7'"}""",
        ),
        (
            "duration",
            5.5,
            """{"received":"5.5","code":"invalid_enum_value","options":["5","10"],"""
            """"path":["duration"],"message":"Invalid enum value. """
            """Expected '5' | '10', received '5.5'"}""",
        ),
        (
            "duration",
            None,
            """{"expected":"'5' | '10'","received":"null","code":"invalid_type","""
            """"path":["duration"],"message":"Expected """
            """'5' | '10', received null"}""",
        ),
        (
            "duration",
            True,
            """{"expected":"'5' | '10'","received":"boolean","code":"invalid_type","path":["duration"],"""
            """"message":"Expected '5' | '10', received boolean"}""",
        ),
        (
            "shape",
            5,
            """{"expected":"'16:9' | '1:1'","received":"number","code":"invalid_type","path":["shape"],"""
            """"message":"Expected '16:9' | '1:1', received number"}""",
        ),
        (
            "duration",
            "5",
            '{"code":"invalid_type","expected":"number","received":"string",'
            '"path":["duration"],"message":"Expected number, received string"}',
        ),
        (
            "fps",
            25,
            """{"received":25,"code":"invalid_enum_value","options":[24,30],"""
            """"path":["fps"],"message":"Invalid enum value. """
            """Expected 24 | 30, received '25'"}""",
        ),
        (
            "cfg",
            -1,
            '{"code":"too_small","minimum":0,"type":"number","inclusive":true,"exact":false,'
            '"message":"Number must be greater than or equal to 0","path":["cfg"]}',
        ),
        (
            "cfg",
            2,
            '{"code":"too_big","maximum":1,"type":"number","inclusive":true,"exact":false,'
            '"message":"Number must be less than or equal to 1","path":["cfg"]}',
        ),
        (
            "speed",
            0.5,
            '{"code":"too_small","minimum":0.5,"type":"number","inclusive":false,"exact":false,'
            '"message":"Number must be greater than 0.5","path":["speed"]}',
        ),
        (
            "speed",
            2,
            '{"code":"too_big","maximum":2,"type":"number","inclusive":false,"exact":false,'
            '"message":"Number must be less than 2","path":["speed"]}',
        ),
        (
            "prompt",
            "a",
            '{"code":"too_small","minimum":2,"type":"string","inclusive":true,"exact":false,'
            '"message":"String must contain at least 2 character(s)","path":["prompt"]}',
        ),
        (
            "prompt",
            "a" * 2501,
            '{"code":"too_big","maximum":2500,"type":"string","inclusive":true,"exact":false,'
            '"message":"String must contain at most 2500 character(s)","path":["prompt"]}',
        ),
        (
            "masks",
            [{"x": 1}],
            '{"code":"too_small","minimum":2,"type":"array","inclusive":true,"exact":false,'
            '"message":"Array must contain at least 2 element(s)","path":["masks"]}',
        ),
        (
            "masks",
            [{"x": 1}] * 7,
            '{"code":"too_big","maximum":6,"type":"array","inclusive":true,"exact":false,'
            '"message":"Array must contain at most 6 element(s)","path":["masks"]}',
        ),
        (
            "masks",
            [{"x": 1}, {}],
            '{"code":"invalid_type","expected":"number","received":"undefined",'
            '"path":["masks",1,"x"],"message":"Required"}',
        ),
        ("image", "abcd", '{"code":"invalid_union","path":["image"],"message":"Invalid input"}'),
        ("flag", False, '{"code":"custom","path":["flag"],"message":"Invalid input"}'),
    ],
)
def test_each_rule_has_its_words(name: str, value: Any, issue: str) -> None:
    """What breaks a rule is reported as the service reports it, byte for byte."""
    payload = {**VALID, name: value}
    if value is MISSING:
        del payload[name]
    found = issues_of(violations_of(payload), {"body": payload}, CONTRACT.observed)
    assert [json.dumps(each, separators=(",", ":")) for each in found] == [issue]


def test_a_number_in_any_item_may_be_text_to_the_service() -> None:
    """The options of a field that is tolerated as text in every item of an array are texts."""
    scene = {"type": "object", "properties": {"seconds": {"type": "integer", "enum": [3, 4]}}}
    schema = {"type": "object", "properties": {"scenes": {"type": "array", "items": scene}}}
    tolerated = (Tolerated("/scenes/*/seconds", {"type": "string"}, "integer", "a choice"),)
    payload = {"scenes": [{"seconds": 3}, {"seconds": 5}]}
    violations = Validator(schema, contract=CONTRACT).validate_value(payload, "strict")
    (issue,) = issues_of(violations, {"body": payload}, replace(CONTRACT.observed, tolerated=tolerated))
    assert issue == {
        "received": "5",
        "code": "invalid_enum_value",
        "options": ["3", "4"],
        "path": ["scenes", 1, "seconds"],
        "message": "Invalid enum value. Expected '3' | '4', received '5'",
    }


def test_a_payload_that_is_no_object_has_an_issue_without_a_path() -> None:
    """The path of an issue with the whole payload is empty."""
    (issue,) = issues_of(violations_of([VALID]), {"body": [VALID]}, CONTRACT.observed)
    assert issue == {
        "code": "invalid_type",
        "expected": "object",
        "received": "array",
        "path": [],
        "message": "Expected object, received array",
    }


def test_a_missing_member_with_alternatives_is_an_invalid_union() -> None:
    """A missing member that may be one of several kinds is wrong in the way that a wrong one is."""
    schema = {"type": "object", "required": ["image"], "properties": SCHEMA["properties"]}
    violations = Validator(schema, contract=CONTRACT).validate_value({}, "strict")
    (issue,) = issues_of(violations, {"body": {}}, CONTRACT.observed)
    assert issue == {"code": "invalid_union", "path": ["image"], "message": "Invalid input"}


@pytest.mark.parametrize("contract", LISTING, ids=lambda contract: str(contract.revision))
@pytest.mark.parametrize("duration", ["4", 4])
def test_a_wrong_duration_is_refused_as_captured(contract: Contract, duration: Any) -> None:
    """The refusal of a wrong duration, as text or as a number, has the issue that was captured on 2026-01-22, to the byte."""
    (mutation,) = (each for each in MUTATIONS[contract] if each.id == "/duration:enum:4")
    body = refused(contract, {**mutation.payload, "duration": duration}).body
    options = [str(option) for option in contract.request_schema["properties"]["duration"]["enum"]]
    choice = " | ".join(f"'{option}'" for option in options)
    issue = (
        '{"received":"4","code":"invalid_enum_value","options":'
        + json.dumps(options, separators=(",", ":"))
        + f',"path":["duration"],"message":"Invalid enum value. Expected {choice}, received \'4\'"}}'
    )
    assert f'"data":[{issue}]'.encode() in body
    assert b'"error":{"name":"BadRequestException","message":"Invalid payload provided","data":' in body


def listed(contract: Contract, payload: Any) -> list[Any]:
    """Return the issues in the refusal of a payload; where these are lines, the lines."""
    envelope = json.loads(refused(contract, payload).body)
    if contract in LISTING:
        issues: list[Any] = envelope["error"]["data"]
        return issues
    header, *lines = str(envelope["message"]).split("\n")
    assert header == "Body validation error"
    return lines


@pytest.mark.parametrize("contract", REVISIONS, ids=lambda contract: str(contract.revision))
def test_every_mutation_has_an_issue(contract: Contract) -> None:
    """Each single violation is refused with one issue, which has its path and a shape of its own."""
    other = contract.observed.refusals.issues.shapes["other"].members["message"]
    for mutation in MUTATIONS[contract]:
        (issue,) = listed(contract, mutation.payload)
        if contract in LISTING:
            assert to_pointer(issue["path"]) == mutation.pointer, mutation.id
        message = issue["message"] if contract in LISTING else issue
        assert message, mutation.id
        assert message != other or mutation.rule == "anyOf", mutation.id
        assert "{" not in message, mutation.id


@given(st.data())
def test_a_refusal_has_as_many_issues_as_there_are_errors(data: st.DataObject) -> None:
    """A payload with two violations is refused with the issues of both, in the order of the payload."""
    contract = data.draw(st.sampled_from(REVISIONS))
    one, other = (data.draw(st.sampled_from(MUTATIONS[contract])) for _ in range(2))
    payload = other.onto(one.payload).payload
    found = validate(json.dumps(payload), contract=contract, strictness="strict")
    errors = [each for each in found if each.severity == "error"]
    issues = listed(contract, payload)
    assert len(issues) == len(errors)
    if contract in LISTING:
        assert [to_pointer(issue["path"]) for issue in issues] == [error.pointer for error in errors]


@given(st.sampled_from(mutations_of(SCHEMA)))
def test_every_violation_of_any_schema_has_an_issue(mutation: Mutation) -> None:
    """Under each revision there is an issue for every rule that a schema of the contract may come to have."""
    for contract in REVISIONS:
        issues = issues_of(violations_of(mutation.payload), {"body": mutation.payload}, contract.observed)
        assert [to_pointer(issue["path"]) for issue in issues] == [mutation.pointer]


@pytest.mark.parametrize("contract", LISTING, ids=lambda contract: str(contract.revision))
@pytest.mark.parametrize(
    ("times", "received", "message"), [(0, "undefined", "Required"), (2, "array", "Expected string, received array")]
)
def test_a_poll_without_one_id_has_an_issue(contract: Contract, times: int, received: str, message: str) -> None:
    """A poll that lacks the id, or has two, is told what the parameter must be."""
    (parameter,) = contract.get.query["required"]
    request = polling(contract, "any")
    url, _, query = request.url.partition("?")
    envelope = json.loads(
        FakeServer(contract=contract).handle(replace(request, url=f"{url}?{'&'.join([query] * times)}")).body
    )
    assert envelope["error"]["data"] == [
        {"code": "invalid_type", "expected": "string", "received": received, "path": [parameter], "message": message}
    ]


def test_an_unknown_model_is_told_which_there_are() -> None:
    """The options of a violation without a schema are its limit."""
    unknown = Violation("/model", "enum", "there is no such model", limit=["a", "b"])
    (issue,) = issues_of([unknown], {"body": {"model": "c"}}, CONTRACT.observed)
    assert (issue["options"], issue["message"]) == (["a", "b"], "Invalid discriminator value. Expected 'a' | 'b'")


@pytest.mark.parametrize("contract", REVISIONS, ids=lambda contract: str(contract.revision))
def test_our_own_words_are_in_a_header(contract: Contract) -> None:
    """The body has the words of the service alone; the header x-fake-reason and the journal have ours."""
    reply = refused(contract, {})
    assert b"and is required" not in reply.body
    assert "/model: model is missing, and is required" in reply.headers["x-fake-reason"]
    assert listed(contract, b"{")[0] in ("Invalid JSON", {"code": "custom", "message": "Invalid JSON", "path": []})


def test_lines_are_the_bare_sentences() -> None:
    """Before 2025-12-18 a refusal is the captured text: a header line, then a sentence for each issue."""
    contract = Contract.load("2025-04-25")
    (model,) = contract.request_schema["properties"]["model"]["enum"]
    prompt = "an orange mushroom sitting on top of a tree stump in the woods"
    wrong_model = {"model": prompt, "image_url": "https://example.com/a.png", "prompt": "a"}
    wrong_values = {"model": model, "image_url": "https://example.com/a.png", "cfg_scale": 2}
    choice = " | ".join(f"'{other}'" for other in contract.models if "image-to-video" in other)
    assert f"'{model}' | " in choice
    assert listed(contract, wrong_model) == [f"Invalid enum value. Expected {choice}, received '{prompt}'"]
    assert listed(contract, wrong_values) == ["Number must be less than or equal to 1", "Required"]
