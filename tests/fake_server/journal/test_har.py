"""Claims about the journal as an HTTP Archive."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import kling_contract
from fake_server import FakeServer, Reply, Request
from fake_server.journal.journal import Journal
from fake_server.messages import Exchange, Headers
from kling_contract import Contract

CONTRACT = Contract.load()

PAIRS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "value"],
        "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
    },
}
SIZE = {"type": "integer", "minimum": -1}
MESSAGE = {"httpVersion": {"type": "string"}, "cookies": PAIRS, "headers": PAIRS, "headersSize": SIZE, "bodySize": SIZE}
MILLISECONDS = {"type": "number", "minimum": 0}


def record(**members: Any) -> dict[str, Any]:
    """Return the schema of an object in which all of these members are needed, and others begin with an underscore."""
    return {
        "type": "object",
        "required": list(members),
        "properties": {**members, "comment": {"type": "string"}},
        "patternProperties": {"^_": {}},
        "additionalProperties": False,
    }


def optional(schema: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**schema, "properties": {**schema["properties"], **members}}


# What version 1.2 of the format asks for, as far as an archive without pages, cookies and caches needs it.
ARCHIVE = record(
    log=record(
        version={"const": "1.2"},
        creator=record(name={"type": "string"}, version={"type": "string"}),
        entries={
            "type": "array",
            "items": record(
                startedDateTime={"type": "string"},
                time=MILLISECONDS,
                request=optional(
                    record(method={"type": "string"}, url={"type": "string"}, queryString=PAIRS, **MESSAGE),
                    postData=record(mimeType={"type": "string"}, text={"type": "string"}),
                ),
                response=record(
                    status={"type": "integer"},
                    statusText={"type": "string"},
                    redirectURL={"type": "string"},
                    content=optional(
                        record(size=SIZE, mimeType={"type": "string"}, text={"type": "string"}),
                        encoding={"const": "base64"},
                    ),
                    **MESSAGE,
                ),
                cache={"const": {}},
                timings=record(send=MILLISECONDS, wait=MILLISECONDS, receive=MILLISECONDS),
            ),
        },
    )
)
CHECK = Draft202012Validator(ARCHIVE)
HEADERS = st.dictionaries(st.sampled_from(["content-type", "range", "location", "x-other"]), st.text(max_size=9))
EXCHANGES = st.builds(
    Exchange,
    st.floats(0, 4e9),
    st.builds(
        Request,
        st.sampled_from(["GET", "POST", "HEAD"]),
        st.text(max_size=20).map("https://example.com/?a=1&".__add__),
        HEADERS.map(Headers),
        st.binary(max_size=40) | st.text(max_size=9).map(str.encode),
    ),
    st.builds(
        Reply,
        st.integers(0, 999),
        HEADERS.map(Headers),
        st.binary(max_size=40) | st.text(max_size=9).map(str.encode),
        st.floats(0, 99),
        st.none() | st.integers(0, 50),
    ),
)


@given(st.lists(EXCHANGES, max_size=5))
def test_every_journal_is_an_archive(exchanges: list[Exchange]) -> None:
    """Every journal is a valid archive of version 1.2, can be written as JSON, and its times add up."""
    journal = Journal(CONTRACT)
    for exchange in exchanges:
        journal.add(exchange)
    har = json.loads(json.dumps(journal.har(), allow_nan=False))
    CHECK.validate(har)
    assert len(har["log"]["entries"]) == len(exchanges)
    for entry in har["log"]["entries"]:
        assert datetime.fromisoformat(entry["startedDateTime"]).utcoffset() is not None
        assert entry["time"] == sum(entry["timings"].values())


def body_of(described: dict[str, Any], encoding: str) -> bytes:
    text = str(described["text"])
    return base64.b64decode(text) if described.get(encoding) == "base64" else text.encode()


@given(st.lists(EXCHANGES, min_size=1, max_size=3))
def test_bodies_are_kept(exchanges: list[Exchange]) -> None:
    """An archive has all bodies, byte for byte; of a reply that broke off, the part that arrived."""
    journal = Journal(CONTRACT)
    for exchange in exchanges:
        journal.add(exchange)
    for exchange, entry in zip(exchanges, journal.har()["log"]["entries"], strict=True):
        sent, came = entry["request"], entry["response"]
        assert body_of(sent.get("postData", {"text": ""}), "_encoding") == exchange.request.body
        assert sent["bodySize"] == len(exchange.request.body)
        arrived = exchange.reply.body[: exchange.reply.cut]
        nothing = exchange.reply.status == 0 or exchange.reply.cut == 0
        assert body_of(came["content"], "encoding") == (
            b"" if nothing or exchange.request.method == "HEAD" else arrived
        )
        assert came["status"] == (0 if nothing else exchange.reply.status)
        assert came["content"]["size"] == came["bodySize"]


def test_what_the_fake_knows_is_in_it() -> None:
    """An entry has the reason of a refusal and the violations; the log has the number of dropped exchanges and its creator."""
    fake = FakeServer()
    fake.journal = Journal(CONTRACT, max_exchanges=1)
    operation = fake.contract.get
    for _ in range(2):
        fake.handle(Request("GET", f"{fake.contract.base_url}{operation.path}/an-id?a=%C3%A9&b"))
    log = fake.journal.har()["log"]
    (entry,) = log["entries"]
    assert log["creator"]["version"] == kling_contract.__version__
    assert log["comment"].startswith("1 older")
    assert entry["comment"] == fake.journal[0].reason
    assert entry["request"]["queryString"] == [{"name": "a", "value": "é"}, {"name": "b", "value": ""}]
    (violation,) = fake.journal[0].violations
    assert entry["_violations"] == [f"error: {violation}"]
    assert datetime.fromisoformat(entry["startedDateTime"]).timestamp() == pytest.approx(fake.clock.now())


def test_a_generation_can_be_followed() -> None:
    """Entries have the id of their generation, also for its create, and the delay of a response."""
    fake = FakeServer(scenario={"name": "late", "faults": [{"operation": "getGeneration", "latency": 2.5}]})
    create, get = fake.contract.create, fake.contract.get
    sent = Headers({"authorization": "Bearer k", "content-type": create.media_type or ""})
    payload = {"model": fake.contract.request_schema["properties"]["model"]["enum"][0], "prompt": "A cat."}
    payload["image_url"] = "https://example.com/a.png"
    body = json.dumps(payload).encode()
    made = fake.handle(Request(create.method, fake.contract.base_url + create.path, sent, body)).json()["id"]
    (parameter,) = get.query["required"]
    fake.handle(Request(get.method, f"{fake.contract.base_url}{get.path}?{parameter}={made}", sent))
    entries = fake.journal.har()["log"]["entries"]
    assert [entry["_generation"] for entry in entries] == [made, made]
    assert [entry["time"] for entry in entries] == [0, 2500]
