"""Claims about the lists that the API gives without a key: what the fake says of its models, and of how they end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_server import FakeServer, Request, Scenario
from fake_server.messages import Headers, Reply
from fake_server.service.lists import ModelLists
from kling_contract import Contract, check_request, revisions
from kling_contract.contract.catalogue import ModelList, catalogue
from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.errors import DocumentError
from kling_contract.violation import Strictness
from tests.support.calls import creating, payload

CATALOGUE = catalogue()
WAYS = CATALOGUE.retirements
LISTS = (CATALOGUE.models, CATALOGUE.model, CATALOGUE.deprecations)
PLAIN, PRICED, TOKENS, OLD, ENDS, ENDED, GONE = (
    "a/plain",
    "a/priced",
    "a/tokens",
    "a/old",
    "a/ends",
    "a/ended",
    "a/gone",
)
KNOWN: Mapping[str, Any] = {
    PLAIN: {
        "aliases": [{"id": "Plain", "exact": True}, {"id": "nearly", "exact": False}, {"id": PRICED, "exact": True}]
    },
    PRICED: {"price": {"per_second": 0.5, "unit": "USD"}},
    TOKENS: {"price": {"per_second": 3_000, "unit": "tokens"}},
    OLD: {"replaced_by": {"id": PLAIN}, "aliases": [{"id": "older", "exact": True}]},
    ENDS: {"ended": {"date": "2026-03-01"}},
    ENDED: {"ended": {"date": "2026-02-01", "upstream": True}, "replaced_by": {"id": "elsewhere"}},
    GONE: {"ended": {"date": "2026-01-15"}, "replaced_by": {"id": PLAIN}},
    "elsewhere": {},
}
MODELS = tuple(KNOWN)[:-1]
NOW = 1769904000.0  # 2026-02-01
DAY = 86_400.0


def made(**options: Any) -> ModelLists:
    return ModelLists(CATALOGUE, MODELS, KNOWN, **options)


def asking(
    asked: ModelList, query: str = "", *, path: str | None = None, method: str = "GET", tags: str = ""
) -> Request:
    """Return a request for a list, without a key."""
    url = f"https://api.example{path or asked.path}{'?' if query else ''}{query}"
    return Request(method, url, Headers({"if-none-match": tags} if tags else {}))


def listed(asked: ModelList, query: str = "", *, lists: ModelLists | None = None, now: float = NOW) -> Any:
    """Return the entries of a list, by id."""
    reply = (lists or made()).reply(asked, asking(asked, query), now)
    assert reply is not None
    return {entry["id"]: entry for entry in reply.json()["data"]}


def card(model: str, query: str = "", *, lists: ModelLists | None = None, now: float = NOW) -> Any:
    """Return what is said of one model; None for one that there is not."""
    asked = CATALOGUE.model
    path = asked.path.replace("{id}", quote(model, safe="/"))
    reply = (lists or made()).reply(asked, asking(asked, query, path=path), now)
    return None if reply is None else reply.json()


def test_the_document_has_the_declared_shape() -> None:
    """The catalogue keeps its own schema, and a source for each part."""
    schema = read_json(SCHEMAS / "catalogue.schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(read_json(SCHEMAS / "catalogue.json"))


@settings(max_examples=40)
@given(st.sampled_from(MODELS), st.text(max_size=30), st.integers(-400, 400))
def test_every_response_fits(model: str, query: str, days: int) -> None:
    """Whatever the query and the day, a response has the published schema."""
    for asked, path in ((each, each.path.replace("{id}", model)) for each in LISTS):
        for parameter in asked.parameters:
            request = asking(asked, f"{parameter}={quote(query)}", path=path)
            reply = made().reply(asked, request, NOW + days * DAY)
            if reply is not None:
                jsonschema.validate(reply.json(), dict(asked.schema))


def test_the_list_of_models() -> None:
    """It has every model but those that are folded into another, withdrawn, or end on a day that the API has named."""
    assert set(listed(CATALOGUE.models)) == {PLAIN, PRICED, TOKENS, ENDED}


def test_aliases() -> None:
    """A model has its exact aliases and the models folded into it; what is in the list itself is no alias."""
    assert listed(CATALOGUE.models)[PLAIN]["aliases"] == ["Plain", OLD]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"id={PRICED}", {PRICED}),
        ("id=plain", {PLAIN}),
        (f"id={OLD}", {PLAIN}),
        (f"id={PRICED.upper()},%20{TOKENS}", {PRICED, TOKENS}),
        (f"id={PRICED}&id={TOKENS}", {PRICED, TOKENS}),
        (f"id={PRICED}&id=nobody", {PRICED}),
        ("id=nearly", set()),
        ("id=nobody", set()),
        ("id=", {PLAIN, PRICED, TOKENS, ENDED}),
        ("x=1", {PLAIN, PRICED, TOKENS, ENDED}),
        ("type=text", set()),
        (f"type={CATALOGUE.entry['type']}&id=plain", {PLAIN}),
        (f"tags={CATALOGUE.entry['tags'][0].upper()}", {PLAIN, PRICED, TOKENS, ENDED}),
    ],
)
def test_filters_of_the_list_of_models(query: str, found: set[str]) -> None:
    """An id is found by its aliases too, whatever the case; several values are alternatives, several parameters are not."""
    assert set(listed(CATALOGUE.models, query)) == found


@pytest.mark.parametrize("query", ["include=pricing", "include=x,PRICING", "include=all", "details=true"])
def test_prices_are_added_where_they_are_known(query: str) -> None:
    """A price is in US dollars a second; where none is known in dollars there is no block, and nowhere unless it is asked for."""
    rate = {"unit": "second", "per": 1}
    assert listed(CATALOGUE.models, query)[PRICED]["pricing"] == {"kind": "fixed", "units": [{"price": 0.5, **rate}]}
    assert "pricing" not in listed(CATALOGUE.models, query)[PLAIN]
    assert "pricing" not in listed(CATALOGUE.models, query)[TOKENS]
    assert "pricing" not in listed(CATALOGUE.models)[PRICED]
    in_dollars = listed(CATALOGUE.models, query, lists=made(per_usd=2_000_000))[TOKENS]["pricing"]
    assert in_dollars["units"] == [{"price": 0.0015, **rate}]
    assert card(PRICED, query)["pricing"]["units"][0]["price"] == 0.5


@pytest.mark.parametrize("query", ["include=prices", "include=", "details=false", "include=*"])
def test_unknown_sections_are_ignored(query: str) -> None:
    """A section that there is not is not added, and not refused."""
    assert listed(CATALOGUE.models, query) == listed(CATALOGUE.models)


def test_one_model() -> None:
    """A model is found by its id or an alias, slashes as they are; one folded into another is that one; others are not found."""
    assert card(PRICED) == listed(CATALOGUE.models)[PRICED]
    assert card("Plain") == card(PLAIN) == card(OLD) == listed(CATALOGUE.models)[PLAIN]
    assert card("older")["id"] == PLAIN
    for nobody in ("nobody", "nearly", "elsewhere", GONE, PRICED.upper(), f"{PRICED}/"):
        assert card(nobody) is None


def test_a_model_that_ends_says_when() -> None:
    """Whether the list of models still has it or not, a model that is about to end has the day with it."""
    assert (card(ENDS)["shutdown_at"], card(ENDED)["shutdown_at"]) == ("2026-03-01", "2026-02-01")
    assert "shutdown_at" not in card(PLAIN)
    assert "shutdown_at" not in listed(CATALOGUE.models)[ENDED]


def test_the_ways_in_which_models_end() -> None:
    """The day that AI/ML API names withdraws a model; one that the maker names alone does not, also when it is past."""
    statuses = {model: entry["status"] for model, entry in listed(CATALOGUE.deprecations).items()}
    assert statuses == {
        ENDS: WAYS.ending.entry["status"],
        ENDED: WAYS.ending_upstream.entry["status"],
        OLD: WAYS.superseded.entry["status"],
        GONE: WAYS.withdrawn.entry["status"],
    }
    assert len(set(statuses.values())) == 3
    for now in (NOW, NOW + 1000 * DAY):
        found = listed(CATALOGUE.deprecations, now=now)
        assert found[ENDED]["status"] == WAYS.ending_upstream.entry["status"]
        assert made().serves(ENDED, now)
    assert made().serves(ENDS, NOW + 27 * DAY)
    assert not made().serves(ENDS, NOW + 28 * DAY)
    assert not made().serves(GONE, NOW)
    assert made().serves(GONE, NOW - 30 * DAY)
    assert made().serves(OLD, NOW)


def test_the_list_of_deprecations() -> None:
    """Entries are newest first, then by id; a folded one has its successor and no day."""
    entries = listed(CATALOGUE.deprecations)
    assert list(entries) == [ENDS, ENDED, GONE, OLD]
    assert (entries[OLD]["replaced_by"], entries[OLD]["shutdown_at"]) == (PLAIN, None)
    assert entries[OLD]["aliases"] == ["older"]
    assert (entries[GONE]["replaced_by"], entries[GONE]["shutdown_at"]) == (PLAIN, "2026-01-15")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=withdrawn", [GONE]),
        ("status=Withdrawn,superseded", [GONE, OLD]),
        ("status=withdrawn&status=superseded", [GONE, OLD]),
        ("status=withdrawn,nonsense", [GONE]),
        ("status=nonsense", [ENDS, ENDED, GONE, OLD]),
        ("status=", [ENDS, ENDED, GONE, OLD]),
        ("since=2026-02-01", [ENDS, ENDED]),
        ("since=2026-02-02", [ENDS]),
        ("since=2026-02-02,2026-02-01", [ENDS, ENDED]),
        ("since=2000-01-01", [ENDS, ENDED, GONE]),
        ("since=2026-02-01&status=withdrawn", []),
        ("since=2026-2-1", [ENDS, ENDED, GONE, OLD]),
        ("since=20260202", [ENDS, ENDED, GONE, OLD]),
        ("since=2026-02-30", [ENDS, ENDED, GONE, OLD]),
        ("since=2026-02-02T00:00:00Z", [ENDS, ENDED, GONE, OLD]),
    ],
)
def test_filters_of_the_list_of_deprecations_fail_open(query: str, found: list[str]) -> None:
    """A filter keeps what it names; a value that means nothing filters nothing."""
    assert list(listed(CATALOGUE.deprecations, query)) == found


@given(st.permutations(["a/1", "a/2", "a/3"]))
def test_entries_of_one_day_are_in_the_order_of_their_ids(models: list[str]) -> None:
    """Where the day is the same, the id decides, in whatever order the models are documented."""
    lists = ModelLists(CATALOGUE, models, {model: {"ended": {"date": "2026-01-15"}} for model in models})
    assert list(listed(CATALOGUE.deprecations, lists=lists)) == sorted(models)


@pytest.mark.parametrize("upstream", [{}, {"upstream": True}])
def test_a_model_whose_last_day_nobody_knows(upstream: dict[str, bool]) -> None:
    """A model that is said to end, on no day, is listed without a day, and goes on serving."""
    lists = ModelLists(CATALOGUE, [PLAIN], {PLAIN: {"ended": upstream}})
    entry = listed(CATALOGUE.deprecations, lists=lists)[PLAIN]
    assert (entry["status"], entry["shutdown_at"]) == (WAYS.ending.entry["status"], None)
    assert lists.serves(PLAIN, NOW + 10_000 * DAY)


@pytest.mark.parametrize("last", [PLAIN, OLD, PRICED])
def test_models_folded_into_each_other(last: str) -> None:
    """A chain of renames leads to its end; one that has no end keeps nobody waiting."""
    lists = ModelLists(
        CATALOGUE, [PLAIN, OLD, PRICED], {PLAIN: {"replaced_by": {"id": OLD}}, OLD: {"replaced_by": {"id": last}}}
    )
    assert listed(CATALOGUE.models, lists=lists).keys() <= {PRICED}
    assert card(PLAIN, lists=lists)["id"] == {PRICED: PRICED}.get(last, OLD)
    assert "replaced_by" not in card(PLAIN, lists=lists)


def test_a_scenario_withdraws_models() -> None:
    """A scenario withdraws a model, or all, by today at the latest: it is not served, not in the list, and found no more."""
    for withdrawn in ({PLAIN, ENDED}, {"*"}):
        lists = made(withdrawn=withdrawn)
        entries = listed(CATALOGUE.deprecations, lists=lists)
        for model in MODELS if "*" in withdrawn else withdrawn:
            assert not lists.serves(model, NOW)
            assert entries[model]["status"] == WAYS.withdrawn.entry["status"]
            assert entries[model]["deprecated_at"] <= entries[model]["shutdown_at"] <= "2026-02-01"
            assert card(model, lists=lists) is None
        assert set(listed(CATALOGUE.models, lists=lists)).isdisjoint(entries)
        assert not lists.serves("Plain", NOW)
        assert lists.serves("nobody", NOW)
    assert made(withdrawn={PLAIN}).serves(PRICED, NOW)


def test_a_scenario_cannot_withdraw_what_nobody_knows() -> None:
    """A misspelt model is not withdrawn in silence."""
    with pytest.raises(DocumentError, match=r"'a/plian'.*a/plain"):
        made(withdrawn={"a/plian"})
    assert not made(withdrawn={"elsewhere"}).serves("elsewhere", NOW)


@pytest.mark.parametrize("asked", [CATALOGUE.models, CATALOGUE.deprecations], ids=lambda asked: asked.id)
def test_nothing_is_sent_twice(asked: ModelList) -> None:
    """A client that has the response already is answered with 304 and no body, as long as nothing has changed in it."""

    def reply(tags: str = "", method: str = "GET", *, query: str = "", now: float = NOW) -> Reply:
        found = made().reply(asked, asking(asked, query, tags=tags, method=method), now)
        assert found is not None
        return found

    whole = reply()
    etag = whole.headers["etag"]
    assert etag.startswith('W/"')
    for tags in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
        again = reply(tags, now=NOW + 1)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
        assert "content-type" not in again.headers
    for tags in ('"x"', etag[:-2] + '"', "", "W/"):
        assert reply(tags).body == whole.body
    assert reply(etag, query="id=nobody&status=superseded").status == 200
    assert reply(etag, now=NOW + 28 * DAY).status == (200 if asked is CATALOGUE.deprecations else 304)
    assert reply(method="HEAD").headers["content-length"] == str(len(whole.body))
    assert reply(method="HEAD").body == b""
    assert reply(etag, "HEAD").status == 304


def test_how_long_a_response_is_fresh() -> None:
    """The list of deprecations says how long it may be kept, and when it was made; no other says that."""
    reply = made().reply(CATALOGUE.deprecations, asking(CATALOGUE.deprecations), NOW)
    assert reply is not None
    assert reply.headers["cache-control"] == CATALOGUE.deprecations.headers["cache-control"]
    assert reply.json()["generated_at"] == "2026-02-01T00:00:00.000Z"
    models = made().reply(CATALOGUE.models, asking(CATALOGUE.models), NOW)
    assert models is not None
    assert "cache-control" not in models.headers


@pytest.mark.parametrize("revision", revisions())
@pytest.mark.parametrize("asked", LISTS, ids=lambda asked: asked.id)
def test_the_fake_has_the_lists(asked: ModelList, revision: str) -> None:
    """On every path of every list, without a key, the fake of each revision names the model; nothing is wrong with the request."""
    fake = FakeServer(revision=revision, api_key="secret")
    model = fake.contract.request_schema["properties"]["model"]["enum"][0]
    for path in asked.paths:
        request = asking(asked, path=path.replace("{id}", model))
        reply = fake.handle(request)
        assert reply.status == 200
        assert reply.headers["content-type"] == asked.headers["content-type"]
        jsonschema.validate(reply.json(), dict(asked.schema))
        assert check_request(request, revision=revision) == []
        assert fake.journal[-1].operation == asked.id
        assert (fake.journal[-1].violations, fake.journal[-1].reason) == ((), None)
    if asked is not CATALOGUE.deprecations:
        assert model in json.dumps(reply.json())
    assert fake.ledger.booked == 0
    assert not fake.generations


@pytest.mark.parametrize("asked", LISTS, ids=lambda asked: asked.id)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods(asked: ModelList, method: str) -> None:
    """Another method is refused with 405, and told which there are."""
    request = asking(asked, method=method)
    fake = FakeServer()
    reply = fake.handle(request)
    assert reply.status == fake.contract.observed.refusals.reasons["wrong_method"].status_code
    assert reply.headers["allow"] == ", ".join(asked.methods)
    assert list(fake.journal[-1].violations) == check_request(request)
    assert check_request(request)[0].rule == "method"


@pytest.mark.parametrize("path", ["/model/nobody", "/model/", "/model", "/v1/models/", "/v1/models/deprecations/x"])
def test_unknown_models_and_paths(path: str) -> None:
    """What is not there is refused with 404 in the envelope of the service."""
    fake = FakeServer()
    reply = fake.handle(asking(CATALOGUE.model, path=path))
    assert reply.status == 404
    jsonschema.validate(reply.json(), dict(fake.contract.error_schema))
    assert reply.headers["x-fake-reason"]


@pytest.mark.parametrize("scenario", ["unauthorized", "unavailable", "dropped-connection", "internal-error"])
def test_faults_of_other_operations_do_not_hit_the_lists(scenario: str) -> None:
    """A fault of creates or polls hits no list, and a list does not count as one of their calls."""
    fake = FakeServer(scenario=scenario)
    for _ in range(3):
        assert fake.handle(asking(CATALOGUE.models)).status == 200
    fault = fake.scenario.faults[0]
    operation = fake.contract.operations[fault.operation]
    fake.handle(Request(operation.method, fake.contract.base_url + operation.path))
    assert "fault" in (fake.journal[-1].reason or "")


def test_a_port_has_them_too() -> None:
    """Over HTTP, conditional requests and HEAD work as in process."""
    import httpx

    with FakeServer().listen() as url, httpx.Client(base_url=str(url), trust_env=False) as http:
        for asked in (CATALOGUE.models, CATALOGUE.deprecations):
            whole = http.get(asked.path)
            again = http.get(asked.path, headers={"if-none-match": whole.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            head = http.head(asked.path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["etag"] == whole.headers["etag"]


@pytest.fixture(params=revisions())
def contract(request: pytest.FixtureRequest, tmp_path: Path) -> Contract:
    """Each revision in turn, with a refusal of models that are withdrawn."""
    folder = tmp_path / request.param
    shutil.copytree(SCHEMAS / request.param, folder)
    observed = read_json(folder / "observed.json")
    reasons = observed["refusals"]["reasons"]
    reasons["model_withdrawn"] = {**reasons["unknown_generation"], "message": "Gone"}
    (folder / "observed.json").write_text(json.dumps(observed))
    return Contract.from_folder(folder)


@pytest.mark.parametrize("strictness", ["lax", "off"])
def test_creates_of_a_withdrawn_model(contract: Contract, strictness: Strictness) -> None:
    """Its creates are refused, whatever else is wrong with the payload, and the list of deprecations agrees; nothing is billed."""
    fake = FakeServer(contract=contract, scenario={"withdrawn": ["*"]}, strictness=strictness)
    refusal = contract.observed.refusals.reasons["model_withdrawn"]
    model = payload(contract)["model"]
    for body in (payload(contract), {"model": model}, payload(contract, duration=7)):
        assert fake.handle(creating(contract, body)).status == refusal.status_code
        assert model in (fake.journal[-1].reason or "")
    jsonschema.validate(fake.journal[-1].reply.json(), dict(contract.error_schema))
    entries = {each["id"]: each for each in fake.handle(asking(CATALOGUE.deprecations)).json()["data"]}
    assert entries[model]["status"] == WAYS.withdrawn.entry["status"]
    assert not fake.generations
    fake.play("happy")
    assert fake.handle(creating(contract)).status == contract.create.success


def test_what_is_refused_before_a_withdrawn_model(contract: Contract) -> None:
    """Without a key, or a media type, a create is refused for that first; of an unknown model nobody says that it is withdrawn."""
    fake = FakeServer(contract=contract, scenario={"withdrawn": ["*"]})
    reasons = contract.observed.refusals.reasons
    create = creating(contract)
    assert fake.handle(replace(create, headers=Headers())).status == reasons["unauthorized"].status_code
    without = Headers({"authorization": create.headers["authorization"]})
    assert fake.handle(replace(create, headers=without)).status == reasons["wrong_media_type"].status_code
    bodies: tuple[Any, ...] = (payload(contract, model="nobody"), payload(contract, model=5), [], b"{")
    for body in bodies:
        assert fake.handle(creating(contract, body)).status == reasons["invalid_body"].status_code


@pytest.mark.parametrize("revision", revisions())
def test_a_withdrawn_model_has_the_others_beside_it(revision: str) -> None:
    """The violation of a withdrawn model has the ids of those that are still served."""
    model = Contract.load(revision).model
    fake = FakeServer(revision=revision, scenario={"withdrawn": [model]})
    fake.handle(creating(fake.contract))
    (withdrawn,) = (each for each in fake.journal[-1].violations if each.rule == "withdrawn")
    assert withdrawn.limit == (withdrawn.schema or {})["enum"]
    assert withdrawn.limit
    assert model not in withdrawn.limit
    assert set(withdrawn.limit) <= fake.contract.models.keys()


@pytest.mark.parametrize("revision", revisions())
def test_the_service_s_own_end_of_a_model_is_not_yet_come(revision: str) -> None:
    """At the time at which a fake begins, no model has ended: no create is refused for that, whatever the revision."""
    fake = FakeServer(revision=revision)
    for model in fake.contract.models:
        fake.handle(creating(fake.contract.for_model(model)))
        assert "withdrawn" not in {each.rule for each in fake.journal[-1].violations}, model


def test_a_scenario_that_withdraws_needs_a_refusal(tmp_path: Path) -> None:
    """Under documents that do not say how a withdrawn model is refused, such a scenario is not begun, and none is refused."""
    folder = tmp_path / "mine"
    shutil.copytree(SCHEMAS / revisions()[0], folder)
    observed = read_json(folder / "observed.json")
    observed["refusals"]["reasons"].pop("model_withdrawn", None)
    (folder / "observed.json").write_text(json.dumps(observed))
    fake = FakeServer(contract=Contract.from_folder(folder))
    with pytest.raises(DocumentError, match="how a withdrawn model is refused"):
        fake.play({"withdrawn": ["*"]})
    model = payload(fake.contract)["model"]
    fake._service._lists = ModelLists(CATALOGUE, [model], {model: {"ended": {"date": "2000-01-01"}}})
    assert fake.handle(asking(CATALOGUE.model, path=f"/model/{model}")).status == 404
    assert fake.handle(creating(fake.contract)).status == fake.contract.create.success


def test_the_form_of_a_scenario_keeps_what_is_withdrawn() -> None:
    """What a scenario withdraws is in its JSON form."""
    data = {"withdrawn": ["a/b", "*"]}
    assert Scenario.from_data(Scenario.from_data(data).data()).withdrawn == ("a/b", "*")
    with pytest.raises(DocumentError, match="withdrawn"):
        Scenario.from_data({"withdrawn": "*"})
