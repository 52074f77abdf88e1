"""Claims about reading a revision: how one is chosen, and what is read off its documents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kling_contract import Contract, revisions
from kling_contract.contract import REVISION_VARIABLE, Revision
from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.errors import DocumentError, KlingError, UnknownRevision

DEFAULT = read_json(SCHEMAS / "index.json")["default"]


@pytest.fixture(autouse=True)
def _nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REVISION_VARIABLE, raising=False)


@pytest.fixture(params=revisions())
def contract(request: pytest.FixtureRequest) -> Contract:
    """Each revision in turn."""
    return Contract.load(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the default revision's documents, to be changed."""
    return Path(shutil.copytree(SCHEMAS / DEFAULT, tmp_path / DEFAULT))


def test_revisions_are_listed_by_date() -> None:
    """The revisions are the folders of the documents, oldest first, each called what it calls itself."""
    assert list(revisions()) == sorted(path.name for path in SCHEMAS.iterdir() if path.is_dir())
    assert [Contract.load(each).revision.id for each in revisions()] == list(revisions())


def test_the_default_is_a_document_s_choice() -> None:
    """Whoever names no revision gets the one that the index names."""
    assert Contract.load().revision.id == DEFAULT


def test_latest_is_the_newest_published() -> None:
    """ "latest" passes over what the provider did not publish itself, however new it is."""
    published = [each for each in revisions() if Contract.load(each).revision.published]
    assert Contract.load("latest").revision.id == published[-1]
    assert published != list(revisions())


def test_the_environment_chooses_where_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variable replaces the default, and gives way to an argument; empty, it says nothing."""
    first, last = revisions()[0], revisions()[-1]
    monkeypatch.setenv(REVISION_VARIABLE, last)
    assert Contract.load().revision.id == last
    assert Contract.load(first).revision.id == first
    monkeypatch.setenv(REVISION_VARIABLE, "latest")
    assert Contract.load() is Contract.load("latest")
    monkeypatch.setenv(REVISION_VARIABLE, "")
    assert Contract.load().revision.id == DEFAULT


@pytest.mark.parametrize("asked", ["2025", "../" + DEFAULT, "LATEST", " "])
def test_an_unknown_revision_lists_what_there_is(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision that is not there is refused by name, whoever asked, with a list of those that are."""
    monkeypatch.setenv(REVISION_VARIABLE, asked)
    for argument in (asked, None):
        with pytest.raises(UnknownRevision) as refused:
            Contract.load(argument)
        assert refused.value.asked == asked
        assert refused.value.known == revisions()
        assert all(name in str(refused.value) for name in (asked, *revisions(), "latest"))
    assert issubclass(UnknownRevision, KlingError)


def test_a_revision_is_read_once() -> None:
    """Asking for a revision again gives the same contract, and asking which there are the same list."""
    assert revisions() is revisions()
    assert Contract.load(DEFAULT) is Contract.load(DEFAULT)


def test_operations_are_what_the_document_says(contract: Contract) -> None:
    """Method, path, success and body of each operation stand in the OpenAPI document, and nowhere else."""
    seen = []
    for path, item in contract.openapi["paths"].items():
        for method, document in item.items():
            if method.startswith("x-"):
                continue
            if path not in contract.create.paths:
                continue  # another model's
            operation = contract.operations[document["operationId"]]
            seen.append(operation.id)
            assert (operation.method.lower(), operation.path) == (method, path)
            assert operation.paths == (path, *item.get("x-aliases", ()))
            assert [status for status in operation.responses if 200 <= status < 300] == [operation.success]
            assert {str(status) for status in operation.responses} == set(document["responses"])
            assert operation.request == (contract.request_schema if "requestBody" in document else None)
            assert operation.responses[operation.success] == contract.generation_schema
            assert all(
                schema == contract.error_schema for status, schema in operation.responses.items() if status >= 400
            )
    assert seen == list(contract.operations)
    assert contract.get.query["required"] == ["generation_id"]


def test_every_path_leads_to_the_same_operations(contract: Contract) -> None:
    """An alias is as good as the documented path, and nothing else leads anywhere."""
    for operation in contract.operations.values():
        assert operation.path == operation.paths[0]
        for path in operation.paths:
            assert operation in contract.route(path)
            assert contract.route(path) == contract.route(operation.path)
            assert contract.route(path + "/") == contract.route(path[:-1]) == []


def test_the_old_path_outlives_the_new_one() -> None:
    """A path that was documented once leads to the operation in every later revision."""
    paths: set[str] = set()
    for each in revisions():
        paths |= {operation.path for operation in Contract.load(each).operations.values()}
        assert all(Contract.load(each).route(path) for path in paths)
    assert len(paths) > 1


def test_a_bundle_stands_alone(contract: Contract) -> None:
    """In the bundle each schema is a component, whole, and nothing else is referred to; the original stays."""
    before = json.dumps(contract.openapi)
    bundle = contract.bundled()
    components = bundle["components"]["schemas"]
    bodies = {
        json.dumps({k: v for k, v in schema.items() if k != "$schema"}, sort_keys=True)
        for schema in contract.schemas.values()
    }
    assert {json.dumps(component, sort_keys=True) for component in components.values()} == bodies
    refs = [line for line in json.dumps(bundle, indent=0).splitlines() if '"$ref"' in line]
    assert refs
    assert all('"#/components/' in line for line in refs)
    assert json.dumps(contract.openapi) == before


def test_references_inside_a_schema_survive_bundling(folder: Path) -> None:
    """A reference within a schema, or to a neighbour, leads to the same place in the bundle."""
    image = {"$defs": {"image": {"type": "string"}}}
    properties = {"a": {"$ref": "#/$defs/image"}, "b": {"$ref": "error.schema.json"}}
    _edit(folder / "error.schema.json", lambda schema: schema.update(image, properties=properties))
    components = Contract.from_folder(folder).bundled()["components"]["schemas"]
    assert components["Error"]["properties"] == {
        "a": {"$ref": "#/components/schemas/Error/$defs/image"},
        "b": {"$ref": "#/components/schemas/Error"},
    }


def test_documents_are_handed_out_as_copies(contract: Contract) -> None:
    """A document can be had by its file name, by its short name too, and changing it changes nothing."""
    for name in (
        "openapi.json",
        "openapi",
        "observed",
        "create-request",
        "create-request.schema",
        "error.schema.json",
    ):
        handed = contract.document(name)
        assert handed == contract.document(name)
        handed.clear()
        assert contract.document(name)
    with pytest.raises(DocumentError, match="create-request"):
        contract.document("request")


@pytest.mark.parametrize("seconds", [0, 5, 10, 7.5])
def test_a_price_grows_with_the_seconds(contract: Contract, seconds: float) -> None:
    """A price is the observed one of a second, times the seconds."""
    assert contract.price(seconds) == (contract.observed.price.per_second or 0) * seconds


def test_a_capture_is_not_called_published() -> None:
    """A revision says of itself whether the provider published it, and where it is known from."""
    for each in revisions():
        info = Contract.load(each).openapi["info"]
        revision = Contract.load(each).revision
        assert revision.published is (info["x-provenance"] == "published")
        assert list(revision.sources) == info["x-sources"] != []
        assert str(revision) == each


def test_a_folder_with_a_document_missing_is_refused(folder: Path) -> None:
    """A folder that lacks a document, or holds one that is no JSON, is refused by the name of what is wrong."""
    (folder / "error.schema.json").unlink()
    with pytest.raises(DocumentError, match=r"error\.schema\.json"):
        Contract.from_folder(folder)
    (folder / "error.schema.json").write_text("{")
    with pytest.raises(DocumentError, match=str(folder)):
        Contract.from_folder(folder)


@pytest.mark.parametrize("member", ["info", "servers", "paths"])
def test_a_folder_with_a_member_missing_is_refused(folder: Path, member: str) -> None:
    """A document without what the program reads from it is refused with the name of what is missing."""
    _edit(folder / "openapi.json", lambda document: document.pop(member))
    with pytest.raises(DocumentError, match=member):
        Contract.from_folder(folder)


def _edit(path: Path, change: Any) -> None:
    document = read_json(path)
    change(document)
    path.write_text(json.dumps(document))


def test_what_is_handed_out_can_be_changed_without_harm() -> None:
    """A document, and the bundle, are copies to the bottom: changing them changes nothing that others get."""
    contract = Contract.load()
    before = json.dumps([contract.document("openapi"), contract.document("create-request"), contract.bundled()])
    contract.document("openapi")["info"]["title"] = "changed"
    contract.document("create-request")["properties"].clear()
    bundle = contract.bundled()
    bundle["info"]["title"] = "changed"
    for schema in bundle["components"]["schemas"].values():
        schema["properties"].clear()
    after = [contract.document("openapi"), contract.document("create-request"), contract.bundled()]
    assert json.dumps(after) == before


def copies() -> dict[str, Any]:
    """Return the documents of the default revision, to be changed."""
    contract = Contract.load()
    return {name: contract.document(name) for name in ("openapi.json", "observed.json", *contract.schemas)}


def changed(**responses: Any) -> Contract:
    """Return the default contract whose create has other responses."""
    documents = copies()
    (create,) = [
        operation
        for item in documents["openapi.json"]["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and operation.get("operationId") == "createGeneration"
    ]
    create["responses"] = {name.removeprefix("s"): {"description": "", **answer} for name, answer in responses.items()}
    return Contract(documents)


def test_success_is_the_least_2xx() -> None:
    """The success of an operation is the least of its 2xx, whatever else is documented: 199 and 300 are none."""
    assert changed(s199={}, s250={}, s201={}, s300={}).create.success == 201
    assert changed(s199={}, s299={}).create.success == 299
    assert changed(s200={}, s199={}).create.success == 200
    failing: list[dict[str, Any]] = [{"s199": {}}, {"s300": {}, "s400": {}}, {"s301": {}}, {"sdefault": {}}]
    path = Contract.load().create.path
    for responses in failing:
        with pytest.raises(DocumentError, match=rf"not those of a revision: (POST {path} has no 2xx|.*default)"):
            changed(**responses)


def test_an_operation_without_success_is_named_by_its_documented_path() -> None:
    """Where there are aliases too, the complaint names the path that is documented."""
    known = Contract.load("latest")
    documents = {name: known.document(name) for name in ("openapi.json", "observed.json", *known.schemas)}
    (path,) = documents["openapi.json"]["paths"]
    documents["openapi.json"]["paths"][path]["post"]["responses"] = {}
    assert known.route(path)[0].paths != (path,)
    with pytest.raises(DocumentError, match=f"POST {path} has no 2xx"):
        Contract(documents)


@pytest.mark.parametrize("path", ["create", "get"])
def test_a_revision_has_both_operations(path: str) -> None:
    """Documents without the operation that creates a generation, or without the one that asks for it, are none of a revision."""
    documents = copies()
    operation = getattr(Contract.load(), path)
    for item in documents["openapi.json"]["paths"].values():
        if item.get(operation.method.lower(), {}).get("operationId") == operation.id:
            del item[operation.method.lower()]
    with pytest.raises(DocumentError, match=f"{operation.id}.*is missing"):
        Contract(documents)


def test_the_first_of_several_counts() -> None:
    """Of several media types of an answer, and of several servers, the first one is read."""
    contents = {"application/json": {"schema": {"const": 1}}, "text/html": {"schema": {"const": 2}}}
    assert changed(s200={"content": contents}).create.responses == {200: {"const": 1}}
    documents = copies()
    documents["openapi.json"]["servers"].append({"url": "https://second.example"})
    assert Contract(documents).base_url == Contract.load().base_url


def test_only_the_query_is_the_query() -> None:
    """Parameters that are sent elsewhere are none of the query: neither headers nor cookies."""
    documents = copies()
    for item in documents["openapi.json"]["paths"].values():
        for place in ("header", "cookie", "path", "sky"):
            item["get"]["parameters"].append({"name": place, "in": place, "required": True, "schema": {}})
    known, more = (each.get.query for each in (Contract.load(), Contract(documents)))
    assert known == more


def test_references_in_lists_are_bundled(folder: Path) -> None:
    """A reference among alternatives leads to the same place in the bundle, too."""
    path = folder / "error.schema.json"
    path.write_text(
        json.dumps({"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "generation.schema.json"}], "$defs": {"a": True}})
    )
    error = Contract.from_folder(folder).bundled()["components"]["schemas"]["Error"]
    assert [each["$ref"] for each in error["anyOf"]] == [
        "#/components/schemas/Error/$defs/a",
        "#/components/schemas/Generation",
    ]


def test_a_price_is_whole_where_it_can_be() -> None:
    """A price of whole units is an integer, as the documents have it, and any other is exact."""
    contract = Contract.load()
    second = contract.observed.price.per_second or 0
    assert contract.price(5) == 5 * second
    assert isinstance(contract.price(5.0), int)
    assert contract.price(0.1 / second) == 0.1 / second * second
    assert isinstance(contract.price(0.5 / second), float)


@pytest.mark.parametrize("duration", [None, [], {}, "long", ""])
def test_a_duration_that_is_no_number_is_the_default(duration: Any) -> None:
    """A payload whose duration cannot be read asks for a video of the default length."""
    contract = Contract.load()
    assert contract.video_seconds({"duration": duration}) == contract.video_seconds({})
    assert contract.video_seconds({"duration": "7.5"}) == 7.5


@pytest.mark.parametrize(("asked", "usable"), [(-1, False), (0, False), (0.5, True), (86_400, True), (86_400.5, False)])
def test_a_duration_that_no_video_has_is_the_default(asked: float, usable: bool) -> None:
    """A video is longer than nothing and no longer than a day; whatever else a payload asks for is the default."""
    contract = Contract.load()
    assert contract.video_seconds({"duration": asked}) == (asked if usable else contract.video_seconds({}))


def test_published_means_exactly_that() -> None:
    """A revision of any other provenance is not called published."""
    for provenance in ("a capture", "zzz", "", "publishe", "published "):
        assert not Revision("1", "", provenance, ()).published
    assert Revision("1", "", "published", ()).published
