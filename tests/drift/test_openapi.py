"""Claims about OpenAPI documents from elsewhere, in one file or several: how they are written is no change."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_contract import Contract, revisions
from kling_contract.cli import cli, main
from kling_contract.drift import ApiDocument, diff, load_document
from kling_contract.drift.openapi import DocumentSet
from kling_contract.errors import DocumentError
from kling_contract.jsontext.pointer import resolve, split


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
    written = [(change.part, change.pointer, change.kind, change.requests) for change in diff(old, saved(_as_3_0(new)))]
    assert written == [(change.part, change.pointer, change.kind, change.requests) for change in diff(old, new)]


def test_other_operations_of_a_document_are_no_change(saved: Any) -> None:
    """A revision describes two operations of a larger API: what else a document has is no change."""
    contract = Contract.load()
    document = _as_3_0(contract)
    document["paths"] = {"/v1/models": {"get": {"responses": {"200": {"description": "ok"}}}}, **document["paths"]}
    assert diff(contract, saved(document)) == []
    assert diff(saved(document), contract) == []


def test_operations_come_and_go(saved: Any) -> None:
    """An operation that only the new document has was added; one that only the old has was removed, which breaks requests."""
    document = _as_3_0(Contract.load())
    more = copy.deepcopy(document)
    more["paths"]["/v1/models"] = {"get": {"responses": {"200": {"description": "ok"}}}}
    fewer, larger = saved(document), saved(more)
    (new,) = diff(fewer, larger)
    (gone,) = diff(larger, fewer)
    assert (new.kind, new.requests, gone.kind, gone.requests) == ("added", "non-breaking", "removed", "breaking")


def test_an_operation_that_many_models_share(saved: Any) -> None:
    """A body that is one of several is compared with the one for the model; of a model without one, all are compared."""
    contract = Contract.load("latest")
    document = contract.bundled_for_model()
    body = document["components"]["schemas"]["CreateRequest"]
    other = copy.deepcopy(body)
    other["properties"]["model"]["enum"] = ["another/model"]
    other["required"] = ["model", "prompt", "seed"]
    document["components"]["schemas"] |= {"CreateRequest": {"oneOf": [other, {"allOf": [body]}]}}
    assert diff(contract, saved(document)) == diff(saved(document), contract) == []
    (back,) = diff(saved(document), saved(contract.bundled_for_model()))
    assert back.requests == "breaking"
    assert back.counterexample["model"] == "another/model"


def test_keys_media_types_and_servers_are_compared(saved: Any) -> None:
    """A key that is needed now, another media type and another host each break requests."""
    contract = Contract.load()
    document = contract.bundled()
    document["servers"] = [{"url": "https://elsewhere.example"}]
    for item in document["paths"].values():
        content = item["post"]["requestBody"]["content"]
        content["multipart/form-data"] = content.pop("application/json")
    kinds = {change.kind: change.requests for change in diff(contract, saved(document))}
    assert kinds == {"server": "breaking", "media type": "breaking"}
    without = {name: each for name, each in contract.bundled().items() if name != "security"}
    assert [change.requests for change in diff(contract, saved(without))] == ["non-breaking"]
    assert [change.requests for change in diff(saved(without), contract)] == ["breaking"]


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
def test_what_cannot_be_compared_is_refused_in_one_line(text: str, complaint: str, saved: Any, tmp_path: Path) -> None:
    """A file that is not a usable OpenAPI document is refused in one line, with its name and what is wrong."""
    with pytest.raises(DocumentError, match=re.escape(complaint)) as refused:
        diff(saved(text), saved(text))
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing file and a directory are refused by their names."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(DocumentError, match=re.escape(str(path))):
            load_document(path)


def test_an_invalid_schema_is_refused(saved: Any) -> None:
    """A schema that breaks the rules of schemas is refused in one line that names the document."""
    document = Contract.load().bundled_for_model()
    document["components"]["schemas"]["CreateRequest"]["properties"]["prompt"]["type"] = "text"
    with pytest.raises(DocumentError, match=r"document\.json") as refused:
        diff(Contract.load(), saved(document))
    assert "\n" not in str(refused.value)


def test_a_schema_within_itself_has_an_end(saved: Any) -> None:
    """A schema that refers to itself is compared as far as it goes."""
    document = Contract.load().bundled_for_model()
    document["components"]["schemas"]["Node"] = {"properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    document["components"]["schemas"]["CreateRequest"]["properties"]["node"] = {"$ref": "#/components/schemas/Node"}
    (change,) = diff(Contract.load(), saved(document))
    assert change.kind == "added"


def _pieces(revision: str) -> list[dict[str, Any]]:
    """Return the document of a revision as providers publish it: one operation a piece, without aliases."""
    whole = Contract.load(revision).bundled()
    return [
        {**whole, "paths": {path: {method: item[method]}}}
        for path, item in whole["paths"].items()
        for method in ("post", "get")
    ]


@pytest.mark.parametrize("revision", revisions())
def test_pieces_describe_the_whole(revision: str) -> None:
    """Documents with one operation each are together the same as the revision, in any order; one alone lacks an operation."""
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


def test_a_document_without_aliases_is_no_change() -> None:
    """A document of the provider that does not name an alias shows no change; one with another path does."""
    known = Contract.load("latest")
    (path,) = known.openapi["paths"]
    others = copy.deepcopy(known.bundled())
    del others["paths"][path]["x-aliases"]
    assert known.route(path)[0].paths != (path,)
    assert diff(known, ApiDocument(others, name="theirs")) == []
    others["paths"] = {f"{path}/new": others["paths"][path]}
    assert {each.kind for each in diff(known, ApiDocument(others, name="theirs"))} == {"path"}


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        ("/servers", "x", '#/servers must be an array, got "x"'),
        ("/servers/0/url", None, "#/servers/0/url must be a string, got null"),
        ("/paths", "x", '#/paths must be an object, got "x"'),
        ("/paths/~1a", None, "#/paths/~1a must be an object, got null"),
        ("/paths/~1a/post", [], "#/paths/~1a/post must be an object, got []"),
        ("/paths/~1a/x-aliases", "x", '#/paths/~1a/x-aliases must be an array, got "x"'),
        ("/paths/~1a/post/parameters", None, "#/paths/~1a/post/parameters must be an array, got null"),
        ("/paths/~1a/post/parameters/0/name", 1, "#/paths/~1a/post/parameters/0/name must be a string, got 1"),
        ("/paths/~1a/post/responses", None, "#/paths/~1a/post/responses must be an object, got null"),
        ("/paths/~1a/post/responses/200", None, "#/paths/~1a/post/responses/200 must be an object, got null"),
        ("/paths/~1a/post/requestBody", [], "#/paths/~1a/post/requestBody must be an object, got []"),
        ("/paths/~1a/post/requestBody/content", 1, "#/paths/~1a/post/requestBody/content must be an object, got 1"),
        ("/components/schemas/S/properties", [], "#/components/schemas/S/properties must be an object, got []"),
        ("/components/schemas/S/items", "x", '#/components/schemas/S/items must be an object or a boolean, got "x"'),
        ("/components/schemas/S/allOf", {}, "#/components/schemas/S/allOf must be an array, got {}"),
        ("/components/schemas/S/minimum", "1", '#/components/schemas/S/minimum must be a number, got "1"'),
        ("/components/schemas/S/pattern", "(", "schema is not a valid JSON Schema: "),
        ("/components/responses/R", {"$ref": "#/components/responses/R"}, "#/components/responses/R refers to itself"),
    ],
)
def test_a_malformed_document_is_refused_with_the_place(place: str, value: Any, complaint: str) -> None:
    """A value of the wrong type, wherever it is, is refused in one line that says what was expected there, and what was found."""
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S"}}}}
    document = {
        "openapi": "3.1.0",
        "servers": [{"url": "https://api.example"}],
        "paths": {
            "/a": {
                "x-aliases": [],
                "post": {
                    "parameters": [{"name": "q", "schema": {"type": "string"}}],
                    "requestBody": body,
                    "responses": {"200": {"$ref": "#/components/responses/R"}},
                },
            }
        },
        "components": {"schemas": {"S": {"type": "object"}}, "responses": {"R": body}},
    }
    good = ApiDocument(copy.deepcopy(document), name="good")
    assert diff(good, good) == []
    parent, _, name = place.rpartition("/")
    holder = resolve(document, parent)
    holder[int(name) if isinstance(holder, list) else split(f"/{name}")[0]] = value
    with pytest.raises(DocumentError) as refused:
        diff(good, ApiDocument(document, name="bad.json"))
    assert str(refused.value).startswith("bad.json: ")
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a document: the object or array that holds a value, and the value's name or index."""
    for name, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield node, name
        yield from _places(value)


@settings(max_examples=100)
@given(st.data())
def test_no_malformed_document_is_a_crash(data: st.DataObject) -> None:
    """With any value at any place, a document is compared, or refused in one line."""
    known = Contract.load("latest")
    document = copy.deepcopy(known.bundled_for_model())
    for _ in range(data.draw(st.integers(1, 3))):
        holder, name = data.draw(st.sampled_from(list(_places(document))))
        holder[name] = data.draw(
            st.sampled_from([None, True, 0, -1.5, "x", [], {}, [None], ["x"], {"x": None}, {"$ref": "#"}])
        )
    complaint = "theirs: nothing"
    try:
        theirs = ApiDocument(document, name="theirs")
        diff(known, theirs)
        diff(theirs, known)
    except DocumentError as refused:
        complaint = str(refused)
    assert complaint.startswith("theirs: ")
    assert "\n" not in complaint


def test_the_command_refuses_a_malformed_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command reports a malformed file in one line with its name and the place, and exits with 2."""
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**Contract.load().bundled(), "servers": "x"}))
    monkeypatch.setattr(sys, "argv", ["kling-contract", "diff", "latest", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f'{path}: #/servers must be an array, got "x"')
