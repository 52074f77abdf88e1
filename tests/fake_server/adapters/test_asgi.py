"""Claims about the ASGI application: what it hands to the fake, and what it makes of rude clients and other protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer, Reply, Request
from fake_server.messages import Headers

PATH = "/a"
SERVER = ("127.0.0.1", 8080)


class Recorder(FakeServer):
    """Keeps what it is sent; what is past its limit it calls too large."""

    def __init__(self, *, body_limit: int = 100, status: int = 200) -> None:
        super().__init__(body_limit=body_limit)
        self.status = status
        self.seen: list[Request] = []

    def handle(self, request: Request) -> Reply:
        self.seen.append(request)
        status = 413 if len(request.body) > self.body_limit else self.status
        return Reply(status, Headers({"x-name": "recorder"}), b"a body")


def scope(**different: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "scheme": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [(b"host", b"api.example")],
        "server": SERVER,
        **different,
    }


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


def run(fake: Recorder, scope: dict[str, Any], messages: Iterable[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Run the application to its end. Return what it sent, and the messages that it left unread."""
    waiting, sent = list(messages), []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(fake.asgi(scope, receive, send))
    return sent, waiting


def answered(sent: list[Any]) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return status, headers and body of a reply that is complete."""
    assert [message["type"] for message in sent] == ["http.response.start"] + ["http.response.body"] * (len(sent) - 1)
    assert [bool(message.get("more_body")) for message in sent[1:]] == [True] * (len(sent) - 2) + [False]
    body = b"".join(message["body"] for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


@given(cuts=st.lists(st.binary(max_size=30), min_size=1, max_size=4))
def test_the_parts_of_a_body_are_put_together(cuts: list[bytes]) -> None:
    """However a body is cut up on its way, the fake is handed the whole of it, or just more than its limit."""
    fake = Recorder(body_limit=40)
    whole = b"".join(cuts)
    parts = [part(cut, more=index < len(cuts) - 1) for index, cut in enumerate(cuts)]
    sent, _ = run(fake, scope(), parts)
    assert fake.seen[0].body == whole[:41]
    assert answered(sent)[0] == (413 if len(whole) > 40 else 200)


def test_a_body_past_the_limit_is_thrown_away() -> None:
    """What arrives after the limit is read to its end and never kept; then the connection is closed."""
    fake = Recorder()
    sent, unread = run(fake, scope(), [part(b" " * 90, more=True)] * 1_000 + [part(b" ")])
    status, headers, _ = answered(sent)
    assert (status, headers[b"connection"], unread) == (413, b"close", [])
    assert len(fake.seen[0].body) == fake.body_limit + 1


def test_a_body_that_announces_its_size_is_not_read() -> None:
    """A body whose declared length is past the limit is refused before a byte of it is asked for."""
    fake = Recorder()
    asked: list[bool] = []

    async def receive() -> dict[str, Any]:
        asked.append(bool(sent))
        return GONE

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"api.example"), (b"content-length", b"101")]
    asyncio.run(fake.asgi(scope(headers=headers), receive, send))
    assert sent[0]["status"] == 413
    assert asked == [True]


@pytest.mark.parametrize("length", [b"9" * 5_000, "²".encode("latin-1"), b"-1", b"1e9", b""])
def test_strange_lengths_do_no_harm(length: bytes) -> None:
    """A declared length that is none, or is of absurd length itself, is answered like any other."""
    sent, _ = run(Recorder(), scope(headers=[(b"content-length", length)]), [part(b"{}"), GONE])
    assert sent[0]["status"] in (200, 413)


@pytest.mark.parametrize("before", [[], [part(b"half", more=True)]])
def test_who_hangs_up_is_not_answered(before: list[Any]) -> None:
    """A client that goes before its request is whole changes nothing and gets nothing."""
    fake = Recorder()
    assert run(fake, scope(), [*before, GONE]) == ([], [])
    assert fake.seen == []


def test_who_hangs_up_while_being_refused_is_let_go() -> None:
    """A client that goes while the rest of its too large body is thrown away gets nothing more."""
    sent, _ = run(Recorder(), scope(), [part(b" " * 101, more=True), GONE])
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize(("method", "status", "body"), [("GET", 200, b"a body"), ("HEAD", 200, b""), ("GET", 204, b"")])
def test_a_body_is_only_where_one_may_be(method: str, status: int, body: bytes) -> None:
    """HEAD and 204 carry no body; where the body is left out its length is still told, except with 204."""
    sent, _ = run(Recorder(status=status), scope(method=method), [part(b"")])
    got, headers, content = answered(sent)
    assert (got, content) == (status, body)
    assert headers.get(b"content-length") == (None if status == 204 else b"6")


@given(
    host=st.one_of(st.binary(max_size=20), st.sampled_from([b"[::1", b"[::1]:80", b"a:99999", b"a@b", b"::1", b"a:0"])),
    path=st.binary(max_size=20),
    query=st.binary(max_size=20),
    server=st.sampled_from([SERVER, ("::1", 80), ("/run/socket", None), None]),
)
def test_every_target_is_a_url(host: bytes, path: bytes, query: bytes, server: Any) -> None:
    """Whatever bytes stand in Host header, path and query, the fake is handed an absolute URL that can be taken apart."""
    fake = Recorder()
    run(fake, scope(headers=[(b"host", host)], raw_path=path, query_string=query, server=server), [part(b"")])
    target = urlsplit(fake.seen[0].url)
    assert target.scheme == "http"
    assert target.hostname
    assert target.port != 0
    assert target.path.startswith("/")
    assert target.fragment == ""
    assert bool(target.query) == bool(query)


@pytest.mark.parametrize(
    ("different", "url"),
    [
        ({}, "http://api.example/a"),
        ({"scheme": "https", "query_string": b"b=%20c&d"}, "https://api.example/a?b=%20c&d"),
        ({"raw_path": b"//a/../b;c%2Fd"}, "http://api.example//a/../b;c%2Fd"),
        ({"raw_path": b"http://other.example/b"}, "http://api.example/b"),
        ({"raw_path": b"http://other.example"}, "http://api.example/"),
        ({"raw_path": b"*"}, "http://api.example/*"),
        ({"raw_path": None, "path": "/é b"}, "http://api.example/%C3%A9%20b"),
        ({"headers": []}, "http://127.0.0.1:8080/a"),
        ({"headers": [], "server": ("::1", 80)}, "http://[::1]:80/a"),
        ({"headers": [], "server": None}, "http://localhost/a"),
        ({"headers": [(b"host", b"[::1]:8080")]}, "http://[::1]:8080/a"),
        ({"headers": [(b"host", b"a/b?c")]}, "http://127.0.0.1:8080/a"),
    ],
)
def test_targets_in_each_form(different: dict[str, Any], url: str) -> None:
    """The URL has the host that the client asked for, the socket's own where that is none, and the path and query as sent."""
    fake = Recorder()
    run(fake, scope(**different), [part(b"")])
    assert fake.seen[0].url == url


def test_the_lifespan_is_kept() -> None:
    """Servers that announce their start and end are told that all is well."""
    sent, _ = run(Recorder(), {"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_other_protocols_are_refused() -> None:
    """A WebSocket is closed before it opens, and what is not known is let be."""
    sent, _ = run(Recorder(), {"type": "websocket"}, [{"type": "websocket.connect"}])
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert run(Recorder(), {"type": "carrier pigeon"}, []) == ([], [])
