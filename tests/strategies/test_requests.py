"""Claims about strategies: what they draw is valid, covers everything the documents allow, and shrinks to very little."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jsonschema_rs import Draft202012Validator

from kling_contract import Contract, Timeline, revisions, validate
from kling_contract.mutations import mutations
from kling_contract.schema_values.rules import bounds, enum_values, resolve, types
from kling_contract.strategies import error_bodies, generations, invalid_requests, matching, timelines, valid_requests
from tests.support.referee import referee
from tests.support.small_schemas import SCHEMAS

BUSY = settings(suppress_health_check=[HealthCheck.too_slow])
SHRINK = settings(BUSY, database=None, max_examples=2000, phases=[Phase.generate, Phase.shrink])
REACH = settings(SHRINK, phases=[Phase.generate])
EACH_REVISION = pytest.mark.parametrize("revision", revisions())


def _holds(schema: Any, value: Any) -> bool:
    """Return whether both validators find the value valid."""
    return Draft202012Validator(schema, validate_formats=True).is_valid(value) and not referee(schema)(value)


def _facts(rules: Any, value: Any, at: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield what a drawn value reaches of what its schema allows: members, listed values, ends of ranges, lengths of arrays."""
    listed = enum_values(rules)
    if listed is not None:
        yield at, "is", value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield f"{at}/{name}", "is there", True
            yield from _facts(rules["properties"][name], member, f"{at}/{name}")
    elif isinstance(value, list):
        yield at, "has", len(value)
        for item in value:
            yield from _facts(rules["items"], item, f"{at}/0")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield at, "is", value


def _expected(rules: Any, at: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield all that has to be reached."""
    for value in enum_values(rules) or []:
        yield at, "is", value
    for name, member in rules.get("properties", {}).items():
        yield f"{at}/{name}", "is there", True
        yield from _expected(member, f"{at}/{name}")
    if "items" in rules:
        yield from _expected(rules["items"], f"{at}/0")
        yield from ((at, "has", rules[limit]) for limit in ("minItems", "maxItems") if limit in rules)
        yield from [] if rules.get("minItems") else [(at, "has", 0)]
    for end in bounds(rules, "number" if "number" in types(rules) else "integer"):
        if end is not None:
            yield at, "is", end


def _draw_all(strategy: SearchStrategy[Any], missing: set[Any], found: Callable[[Any], Iterable[Any]]) -> None:
    """Draw until nothing is missing, and fail if something still is after 3,000 examples.

    In rounds, since Hypothesis tries several variations of an example before it turns to another.
    """
    assert missing
    for number in range(20):

        @seed(number)
        @settings(REACH, max_examples=150)
        @given(strategy)
        def draw(drawn: Any) -> None:
            missing.difference_update(found(drawn))

        draw()
        if not missing:
            return
    pytest.fail(f"never drawn: {missing}")


def _reaches(drawn: SearchStrategy[Any], wanted: Callable[[Any], bool]) -> None:
    """Fail unless something is drawn that is as wanted."""
    find(drawn, wanted, settings=REACH)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


@EACH_REVISION
@settings(BUSY, max_examples=60)
@given(data=st.data())
def test_valid_requests_are_valid(revision: str, data: st.DataObject) -> None:
    """Each is valid to the letter, for a second validator too; it has no undeclared member, and it can be sent."""
    payload = data.draw(valid_requests(revision=revision))
    judged = validate(payload, revision=revision, strictness="strict")
    assert {each.rule for each in judged} <= {"deprecated", "guideline"}
    assert _holds(Contract.load(revision).request_schema, payload)
    assert json.loads(json.dumps(payload, ensure_ascii=False).encode()) == payload


@EACH_REVISION
def test_valid_requests_reach_everything(revision: str) -> None:
    """Every member, every listed value, both ends of every range and the limits of every array come up."""
    rules = resolve(Contract.load(revision).request_schema)
    _draw_all(valid_requests(revision=revision), set(_expected(rules)), lambda drawn: _facts(rules, drawn))


@EACH_REVISION
def test_valid_requests_shrink_to_what_is_needed(revision: str) -> None:
    """The simplest payload with a certain member holds that, the required ones and no more, and its texts are short."""
    schema = Contract.load(revision).request_schema
    required = set(schema["required"])
    for name in schema["properties"]:
        simplest = find(valid_requests(revision=revision), lambda drawn, name=name: name in drawn, settings=SHRINK)  # type: ignore[misc]
        assert set(simplest) == required | {name}
        assert max(map(len, _texts(simplest))) < 50


@pytest.mark.parametrize(("least", "most"), [(0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF)])
def test_texts_are_of_all_of_unicode(least: int, most: int) -> None:
    """Characters of one byte, of two and three, and beyond the basic plane are drawn."""
    _reaches(valid_requests(), lambda payload: any(least <= ord(c) <= most for c in "".join(_texts(payload))))


def test_images_are_links_and_real_pictures() -> None:
    """An image is a link to somewhere, or a data URI that holds a PNG: whole chunks, right checksums, all its pixels."""

    def kind(text: str) -> list[str]:
        head, comma, body = text.partition(",")
        if not head.startswith("data:"):
            return [text.partition(":")[0].lower()]
        assert comma
        _check_png(base64.b64decode(body, validate=True))
        return [head]

    _draw_all(matching({"type": "string", "format": "uri"}), {"https", "http", "data:image/png;base64"}, kind)


def _check_png(data: bytes) -> None:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + content),)
        chunks[kind] = content
        at += length + 12
    width, height, depth, colours = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert (depth, colours) == (8, 2)
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + 3 * width)
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]


@EACH_REVISION
@settings(BUSY, max_examples=60)
@given(data=st.data())
def test_invalid_requests_have_the_violation_they_name(revision: str, data: st.DataObject) -> None:
    """Both validators find one error in each, with the pointer and the rule named."""
    case = data.draw(invalid_requests(revision=revision))
    judged = validate(case.payload, revision=revision, strictness="strict")
    assert [(e.pointer, e.rule) for e in judged if e.severity == "error"] == [(case.pointer, case.rule)]
    assert referee(Contract.load(revision).request_schema)(case.payload) == [(case.pointer, case.rule)]


def test_invalid_requests_break_every_rule() -> None:
    """Every rule of the catalogue is broken by what is drawn, at every depth."""
    missing = {case.rule for case in mutations()} | {case.pointer.count("/") for case in mutations()}
    _draw_all(invalid_requests(), missing, lambda case: (case.rule, case.pointer.count("/")))


@pytest.mark.parametrize("rule", sorted({case.rule for case in mutations()}))
def test_invalid_requests_shrink_to_what_the_violation_needs(rule: str) -> None:
    """The simplest payload that breaks a rule holds the required members, the broken one, and nothing else."""
    simplest = find(invalid_requests(), lambda case: case.rule == rule, settings=SHRINK)
    least = next(case for case in mutations() if case.id == simplest.id)
    assert simplest.rule == rule
    assert (simplest.pointer, _names(simplest.payload)) == (least.pointer, _names(least.payload))


def _names(payload: Any) -> Any:
    return sorted(payload) if isinstance(payload, dict) else payload


@EACH_REVISION
@settings(BUSY, max_examples=60)
@given(data=st.data())
def test_generations_are_valid_and_as_observed(revision: str, data: st.DataObject) -> None:
    """A drawn generation is valid; it has the members recorded for its status, and none of those of other statuses alone."""
    contract = Contract.load(revision)
    status = data.draw(st.sampled_from(contract.lifecycle.statuses))
    generation = data.draw(generations(status, contract=contract))
    assert generation["status"] == status
    assert _holds(contract.generation_schema, generation)
    shapes = contract.observed.answers.get
    shown = set(shapes[status])
    assert all(generation[name] is not None for name in shown)
    others = {name for shape in shapes.values() for name in shape} - shown
    assert all(generation.get(name) is None for name in others)


def test_what_may_not_be_null_is_left_out() -> None:
    """Where a document does not allow null, a member of another status's response is absent."""
    known = Contract.load()
    documents = {name: known.document(name) for name in ("openapi.json", "observed.json", *known.schemas)}
    shapes = documents["observed.json"]["answers"]["get"]
    waiting = known.lifecycle.initial
    elsewhere = {name for shape in shapes.values() for name in shape} - set(shapes[waiting])
    for name in elsewhere:
        documents["generation.schema.json"]["properties"][name] = {"type": "object"}
    strict = Contract(documents)

    @settings(BUSY, max_examples=50)
    @given(generations(waiting, contract=strict))
    def draw(generation: Any) -> None:
        assert not elsewhere & set(generation)

    assert elsewhere
    draw()


@EACH_REVISION
def test_generations_come_in_every_status(revision: str) -> None:
    """Without a status asked for, each declared one is drawn; one that is not declared is refused by name."""
    statuses = Contract.load(revision).lifecycle.statuses
    _draw_all(generations(revision=revision), set(statuses), lambda drawn: [drawn["status"]])
    with pytest.raises(ValueError, match=f"'lost' is not a status of {revision}.*{statuses[-1]}"):
        generations("lost", revision=revision)


@EACH_REVISION
@settings(BUSY, max_examples=40)
@given(data=st.data())
def test_error_bodies_are_valid(revision: str, data: st.DataObject) -> None:
    """Drawn error bodies are valid under the error schema of their revision."""
    assert _holds(Contract.load(revision).error_schema, data.draw(error_bodies(revision=revision)))


@EACH_REVISION
@settings(BUSY, max_examples=60)
@given(data=st.data())
def test_timelines_follow_the_graph(revision: str, data: st.DataObject) -> None:
    """A drawn timeline begins as every generation does, moves along declared edges, and comes to an end."""
    lifecycle = Contract.load(revision).lifecycle
    timeline: Timeline = data.draw(timelines(revision=revision))
    statuses = [step.status for step in timeline.steps]
    assert statuses[0] == lifecycle.initial
    assert all(lifecycle.allows(*pair) for pair in pairwise(statuses))
    assert lifecycle.is_final(timeline.final.status)


def test_timelines_take_every_edge() -> None:
    """Each edge of the graph is taken by some timeline."""
    edges = {(a, b) for a, following in Contract.load().lifecycle.transitions.items() for b in following}
    _draw_all(timelines(), edges, lambda drawn: ((a.status, b.status) for a, b in pairwise(drawn.steps)))


@BUSY
@given(st.data())
def test_it_works_for_any_schema(data: st.DataObject) -> None:
    """For any supported schema, both validators find what is drawn valid: no rule is written in Python."""
    schema = data.draw(SCHEMAS)
    assert _holds(schema, data.draw(matching(schema)))


@pytest.mark.parametrize("kind", [type(None), bool, int, float, str, list, dict])
def test_any_json_is_drawn_where_anything_goes(kind: type) -> None:
    """A schema without rules yields every type of JSON, and one of an object without members any members."""
    _reaches(matching(True), lambda value: type(value) is kind)
    _reaches(matching({"type": "object"}), lambda value: any(type(member) is kind for member in value.values()))
