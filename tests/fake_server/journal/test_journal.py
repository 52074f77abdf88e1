"""Claims about the journal: what it keeps, what it drops, and what it never has."""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_server import FakeServer, Reply, Request
from fake_server.journal.journal import Journal
from fake_server.journal.text import curl, table, violations
from fake_server.messages import Exchange, Headers
from kling_contract import Contract, Violation

CONTRACT = Contract.load()

# The beginning keeps a key from being a word that stands in every journal anyway.
KEYS = st.text(string.ascii_letters + string.digits + string.punctuation, min_size=8, max_size=80).map("sk~".__add__)


def exchange(at: float = 0.0, *, url: str = "http://a/b", body: bytes = b"", reply: bytes = b"") -> Exchange:
    return Exchange(at, Request("POST", url, Headers(), body), Reply(200, Headers(), reply))


@given(st.lists(st.binary(max_size=30), max_size=40), st.integers(1, 20), st.integers(0, 200))
def test_it_is_bounded_and_says_so(bodies: list[bytes], most: int, most_bytes: int) -> None:
    """It keeps the latest exchanges within both limits, always the very latest, and says how many it dropped."""
    journal = Journal(CONTRACT, max_exchanges=most, max_bytes=most_bytes)
    for at, body in enumerate(bodies):
        journal.add(exchange(float(at), body=body, reply=body))
    kept = list(journal)
    assert [each.at for each in kept] == [float(at) for at in range(len(bodies) - len(kept), len(bodies))]
    assert len(kept) <= most
    sizes = [len(each.request.url) + 2 * len(each.request.body) for each in kept]
    assert sum(sizes) <= most_bytes or len(kept) == 1
    older = len(bodies) - len(kept)
    assert journal.dropped == older
    assert (f"{older} older" in repr(journal)) == (f"{older} older" in table(journal)) == bool(older)
    if older and len(kept) < most:  # it was the bytes, so one more would have been too many
        first = bodies[older - 1]
        assert sum(sizes) + len("http://a/b") + 2 * len(first) > most_bytes
    journal.clear()
    assert (len(journal), journal.dropped) == (0, 0)


@pytest.mark.parametrize("part", ["url", "user-agent", "reply header", "violation"])
def test_everything_that_is_held_counts(part: str) -> None:
    """The limit of bytes holds wherever a long text stands: in the URL, a header of either side, or a violation."""
    journal, long = Journal(CONTRACT, max_bytes=10_000), "x" * 1_000
    for at in range(30):
        request = Request(
            "GET", f"http://a/{long * (part == 'url')}", Headers({"user-agent": long * (part == "user-agent")})
        )
        reply = Reply(200, Headers({"x-a": long * (part == "reply header")}))
        violations = (Violation("", "type", long, "error"),) * (part == "violation")
        journal.add(Exchange(float(at), request, reply, violations=violations))
    assert 5 < len(journal) < 10


@given(st.integers(0, 4), st.integers(0, 3), st.integers(-9, 9))
def test_an_index_out_of_range_says_what_there_is(kept: int, older: int, index: int) -> None:
    """Within its length the journal is read like a list; beyond it, the error says what it holds, or why it may be empty."""
    journal = Journal(CONTRACT, max_exchanges=max(1, kept))
    for at in range(kept + older if kept else 0):
        journal.add(exchange(float(at)))
    if -kept <= index < kept:
        assert journal[index] is list(journal)[index]
        return
    with pytest.raises(IndexError) as refused:
        _ = journal[index]
    said = str(refused.value)
    assert f"no exchange {index}" in said
    if kept:
        assert f"it holds {kept}, from 0 to {kept - 1} or from -{kept} to -1" in said
        assert (f"{older} older ones were dropped" in said) == bool(older)
    else:
        assert "nothing was sent to this fake" in said
        assert all(way in said for way in ("intercept()", "listen()"))


def authorization(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


PLACES: dict[str, Callable[[str], tuple[str, dict[str, str]]]] = {
    "bearer": lambda key: ("", authorization(key)),
    "no scheme": lambda key: ("", {"authorization": key}),
    "another header": lambda key: ("", {"X-API-Key": key}),
    "a cookie": lambda key: ("", {"cookie": key}),
    "the query": lambda key: (f"?api_key={quote(key, safe='')}", {}),
    "the query, plainly": lambda key: (f"?a=1&token={quote(key, safe='/:+')}&b", {}),
    "twice": lambda key: (f"?access_token={quote(key, safe='')}", authorization(key)),
}


@settings(max_examples=250)
@given(st.sampled_from(sorted(PLACES)), KEYS, st.data())
def test_no_key_is_kept(place: str, key: str, data: st.DataObject) -> None:
    """No text made from the journal has a key, however it was sent and wherever it was repeated."""
    query, headers = PLACES[place](key)
    fake = FakeServer(strictness=data.draw(st.sampled_from(["strict", "lax", "off"])))
    operation = fake.contract.operations[data.draw(st.sampled_from(sorted(fake.contract.operations)))]
    where = data.draw(st.sampled_from(["", f"/{quote(key, safe='')}", f"/{quote_plus(key)}", f"/status/{quote(key)}"]))
    body = data.draw(
        st.sampled_from(
            [
                b"",
                key.encode(),
                json.dumps({"prompt": f"a {key} b"}).encode(),
                json.dumps({key: 1, "duration": key}).encode(),
                json.dumps({"image_url": "https://example.com/a.png", "prompt": key}).encode() + b"!",
            ]
        )
    )
    repeated = data.draw(st.dictionaries(st.sampled_from(["user-agent", "accept", "content-type"]), st.just(key)))
    sent = Headers({"content-type": operation.media_type or "", **repeated, **headers})
    fake.handle(Request(operation.method, f"{fake.contract.base_url}{operation.path}{where}{query}", sent, body))
    (kept,) = fake.journal
    told = [repr(fake.journal), repr(kept), table(fake.journal), violations(fake.journal), curl(kept)]
    told += [repr(dict(kept.request.headers)), repr(dict(kept.reply.headers))]
    told += [kept.request.body.decode(), kept.reply.body.decode(), json.dumps(fake.journal.har())]
    with pytest.raises(AssertionError) as failure:
        fake.assert_billed(1)
    told.append(str(failure.value))
    for spelling in {key, quote(key), quote(key, safe=""), quote_plus(key), json.dumps(key)[1:-1], repr(key)[1:-1]}:
        assert not [text for text in told if spelling in text]


def test_a_plus_in_a_query_is_read_both_ways() -> None:
    """A key in a query is recognised whether its plus signs mean spaces or not."""
    fake = FakeServer()
    for body in (b"sk~0000+00;", b"sk~0000000;"):
        fake.handle(Request("POST", "https://example.com/?token=" + body.decode().replace(";", "%3B"), Headers(), body))
    assert [each.request.body for each in fake.journal] == [b"***", b"***"]


def test_a_hint_does_not_tell_a_key() -> None:
    """A key that is used as a field name is masked in hints, too."""
    fake = FakeServer()
    operation = fake.contract.create
    slip = fake.contract.request_schema["required"][-1] + "_here"
    sent = Headers({"content-type": operation.media_type or "", **authorization(slip)})
    body = json.dumps({"model": fake.contract.model, slip: 1}).encode()
    fake.handle(Request("POST", fake.contract.base_url + operation.path, sent, body))
    hints = [violation.hint for violation in fake.journal[0].violations]
    assert any(hint and "***" in hint for hint in hints)
    assert not any(hint and slip in hint for hint in hints)


def test_user_and_password_are_taken_out_of_a_url() -> None:
    """User name and password in a URL are not kept, there or elsewhere."""
    fake = FakeServer()
    fake.handle(Request("GET", "https://somebody:opensesame@example.com/opensesame?q=opensesame"))
    assert fake.journal[0].request.url == "https://example.com/***?q=***"


def test_only_harmless_headers_are_kept() -> None:
    """Only header fields on a list of harmless ones are kept."""
    fake = FakeServer()
    fake.handle(Request("GET", "https://example.com/", Headers({"Range": "bytes=0-", "X-Anything": "v", "Via": "w"})))
    assert dict(fake.journal[0].request.headers) == {"range": "bytes=0-"}


def test_the_client_gets_the_true_response() -> None:
    """Keys are masked in the journal only: the reply itself is unchanged."""
    fake = FakeServer()
    key = "sk-0123456789"
    request = Request("GET", f"{fake.contract.base_url}/{key}", Headers(authorization(key)))
    assert key in fake.handle(request).body.decode()
    assert key not in fake.journal[0].reply.body.decode()


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=60))
def test_no_request_brings_the_journal_down(tail: str, method: str, authorization: str) -> None:
    """Any request can be kept, printed, and written as an archive."""
    fake = FakeServer()
    fake.handle(Request(method, f"http://a/{tail}", Headers({"authorization": authorization, "x-key": tail})))
    told = f"{fake.journal!r}{table(fake.journal)}{curl(fake.journal[0])}{violations(fake.journal)}"
    assert all(character.isprintable() or character == "\n" for character in told)
    assert json.dumps(fake.journal.har())


@pytest.mark.parametrize("tail", ["?" + "key" * 20_000, "?" + "&key" * 20_000, "@" * 60_000, "?key=" + "a b" * 20_000])
def test_hiding_is_linear(tail: str) -> None:
    """The search for keys in a URL takes time proportional to its length, not to the square of it."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "c_call"

    journal = Journal(CONTRACT)
    request = Request("GET", f"http://a/{tail}", Headers({"authorization": "Bearer abcdefghij"}))
    sys.setprofile(count)
    try:
        journal.add(Exchange(0.0, request, Reply(200)))
    finally:
        sys.setprofile(None)
    assert calls < 4 * len(tail)


def test_it_reads_like_a_sequence() -> None:
    """It can be indexed from both ends, sliced, and iterated in order."""
    journal = Journal(CONTRACT)
    for at in range(5):
        journal.add(exchange(float(at)))
    assert [journal[0].at, journal[-1].at, len(journal)] == [0.0, 4.0, 5]
    assert [each.at for each in journal[1:3]] == [1.0, 2.0]
    assert [each.at for each in reversed(journal)] == [4.0, 3.0, 2.0, 1.0, 0.0]
