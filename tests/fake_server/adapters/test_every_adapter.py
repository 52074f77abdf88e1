"""Claims about the API, each checked through every adapter of the fake. What to expect the contract says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_server import FakeServer, Reply, Request
from fake_server.adapters.delivery import deliver
from fake_server.messages import Headers
from kling_contract.clock import VirtualClock
from kling_contract.contract import Contract
from kling_contract.generation import Generation
from kling_contract.validation import check_response

Send = Callable[[Request], Reply]

KEY = {"Authorization": "Bearer a-key"}

NOT_A_BODY = {
    "empty": b"",
    "not JSON": b"{",
    "form": b"prompt=a+cat",
    "not UTF-8": b'{"prompt": "\xff"}',
    "NaN": b'{"cfg_scale": NaN}',
    "null": b"null",
    "list": b"[]",
    "text": b'"a cat"',
    "nothing in it": b"{}",
    "a name twice": b'{"prompt": "a", "prompt": "b"}',
    "deep": b"[" * 10_000 + b"]" * 10_000,
    "a long number": b'{"duration": ' + b"9" * 5_000 + b"}",
}


def minimal(contract: Contract) -> dict[str, Any]:
    """Return a valid payload of the required fields alone, made from the schema."""
    fields = contract.request_schema["properties"]

    def value(schema: dict[str, Any]) -> Any:
        return schema["enum"][0] if "enum" in schema else "https://images.example/cat.png"

    return {name: value(fields[name]) for name in contract.request_schema["required"]}


def create(contract: Contract, *, body: bytes | None = None, headers: dict[str, str] | None = None) -> Request:
    """Return a request that creates a generation, or tries to."""
    operation = contract.create
    content = json.dumps(minimal(contract)).encode() if body is None else body
    sent = {**KEY, "Content-Type": operation.media_type or ""} if headers is None else headers
    return Request(operation.method, contract.base_url + operation.path, Headers(sent), content)


def poll(contract: Contract, generation_id: str | None, *, headers: dict[str, str] = KEY) -> Request:
    """Return a request that asks for a generation; None leaves the id out."""
    operation = contract.get
    (name,) = operation.query["required"]
    query = "" if generation_id is None else f"?{name}={generation_id}"
    return Request(operation.method, contract.base_url + operation.path + query, Headers(headers))


def assert_refused(contract: Contract, reply: Reply, reason: str) -> None:
    """Is this the documented refusal, in the envelope, with a line for whoever wonders?"""
    assert reply.status == contract.observed.refusals.reasons[reason].status_code, reply.body
    jsonschema_rs.validator_for(dict(contract.error_schema), validate_formats=True).validate(reply.json())
    assert reply.headers["content-type"] == contract.observed.refusals.content_type
    assert reply.headers["x-fake-reason"]


def clock_of(fake: FakeServer) -> VirtualClock:
    assert isinstance(fake.clock, VirtualClock)
    return fake.clock


def test_a_generation_goes_its_way(send: Send, fake: FakeServer, contract: Contract) -> None:
    """From the create on, each poll shows the status that the timeline has for that time."""
    created = create(contract)
    reply = send(created)
    assert reply.status == contract.create.success
    assert check_response(reply, request=created, contract=contract) == []
    generation = Generation.from_body(reply.json())
    assert generation.status == contract.lifecycle.initial
    began = fake.clock.now()
    for step in contract.observed.timeline.steps:
        clock_of(fake).advance(began + step.at - fake.clock.now())
        asked = poll(contract, generation.id)
        reply = send(asked)
        assert reply.status == contract.get.success
        assert check_response(reply, request=asked, contract=contract) == []
        seen = Generation.from_body(reply.json())
        assert (seen.id, seen.status) == (generation.id, step.status)
        assert (seen.video is not None) == contract.lifecycle.succeeded(step.status)


def test_the_video_is_what_the_answer_says(send: Send, fake: FakeServer, contract: Contract) -> None:
    """A finished video needs no key, and has the size and the type that were announced, whole or in part."""
    generation = Generation.from_body(send(create(contract)).json())
    clock_of(fake).advance(contract.observed.timeline.final.at)
    video = Generation.from_body(send(poll(contract, generation.id)).json()).video
    assert video is not None
    assert video.url is not None
    whole = send(Request("GET", video.url))
    assert len(whole.body) == video.file_size == int(whole.headers["content-length"])
    assert whole.headers["content-type"] == video.content_type
    head = send(Request("HEAD", video.url))
    assert (head.status, head.body) == (whole.status, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
    part = send(Request("GET", video.url, Headers({"Range": "bytes=4-99"})))
    assert part.body == whole.body[4:100]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic a-key"}, {"Authorization": "Bearer"}])
def test_nobody_without_a_key(send: Send, contract: Contract, headers: dict[str, str]) -> None:
    """Without a bearer token both operations refuse."""
    assert_refused(contract, send(create(contract, headers=headers)), "unauthorized")
    assert_refused(contract, send(poll(contract, "any", headers=headers)), "unauthorized")


def test_other_paths_are_unknown(send: Send, contract: Contract) -> None:
    """A path that is not in the document is refused, whatever it looks like."""
    path = contract.get.path
    for wrong in (
        "/",
        f"{path}/",
        f"{path}/some-id",
        f"/{path}",
        path.upper(),
        "/%2e%2e/etc/passwd",
        "/%C3%A9",
    ):
        assert_refused(contract, send(Request("GET", contract.base_url + wrong, Headers(KEY))), "unknown_path")


def test_other_methods_are_refused(send: Send, contract: Contract) -> None:
    """A method that the path does not have is refused with the methods that it has; HEAD without a body."""
    path = contract.get.path
    methods = {operation.method for operation in contract.route(path)}
    for wrong in ("DELETE", "PUT", "PATCH", "OPTIONS"):
        reply = send(Request(wrong, contract.base_url + path, Headers(KEY)))
        assert_refused(contract, reply, "wrong_method")
        assert set(reply.headers["allow"].split(", ")) == methods
    reply = send(Request("HEAD", contract.base_url + path, Headers(KEY)))
    assert reply.status == contract.observed.refusals.reasons["wrong_method"].status_code
    assert reply.body == b""
    assert int(reply.headers["content-length"]) > 0


def test_polls_name_a_generation(send: Send, contract: Contract) -> None:
    """A poll without an id, and one for an id that nobody was given, are refused each in its way."""
    assert_refused(contract, send(poll(contract, None)), "invalid_query")
    for unknown in ("nobody", "%00", "%F0%9F%90%88", "a" * 5_000):
        assert_refused(contract, send(poll(contract, unknown)), "unknown_generation")


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data; boundary=x"}]
)
def test_a_body_has_its_media_type(send: Send, contract: Contract, headers: dict[str, str]) -> None:
    """A body that is not declared to be of the documented media type is refused before it is read."""
    assert_refused(contract, send(create(contract, headers={**KEY, **headers})), "wrong_media_type")


@pytest.mark.parametrize("body", NOT_A_BODY.values(), ids=NOT_A_BODY)
def test_a_body_must_be_good(send: Send, fake: FakeServer, contract: Contract, body: bytes) -> None:
    """What is no JSON object that fits the schema is refused, and nothing is created or billed."""
    assert_refused(contract, send(create(contract, body=body)), "invalid_body")
    assert not fake.generations


@pytest.mark.parametrize("limits", [1, 40])
def test_a_body_may_be_too_large(send: Send, fake: FakeServer, contract: Contract, limits: int) -> None:
    """A body past the limit is refused, and the next request is answered as ever."""
    assert_refused(contract, send(create(contract, body=b" " * (limits * fake.body_limit + 1))), "too_large")
    assert send(create(contract)).status == contract.create.success


def _conversation(contract: Contract, fake: FakeServer, send: Send) -> list[Reply]:
    """Say the same things to a fake, good and bad, and return all that it answers."""
    replies: list[Reply] = []

    def say(request: Request) -> Reply:
        replies.append(send(request))
        return replies[-1]

    ids = [Generation.from_body(say(create(contract)).json()).id for _ in range(3)]
    for body in (*NOT_A_BODY.values(), b" " * (fake.body_limit + 1)):
        say(create(contract, body=body))
    for method in ("GET", "HEAD", "DELETE"):
        say(Request(method, f"{contract.base_url}/nowhere?a=b%20c&d=%C3%A9", Headers(KEY)))
        say(Request(method, contract.base_url + contract.get.path, Headers(KEY)))
    say(create(contract, headers=KEY))
    say(poll(contract, ids[0], headers={}))
    for step in contract.observed.timeline.steps:
        clock_of(fake).advance(step.at)
        for generation_id in (*ids, ids[0].replace(":", "%3A").replace("/", "%2F")):
            say(poll(contract, generation_id))
    video = Generation.from_body(replies[-1].json()).video
    assert video is not None
    assert video.url is not None
    for headers in ({}, {"Range": "bytes=-5"}, {"Range": "bytes=999999-"}):
        say(Request("GET", video.url, Headers(headers)))
    return replies


def test_one_answer_for_one_request(
    adapter: Callable[[FakeServer], AbstractContextManager[Send]], fake: FakeServer, contract: Contract
) -> None:
    """The same requests draw the same statuses, headers and bytes through each adapter as from the fake itself."""
    itself = FakeServer(contract=contract, body_limit=fake.body_limit)
    expected = _conversation(contract, itself, lambda request: deliver(itself.handle, request))
    with adapter(fake) as send:
        replies = _conversation(contract, fake, send)
    for reply, wanted in zip(replies, expected, strict=True):
        assert (reply.status, reply.body) == (wanted.status, wanted.body)
        # "connection" is a word of whoever carries the reply, not of the fake
        assert {**reply.headers, "connection": ""} == {**wanted.headers, "connection": ""}


# By RFC 9110, 5.1 and 5.5, in other words than the code's: what may be sent, as (name, value).
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(r"|[^\x00-\x20\x7f]|[^\x00-\x20\x7f][^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f]")

NAMES = st.text(max_size=8) | st.sampled_from(
    ["x-fake-reason", "X-A", ":status", "content-length", "transfer-encoding", "connection", "a b", "x\n", ""]
)
VALUES = (
    st.text(max_size=12)
    | st.text(st.characters(max_codepoint=0xFF), max_size=12)
    | st.sampled_from(
        [" ", "a ", "\ta", "a=1\nb=2", "a\r\nx: y", "\x00", "\x7f", "chunked", "9" * 5_000, "caf\xe9", "\ud800"]
    )
)


class Saying(FakeServer):
    """A fake that answers everything with one reply."""

    said = Reply(200)

    def handle(self, request: Request) -> Reply:
        return self.said


def test_only_legal_header_fields_are_sent(
    adapter: Callable[[FakeServer], AbstractContextManager[Send]], contract: Contract
) -> None:
    """Whatever header fields a reply has, each adapter delivers it: with its body, those fields that are legal as they are,
    and no illegal one."""
    fake = Saying(contract=contract)
    request = Request("GET", f"{contract.base_url}/any")
    with adapter(fake) as send:

        @settings(max_examples=60)
        @given(st.lists(st.tuples(NAMES, VALUES), max_size=5), st.binary(max_size=20))
        def delivered(fields: list[tuple[str, str]], body: bytes) -> None:
            fake.said = Reply(200, Headers(fields), body)
            reply = send(request)
            assert (reply.status, reply.body) == (200, body)
            came = dict(reply.headers)
            for name, value in came.items():
                assert NAME.fullmatch(name)
                assert VALUE.fullmatch(value)
            assert came.pop("content-length") == str(len(body))
            for name, value in fake.said.headers.items():
                legal = NAME.fullmatch(name) and VALUE.fullmatch(value) and max(value, default="") <= "\xff"
                if legal and name not in ("content-length", "transfer-encoding", "connection"):
                    assert came[name] == value

        delivered()


def test_a_long_reason_arrives(send: Send, contract: Contract) -> None:
    """A refusal with more to say than a header field should hold arrives, wherever the text is cut."""
    for start in ("text/plain", "text/plain;"):  # the cut falls on a letter, or on a blank
        headers = {**KEY, "Content-Type": start + " b" * 400}
        assert_refused(contract, send(create(contract, headers=headers)), "wrong_media_type")
