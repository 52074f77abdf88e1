"""Claims about what changed: verdicts are those that a person reads off the documents, and values prove them."""

from __future__ import annotations

import copy
import functools
import json
import re
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_contract import Contract, revisions, validate
from kling_contract.cli import cli
from kling_contract.contract.documents import FIXTURES, SCHEMAS, read_json
from kling_contract.drift import Change, breaks, diff
from kling_contract.drift.changes import VERDICTS, load_document
from kling_contract.drift.document_set import DocumentSet
from kling_contract.drift.openapi import ApiDocument
from kling_contract.drift.report import as_json, as_markdown, as_text
from kling_contract.drift.schema_changes import Difference, differences
from kling_contract.errors import DocumentError
from kling_contract.strategies import matching, valid_requests

YARDSTICK = sorted((FIXTURES / "drift").glob("*.json"))
PAIRS = list(permutations(revisions(), 2))


@functools.cache
def _between(old: str, new: str) -> list[Change]:
    return diff(Contract.load(old), Contract.load(new))


def _key(change: Change) -> tuple[str, str, str]:
    return change.part, change.pointer, change.kind


# ------------------------------------------------------------------ the revisions


def test_there_is_a_yardstick_for_every_step() -> None:
    """Each revision has been set against the one before it by hand."""
    known = [(read_json(path)["old"], read_json(path)["new"]) for path in YARDSTICK]
    assert known == list(pairwise(revisions()))


@pytest.mark.parametrize("path", YARDSTICK, ids=lambda path: path.stem)
def test_verdicts_are_those_of_the_yardstick(path: Path) -> None:
    """Every change that was read off the documents by hand is found, with its verdict, and nothing else breaks anybody."""
    expected = read_json(path)
    found = {_key(change): change for change in _between(expected["old"], expected["new"])}
    listed = {(each["part"], each["pointer"], each["kind"]): each for each in expected["changes"]}
    for key, each in listed.items():
        assert key in found
        assert (found[key].senders, found[key].readers) == (each.get("senders"), each.get("readers"))
    grave = {key for key, change in found.items() if change.worst in ("breaking", "breaking if strict")}
    assert grave <= set(listed)


@pytest.mark.parametrize("revision", revisions())
def test_nothing_changes_by_itself(revision: str) -> None:
    """A revision set against itself shows no change."""
    assert _between(revision, revision) == []


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_witnesses_prove_what_breaks_senders(old: str, new: str) -> None:
    """A change that breaks senders shows a request that was fine: it is refused now, or a field of it is unknown now."""
    shown = [change for change in _between(old, new) if change.part == "request" and change.senders != "non-breaking"]
    for change in shown:
        if any(each.kind == "renamed" and _covers(_now(each), change.pointer) for each in shown):
            continue  # what else changed in a renamed field is met by whoever knows its new name
        assert not _errors(change.witness, old)
        after = validate(change.witness, revision=new, strictness="strict")
        if change.kind in ("removed", "renamed"):
            assert any(v.rule == "undeclared" and _covers(change.pointer, v.pointer) for v in after)
        else:
            assert any(v.severity == "error" and _covers(change.pointer, v.pointer) for v in after)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(PAIRS))
def test_nothing_else_breaks_senders(data: st.DataObject, pair: tuple[str, str]) -> None:
    """Whatever is refused now of what was fine before, is refused where a change says that it breaks senders."""
    old, new = pair
    breaking = [change for change in _between(old, new) if change.senders == "breaking"]
    told = [_now(change) for change in breaking]
    payload = data.draw(valid_requests(revision=old))
    for violation in validate(payload, revision=new, strictness="strict"):
        if violation.severity == "error":
            assert any(_covers(pointer, violation.pointer) for pointer in told)


def _errors(payload: Any, revision: str) -> list[Any]:
    return [v for v in validate(payload, revision=revision, strictness="strict") if v.severity == "error"]


def _covers(changed: str, violated: str) -> bool:
    """Is a violation at or below where something changed? "*" is any item."""
    return (re.sub(r"/\d+(?=/|$)", "/*", violated) + "/").startswith(changed + "/")


def _now(change: Change) -> str:
    return change.pointer.rpartition("/")[0] + f"/{change.now}" if change.kind == "renamed" else change.pointer


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_path_breaks_senders_when_it_is_not_served_any_more(old: str, new: str) -> None:
    """Another path is a change, and a break unless the old one still leads to the operation."""
    before, after = Contract.load(old), Contract.load(new)
    found = [change for change in diff(before, after) if change.kind == "path"]
    paths = {operation.path for operation in before.operations.values()}
    moved = paths != {operation.path for operation in after.operations.values()}
    assert bool(found) is moved
    for change in found:
        assert change.operations == tuple(before.operations)
        assert (change.senders == "non-breaking") is all(after.route(path) for path in paths)


def test_a_tolerated_value_breaks_only_strict_servers() -> None:
    """Where the service is known to take the old values still, a narrower type breaks only whoever it refuses."""
    new = Contract.load()
    tolerated = new.observed.tolerated[0]
    name = tolerated.pointer.removeprefix("/")
    document = new.bundled()
    document["components"]["schemas"]["CreateRequest"]["properties"][name] = {"type": "string"}
    old = ApiDocument(document, name="before")
    (change,) = [each for each in diff(old, new) if each.kind == "type"]
    assert change.senders == "breaking if strict"
    assert change.witness[name] in tolerated.schema["enum"]
    (reverse,) = [each for each in diff(new, old) if each.kind == "type"]
    assert reverse.senders == "breaking"


# ------------------------------------------------------------------ any two schemas

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


def _judge(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


@given(st.data(), _SCHEMAS, _SCHEMAS)
def test_no_break_means_that_everything_fits(data: st.DataObject, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Where nothing breaks senders, what the old schema allows the new one does; for readers it is the other way round."""
    for reading, giver, taker in ((False, old, new), (True, new, old)):
        found = differences(old, new, reading=reading)
        value = data.draw(matching(giver))
        if not any(each.verdict == "breaking" for each in found):
            assert _judge(taker).is_valid(value)


@given(_SCHEMAS, _SCHEMAS)
def test_a_break_means_that_something_does_not_fit(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Each break of senders has a witness, which fits the old schema and not the new one, or names what it no longer knows."""
    for each in differences(old, new):
        if each.verdict == "breaking":
            assert _judge(old).is_valid(each.witness)
            assert each.rule == "renamed" or not _judge(new).is_valid(each.witness)


def _nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    found = [schema]
    for child in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        found.extend(_nodes(child))
    return found


def _edits(node: dict[str, Any]) -> list[tuple[str, dict[str, Any], str, str]]:
    """Return what can be done to a node: the rule, its members after it, and what that means for senders and for readers."""
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
    """Of a schema with one rule edited exactly that rule is reported, with the verdicts that the edit is known to have."""
    new = json.loads(json.dumps(old))
    nodes = _nodes(new)
    node = nodes[data.draw(st.integers(0, len(nodes) - 1))]
    edits = _edits(node)
    if not edits:
        assert {"type", "anyOf"} & set(node)
        return
    rule, members, senders, readers = data.draw(st.sampled_from(edits))
    node.update(members)
    for reading, verdict in ((False, senders), (True, readers)):
        found = differences(old, new, reading=reading)
        assert [(each.rule, each.verdict) for each in found] == [(rule, verdict)]


def test_alternatives_left_over_are_weighed() -> None:
    """An alternative that is gone breaks senders unless another takes all that it allowed; for readers, one that is added."""
    wide, low = {"type": "integer", "maximum": 9}, {"type": "integer", "maximum": 5}
    text = {"type": "string", "minLength": 2}
    assert _only({"anyOf": [wide, low]}, wide).verdict == "non-breaking"
    assert _only(wide, {"anyOf": [wide, low]}, reading=True).verdict == "non-breaking"
    assert _only({"anyOf": [wide, low]}, low).witness == 6
    assert _only(low, {"anyOf": [wide, low]}, reading=True).verdict == "breaking"
    gone = _only({"anyOf": [wide, text]}, wide)
    assert (gone.rule, gone.verdict, gone.witness) == ("type", "breaking", "aa")


def _only(old: Any, new: Any, **options: Any) -> Difference:
    (found,) = differences(old, new, **options)
    return found


@pytest.mark.parametrize(
    ("old", "new", "senders", "readers"),
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
def test_rules_that_no_random_schema_has(old: Any, new: Any, senders: str, readers: str) -> None:
    """Each rule is weighed by the values that it lets through; one that nobody can weigh is called breaking."""
    assert _only(old, new).verdict == senders
    assert _only(old, new, reading=True).verdict == readers


def test_rules_that_mean_the_same_are_no_change() -> None:
    """The order of listed values and types, and an explicit permission of unknown members, change nothing."""
    assert (
        differences({"enum": [1, 2], "type": ["integer", "null"]}, {"enum": [2, 1], "type": ["null", "integer"]}) == []
    )
    assert differences({"type": "object"}, {"type": "object", "additionalProperties": True}) == []


def test_a_free_object_that_gets_a_shape_breaks_its_readers() -> None:
    """Whoever read members that nobody declared cannot know that they are still there."""
    shaped = {"type": "object", "properties": {"name": {"type": "string"}}}
    assert _only({}, shaped, reading=True).verdict == "breaking"
    assert _only({"type": "object"}, shaped, reading=True).rule == "shape"


# ------------------------------------------------------------------ documents from elsewhere


def _as_3_0(contract: Contract) -> dict[str, Any]:
    """Return a revision as a generator of OpenAPI 3.0 would write it: nullable, no operation ids, references within."""

    def rewritten(node: Any) -> Any:
        if isinstance(node, list):
            return [rewritten(each) for each in node]
        if not isinstance(node, dict):
            return node
        plain = {name: rewritten(each) for name, each in node.items() if name not in ("operationId", "links")}
        if isinstance(plain.get("type"), list) and "null" in plain["type"]:
            (kind,) = [each for each in plain["type"] if each != "null"]
            plain |= {"type": kind, "nullable": True}
        return plain

    return {**rewritten(contract.bundled()), "openapi": "3.0.0"}


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """Save a document, and return what is read back."""

    def save(document: Any) -> ApiDocument:
        path = tmp_path / "document.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return load_document(path)

    return save


@pytest.mark.parametrize("revision", [each for each in revisions() if each != "2026-08-30"])
def test_how_a_document_is_written_is_no_change(revision: str, saved: Any) -> None:
    """The same contract written as OpenAPI 3.0 shows no change, in either direction."""
    contract = Contract.load(revision)
    foreign = saved(_as_3_0(contract))
    assert diff(contract, foreign) == []
    assert diff(foreign, contract) == []


def test_a_document_shows_what_revisions_show(saved: Any) -> None:
    """Read from a file, a revision's document differs from another revision as the revision itself does."""
    old, new = (Contract.load(each) for each in revisions()[:2])
    written = [(change.part, change.pointer, change.kind, change.senders) for change in diff(old, saved(_as_3_0(new)))]
    assert written == [(change.part, change.pointer, change.kind, change.senders) for change in diff(old, new)]


def test_other_operations_of_a_document_are_not_held_against_it(saved: Any) -> None:
    """A revision describes two operations of a larger API: what else a document has is no change."""
    contract = Contract.load()
    document = _as_3_0(contract)
    document["paths"] = {"/v1/models": {"get": {"responses": {"200": {"description": "ok"}}}}, **document["paths"]}
    assert diff(contract, saved(document)) == []
    assert diff(saved(document), contract) == []


def test_operations_come_and_go(saved: Any) -> None:
    """An operation that only the new document has is new; one that only the old has breaks whoever calls it."""
    document = _as_3_0(Contract.load())
    more = copy.deepcopy(document)
    more["paths"]["/v1/models"] = {"get": {"responses": {"200": {"description": "ok"}}}}
    fewer, larger = saved(document), saved(more)
    (new,) = diff(fewer, larger)
    (gone,) = diff(larger, fewer)
    assert (new.kind, new.senders, gone.kind, gone.senders) == ("added", "non-breaking", "removed", "breaking")


def test_an_operation_that_many_models_share(saved: Any) -> None:
    """A body that is one of several is set against the one that is nearest, and the others break no sender."""
    contract = Contract.load("latest")
    document = contract.bundled()
    body = document["components"]["schemas"]["CreateRequest"]
    other = copy.deepcopy(body)
    other["properties"]["model"]["enum"] = ["another/model"]
    other["required"] = ["model", "prompt", "seed"]
    document["components"]["schemas"] |= {"CreateRequest": {"oneOf": [other, {"allOf": [body]}]}}
    changes = diff(contract, saved(document))
    assert not breaks(changes)
    assert [(change.kind, change.senders) for change in changes] == [("alternatives", "non-breaking")]
    (back,) = diff(saved(document), contract)
    assert back.senders == "breaking"
    assert back.witness["model"] == "another/model"


def test_keys_media_types_and_servers_are_compared(saved: Any) -> None:
    """A key that is needed now, another media type and another host each break senders."""
    contract = Contract.load()
    document = contract.bundled()
    document["servers"] = [{"url": "https://elsewhere.example"}]
    for item in document["paths"].values():
        content = item["post"]["requestBody"]["content"]
        content["multipart/form-data"] = content.pop("application/json")
    kinds = {change.kind: change.senders for change in diff(contract, saved(document))}
    assert kinds == {"server": "breaking", "media type": "breaking"}
    without = {name: each for name, each in contract.bundled().items() if name != "security"}
    assert [change.senders for change in diff(contract, saved(without))] == ["non-breaking"]
    assert [change.senders for change in diff(saved(without), contract)] == ["breaking"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ("openapi: 3.1.0\n", "YAML"),
        ("[]", "OpenAPI"),
        ("{}", "OpenAPI"),
        ('{"swagger": "2.0", "paths": {"/a": {}}}', "Swagger 2.0"),
        ('{"openapi": "3.1.0"}', "no paths"),
        (
            '{"openapi": "3.1.0", "paths": {"/a": {"get": {"requestBody": {"$ref": "#/components/x"}}}}}',
            "#/components/x",
        ),
        ('{"openapi": "3.1.0", "paths": {"/a": {"get": {"requestBody": {"$ref": "other.json"}}}}}', "other.json"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(text: str, complaint: str, saved: Any, tmp_path: Path) -> None:
    """A file that is no usable OpenAPI document is refused by its name, with what is wrong, in one line."""
    with pytest.raises(DocumentError, match=re.escape(complaint)) as refused:
        diff(saved(text), saved(text))
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing file and a directory are refused by their names."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(DocumentError, match=re.escape(str(path))):
            load_document(path)


def test_a_schema_that_is_none_is_refused(saved: Any) -> None:
    """A schema that breaks the rules of schemas is refused in one line that names the document."""
    document = Contract.load().bundled()
    document["components"]["schemas"]["CreateRequest"]["properties"]["prompt"]["type"] = "text"
    with pytest.raises(DocumentError, match=r"document\.json") as refused:
        diff(Contract.load(), saved(document))
    assert "\n" not in str(refused.value)


def test_a_schema_within_itself_has_an_end(saved: Any) -> None:
    """A schema that refers to itself is compared as far as it goes."""
    document = Contract.load().bundled()
    document["components"]["schemas"]["Node"] = {"properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    document["components"]["schemas"]["CreateRequest"]["properties"]["node"] = {"$ref": "#/components/schemas/Node"}
    (change,) = diff(Contract.load(), saved(document))
    assert change.kind == "added"


# ------------------------------------------------------------------ what is shown


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_every_change_is_shown(old: str, new: str) -> None:
    """Text, Markdown and JSON hold every change, the worst first, and JSON every field of it."""
    changes = _between(old, new)
    whole = json.loads(as_json(changes, old=old, new=new))
    assert (whole["old"], whole["new"], whole["breaks"]) == (old, new, breaks(changes))
    fields = list(Change.__dataclass_fields__)
    listed = [{**each, "operations": tuple(each["operations"])} for each in whole["changes"]]
    assert all(list(each) == fields for each in listed)
    ranks = [(*VERDICTS, None).index(Change(**each).worst) for each in listed]
    assert ranks == sorted(ranks)
    assert len(listed) == len(changes)
    assert all(Change(**each) in changes for each in listed)
    text, table = as_text(changes, old=old, new=new), as_markdown(changes, old=old, new=new)
    assert all(change.sentence in text for change in changes)
    assert table.count("\n| ") == len(changes) + 1


def test_no_change_is_said_too() -> None:
    """Where nothing changed, each form says so, and nothing breaks."""
    assert not breaks([])
    assert "nothing changed" in as_text([], old="a", new="b")
    assert "nothing changed" in as_markdown([], old="a", new="b").lower()
    assert json.loads(as_json([], old="a", new="b"))["changes"] == []


def test_a_sentence_cannot_break_the_table() -> None:
    """A vertical bar or a line break in a document does not end a cell."""
    change = Change(("op",), "request", "/a|b", "enum", "x|y", "z", "breaking", None, "a|b\nc")
    (row,) = [line for line in as_markdown([change], old="a", new="b").splitlines() if "a\\|b" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 5


def test_the_documents_are_left_as_they_are() -> None:
    """Comparing changes nothing in what is compared."""
    before = {each: read_json(SCHEMAS / each / "create-request.schema.json") for each in revisions()}
    for old, new in PAIRS:
        _between(old, new)
    assert all(Contract.load(each).request_schema == schema for each, schema in before.items())


# ------------------------------------------------------------------ documents in pieces


def _pieces(revision: str) -> list[dict[str, Any]]:
    """Return the document of a revision as providers publish it: one operation a piece, and no word of aliases."""
    whole = Contract.load(revision).bundled()
    return [
        {**whole, "paths": {path: {method: item[method]}}}
        for path, item in whole["paths"].items()
        for method in ("post", "get")
    ]


@pytest.mark.parametrize("revision", revisions())
def test_pieces_describe_the_whole(revision: str) -> None:
    """Operation by operation, in whichever order, documents say together what the revision does; one alone leaves a gap."""
    known = Contract.load(revision)
    pieces = [ApiDocument(each, name=f"piece {i}") for i, each in enumerate(_pieces(revision))]
    assert diff(known, DocumentSet(pieces)) == diff(known, DocumentSet(pieces[::-1])) == []
    assert [each.kind for each in diff(known, DocumentSet(pieces[:1]))] == ["removed"]
    assert diff(DocumentSet(pieces), ApiDocument(known.bundled(), name="whole")) == []


def test_an_operation_is_in_one_piece_only() -> None:
    """Two documents that describe the same operation are refused, both by name."""
    create, poll = (ApiDocument(each, name=name) for each, name in zip(_pieces("latest"), ("one", "two"), strict=True))
    with pytest.raises(DocumentError, match=r"POST /\S+ is in one and in one"):
        DocumentSet([create, poll, ApiDocument(_pieces("latest")[0], name="one")])


def test_the_command_takes_pieces(tmp_path: Path) -> None:
    """Several files are compared as one; a revision among them is a mistake."""
    names = []
    for i, piece in enumerate(_pieces("latest")):
        (tmp_path / f"{i}.json").write_text(json.dumps(piece))
        names.append(str(tmp_path / f"{i}.json"))

    def code(*arguments: str) -> int:
        return CliRunner().invoke(cli, ["diff", *arguments]).exit_code

    assert code("latest", *names) == 0
    assert code("latest", names[0]) == 1
    assert code("latest", names[0], "latest") == 2
    assert code("latest") == 2


def test_aliases_are_no_matter_of_others() -> None:
    """That a provider's document does not name an alias says nothing; that it has another path does."""
    known = Contract.load("latest")
    (path,) = known.openapi["paths"]
    others = copy.deepcopy(known.bundled())
    del others["paths"][path]["x-aliases"]
    assert known.route(path)[0].paths != (path,)
    assert diff(known, ApiDocument(others, name="theirs")) == []
    others["paths"] = {f"{path}/new": others["paths"][path]}
    assert {each.kind for each in diff(known, ApiDocument(others, name="theirs"))} == {"path"}
