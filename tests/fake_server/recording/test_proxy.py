"""Claims about the proxy: traffic is forwarded unchanged, failures too, and the exchange has all of it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import queue
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_server import FakeServer
from fake_server.adapters.asgi import Receive, Scope, Send
from fake_server.adapters.listen import listen
from fake_server.messages import Exchange
from fake_server.recording.capture import BodyCapture, decompressed
from fake_server.recording.proxy import Proxy, origin_of
from fake_server.recording.relay import PROXY_ERROR_HEADER, Relay, end_to_end
from kling_contract.clock import VirtualClock
from tests.support.calls import creating

PATIENCE = 30  # seconds after which a test that waits has failed


@dataclass
class Proxied:
    """A proxy that runs, and the exchanges that passed it."""

    url: str
    exchanges: queue.SimpleQueue[Exchange]

    def next(self) -> Exchange:
        return self.exchanges.get(timeout=PATIENCE)


@contextlib.contextmanager
def proxy_of(upstream: str, **options: Any) -> Iterator[Proxied]:
    exchanges: queue.SimpleQueue[Exchange] = queue.SimpleQueue()
    with listen(Proxy(upstream, exchanges.put, **options)) as url:
        yield Proxied(url, exchanges)


@dataclass
class Upstream:
    """An ASGI application that keeps what it is sent, and responds as configured."""

    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    scope: Any = None
    heard: bytes = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, parts, more = scope, [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        self.heard = b"".join(parts)
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


@contextlib.contextmanager
def scripted(script: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen, let `script` talk to the first who connects, and hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(PATIENCE)
                script(connection)

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(PATIENCE)


def heard(connection: socket.socket, end: bytes = b"\r\n\r\n") -> bytes:
    got = b""
    while end not in got and (part := connection.recv(65_536)):
        got += part
    return got


def talked(url: str, sent: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the other side hangs up."""
    target = urlsplit(url)
    with socket.create_connection((target.hostname or "", target.port or 0), timeout=PATIENCE) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[Upstream, Proxied]]:
    upstream = Upstream()
    with listen(upstream) as url, proxy_of(url) as proxied:
        yield upstream, proxied


TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
NAMES = TEXT.map(lambda text: b"x-" + bytes(ord("a") + ord(c) % 26 for c in text))
FIELDS = st.lists(st.tuples(NAMES, TEXT.map(str.encode)), max_size=4)
TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#?"), max_size=20)


@settings(max_examples=60)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]),
    path=TARGETS,
    query=TARGETS,
    sent=FIELDS,
    body=st.binary(max_size=300),
    status=st.integers(200, 599).filter(lambda status: status not in (204, 205, 304)),
    came=FIELDS,
    answer=st.binary(max_size=300),
)
def test_traffic_is_forwarded_unchanged(
    echo: tuple[Upstream, Proxied],
    method: str,
    path: str,
    query: str,
    sent: list[tuple[bytes, bytes]],
    body: bytes,
    status: int,
    came: list[tuple[bytes, bytes]],
    answer: bytes,
) -> None:
    """Method, target, header fields and body are forwarded unchanged, and so are status, header fields and body of the response."""
    upstream, proxied = echo
    length = (b"content-length", b"%d" % len(answer))
    upstream.status, upstream.headers, upstream.body = status, [*came, length], answer
    target = f"/{path}?{query}" if query else f"/{path}"
    lines = [f"{method} {target} HTTP/1.1".encode(), b"host: elsewhere.example", b"connection: close"]
    fields = [*sent, (b"content-length", b"%d" % len(body))]
    lines += [name + b": " + value for name, value in fields]
    head, _, content = talked(proxied.url, b"\r\n".join([*lines, b"", body])).partition(b"\r\n\r\n")
    exchange = proxied.next()

    assert upstream.scope["method"] == method
    assert upstream.scope["raw_path"].decode() == f"/{path}"
    assert upstream.scope["query_string"].decode() == query
    assert [each for each in upstream.scope["headers"] if each[0] != b"host"] == fields
    assert upstream.heard == body
    status_line, *told = head.split(b"\r\n")
    assert int(status_line.split()[1]) == status
    assert [tuple(line.split(b": ", 1)) for line in told if line.lower() != b"connection: close"] == [*came, length]
    assert content == (b"" if method == "HEAD" else answer)

    assert exchange.failure is None
    assert exchange.request.body == body
    assert exchange.request.method == method
    assert exchange.request.url.endswith(target)
    assert (exchange.reply.status, exchange.reply.body) == (status, content)


def test_the_host_is_the_upstreams(echo: tuple[Upstream, Proxied]) -> None:
    """The Host header names the upstream, and fields about one connection are forwarded in neither direction."""
    upstream, proxied = echo
    upstream.headers = [(b"Keep-Alive", b"timeout=5"), (b"connection", b"x-mine"), (b"x-mine", b"1"), (b"Ends", b"2")]
    with httpx.Client() as client:
        sent = {"connection": "keep-alive, x-hop", "x-hop": "1", "te": "trailers", "upgrade": "h2c"}
        answered = client.get(proxied.url, headers=sent)
    proxied.next()
    got = dict(upstream.scope["headers"])
    assert got[b"host"].decode() == "{}:{}".format(*upstream.scope["server"])
    assert not {b"connection", b"x-hop", b"te", b"upgrade"} & set(got)
    assert "x-mine" not in answered.headers
    assert "keep-alive" not in answered.headers
    assert answered.headers["ends"] == "2"


def test_bodies_without_a_length_pass(echo: tuple[Upstream, Proxied]) -> None:
    """Chunked bodies are forwarded in both directions."""
    upstream, proxied = echo
    upstream.status, upstream.headers, upstream.body = 200, [], b"answered " * 1_000
    with httpx.Client() as client:
        answered = client.post(proxied.url, content=iter([b"one ", b"two ", b"three"]))
    exchange = proxied.next()
    assert upstream.heard == exchange.request.body == b"one two three"
    assert answered.content == exchange.reply.body == upstream.body


def test_chunks_are_forwarded_at_once() -> None:
    """The beginning of a body is forwarded, in both directions, before its end has arrived."""
    begun, parts = threading.Event(), []

    def script(connection: socket.socket) -> None:
        parts.append(heard(connection, b"first"))
        begun.set()
        parts.append(heard(connection, b"last"))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin")
        assert received.wait(PATIENCE)
        connection.sendall(b"/end")

    def body() -> Iterator[bytes]:
        yield b"first"
        assert begun.wait(PATIENCE)
        yield b"last"

    received = threading.Event()
    with scripted(script) as upstream, proxy_of(upstream) as proxied, httpx.Client(timeout=PATIENCE) as client:
        with client.stream("POST", proxied.url, content=body()) as answered:
            came = b""
            for part in answered.iter_raw():
                came += part
                if came == b"begin":
                    received.set()
        exchange = proxied.next()
    assert came == exchange.reply.body == b"begin/end"
    assert exchange.failure is None


def test_long_bodies_pass_whole_and_are_not_held() -> None:
    """Bodies over the limit are forwarded whole; the exchange has their beginning and their size."""
    upstream, long = Upstream(body=bytes(3_000_000)), bytes(2_000_000)
    with listen(upstream) as url, proxy_of(url, limit=100_000) as proxied, httpx.Client() as client:
        assert client.post(proxied.url, content=long).content == upstream.body
        exchange = proxied.next()
    assert upstream.heard == long
    assert exchange.request.headers["content-length"] == str(len(long))
    assert 0 < len(exchange.request.body) < 10_000
    assert 0 < len(exchange.reply.body) < 10_000
    assert not exchange.arrived


@given(st.lists(st.binary(max_size=50)), st.integers(0, 100))
def test_a_body_is_kept_up_to_its_limit(parts: list[bytes], limit: int) -> None:
    """A body within the limit is kept whole; of a longer one, the beginning."""
    body, whole = BodyCapture(limit), b"".join(parts)
    for part in parts:
        body.add(part)
    assert body.size == len(whole)
    assert body.truncated == (len(whole) > limit)
    assert whole.startswith(body.kept)
    assert body.truncated or body.kept == whole


@given(st.binary(max_size=2_000), st.integers(0, 2_000), st.sampled_from(["gzip", "X-GZIP", "deflate", "bare deflate"]))
def test_compressed_bodies_can_be_read(body: bytes, limit: int, coding: str) -> None:
    """A compressed body is decompressed, unless it is longer than the limit, broken, or followed by other data."""
    bare = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = {"deflate": zlib.compress(body), "bare deflate": bare.compress(body) + bare.flush()}.get(
        coding, gzip.compress(body)
    )
    name = coding.removeprefix("bare ")
    assert decompressed(packed, name, limit=max(1, len(body))) == body
    if 0 < limit < len(body):
        assert decompressed(packed, name, limit=limit) is None
    assert decompressed(packed[:-1], name, limit=3_000) != body or coding == "bare deflate"
    assert decompressed(packed + b"!", name, limit=3_000) is None


def test_compressed_answers_pass_compressed() -> None:
    """A compressed response is forwarded as it is, and decompressed in the exchange; an unknown coding stays in its header."""
    plain = json.dumps({"id": "1"}).encode()
    upstream = Upstream(headers=[(b"content-encoding", b"gzip")], body=gzip.compress(plain))
    with listen(upstream) as url, proxy_of(url) as proxied, httpx.Client() as client:
        with client.stream("GET", proxied.url) as answered:
            assert b"".join(answered.iter_raw()) == upstream.body
        exchange = proxied.next()
        assert exchange.reply.body == plain
        assert "content-encoding" not in exchange.reply.headers
        upstream.headers = [(b"content-encoding", b"klingon")]
        client.get(proxied.url)
        exchange = proxied.next()
        assert exchange.reply.body == upstream.body
        assert exchange.reply.headers["content-encoding"] == "klingon"


def test_an_upstream_that_is_down_is_reported() -> None:
    """If nobody listens, the proxy responds with 502, also to a client that is still sending, and the exchange has no response."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with proxy_of(f"http://127.0.0.1:{port}") as proxied:
        head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 20000000\r\n\r\n"
        said = talked(proxied.url, head + bytes(20_000_000))
        exchange = proxied.next()
    assert exchange.failure is not None
    assert str(port) in exchange.failure
    assert said.startswith(b"HTTP/1.1 502")
    assert f"{PROXY_ERROR_HEADER}: {exchange.failure}".encode() in said
    assert said.endswith(exchange.failure.encode())
    assert exchange.reply.status == 0
    assert len(exchange.request.body) == 20_000_000


def test_an_upstream_that_is_slow_is_reported() -> None:
    """If no byte arrives in time, the proxy responds with 504."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        upstream = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with proxy_of(upstream, timeout=0.05) as proxied, httpx.Client() as client:
            answered = client.get(proxied.url)
            exchange = proxied.next()
    assert answered.status_code == 504
    assert answered.headers[PROXY_ERROR_HEADER] == exchange.failure
    assert exchange.reply.status == 0


@pytest.mark.parametrize("rubbish", [b"", b"no HTTP\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nno field"])
def test_an_invalid_response_is_reported(rubbish: bytes) -> None:
    """If the upstream sends no valid HTTP, the proxy responds with 502."""

    def script(connection: socket.socket) -> None:
        heard(connection)
        connection.sendall(rubbish)

    with scripted(script) as upstream, proxy_of(upstream) as proxied, httpx.Client() as client:
        answered = client.get(proxied.url)
        exchange = proxied.next()
    assert answered.status_code == 502
    assert PROXY_ERROR_HEADER in answered.headers
    assert exchange.reply.status == 0


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100\r\n\r\nbegin", b"Transfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n"]
)
def test_an_answer_that_breaks_off_breaks_off(framing: bytes) -> None:
    """The client gets the part of a response that arrived, and sees that it is incomplete; so does the exchange."""

    def script(connection: socket.socket) -> None:
        heard(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing)

    with scripted(script) as upstream, proxy_of(upstream) as proxied:
        said = talked(proxied.url, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        exchange = proxied.next()
    assert said.startswith(b"HTTP/1.1 200")
    assert b"begin" in said
    assert not said.endswith(b"0\r\n\r\n")
    assert exchange.failure is not None
    assert not exchange.arrived
    assert exchange.reply.body[: exchange.reply.cut] == b"begin"


@given(st.text(st.characters(codec="utf-8"), max_size=80) | st.text("\x00\x1b\x7f\r\n \t\x85", max_size=600))
def test_an_error_is_a_legal_header(error: str) -> None:
    """Whatever the text of an error, the header and the body that carry it are one line of printable ASCII (RFC 9110, 5.5)."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def failed() -> Relay:
        relay = Relay(1_000, receive, send)
        relay._request_complete.set()
        await relay.fail(502, error)
        return relay

    relay = asyncio.run(failed())
    start, body = sent
    value = dict(start["headers"])[PROXY_ERROR_HEADER.encode()]
    assert value == body["body"] == (relay.error or "").encode()
    assert all(0x20 <= byte <= 0x7E for byte in value)
    assert value == value.strip()
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(value)


def test_one_framing_is_forwarded() -> None:
    """Of two framings the chunked one is forwarded alone, and Connection cannot take the length away (RFC 9112, 6.3)."""
    with listen(upstream := Upstream(body=b"done")) as url, proxy_of(url) as proxied:
        both = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        assert talked(proxied.url, both).startswith(b"HTTP/1.1 200")
        assert upstream.heard == b"abc"
        named = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close, content-length\r\ncontent-length: 3\r\n\r\nabc"
        assert talked(proxied.url, named).startswith(b"HTTP/1.1 200")
        assert upstream.heard == b"abc"
        assert dict(upstream.scope["headers"])[b"content-length"] == b"3"
    fields = [(b"Content-Length", b"9"), (b"Transfer-Encoding", b"chunked"), (b"x", b"1")]
    assert end_to_end(fields) == [(b"x", b"1")]


def test_a_client_that_disconnects_is_reported() -> None:
    """If the client disconnects before the response, the upstream is disconnected as well, and the exchange says so."""
    asked, gone = threading.Event(), threading.Event()

    def script(connection: socket.socket) -> None:
        heard(connection)
        asked.set()
        if not connection.recv(1):  # until the proxy hangs up
            gone.set()

    with scripted(script) as upstream, proxy_of(upstream) as proxied:
        target = urlsplit(proxied.url)
        with socket.create_connection((target.hostname or "", target.port or 0)) as program:
            program.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert asked.wait(PATIENCE)
        exchange = proxied.next()
        assert gone.wait(PATIENCE)
    assert exchange.reply.status == 0
    assert "disconnected" in (exchange.failure or "")


def test_an_unfinished_exchange_is_reported() -> None:
    """An exchange that is not over when the proxy stops is not lost."""
    asked = threading.Event()

    def script(connection: socket.socket) -> None:
        heard(connection)
        asked.set()
        connection.recv(1)

    with scripted(script) as upstream:
        with proxy_of(upstream) as proxied:
            target = urlsplit(proxied.url)
            program = socket.create_connection((target.hostname or "", target.port or 0))
            program.sendall(b"GET /last HTTP/1.1\r\nhost: x\r\n\r\n")
            assert asked.wait(PATIENCE)
        exchange = proxied.next()
        program.close()
    assert exchange.request.target.path == "/last"
    assert exchange.failure is not None


def test_nothing_goes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go to the upstream only, whatever a redirect, a full URL in the request, or the environment's proxy says."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    upstream = Upstream(status=307, headers=[(b"location", b"https://elsewhere.example/")])
    with listen(upstream) as url, proxy_of(url) as proxied:
        said = talked(
            proxied.url, b"GET http://elsewhere.example/the/path HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        )
        exchange = proxied.next()
    assert b"location: https://elsewhere.example/" in said
    assert upstream.scope["raw_path"] == b"/the/path"
    assert exchange.request.url == f"{url}/the/path"


def test_certificates_are_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is sent to an upstream with an unknown certificate, unless SSL_CERT_FILE has it."""
    fake = FakeServer()
    with fake.listen(tls=True) as url:
        assert url.ca_pem is not None
        request = creating(fake.contract)
        (tmp_path / "ca.pem").write_text(url.ca_pem)
        for trusted, status in (
            (None, 502),
            (tmp_path / "ca.pem", fake.contract.create.success),
        ):
            if trusted is not None:
                monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
            with proxy_of(url) as proxied, httpx.Client(verify=False) as client:
                to = proxied.url + request.target.path
                answered = client.post(to, content=request.body, headers=dict(request.headers.items()))
                exchange = proxied.next()
            assert answered.status_code == status
            assert (exchange.failure is None) == (trusted is not None)
            assert len(fake.journal) == (trusted is not None)


def test_exchanges_are_on_the_clock() -> None:
    """The begin and the duration of an exchange are read from the clock that the proxy was given."""
    fake = FakeServer()
    with fake.listen() as url, proxy_of(url, clock=fake.clock) as proxied, httpx.Client() as client:
        assert isinstance(fake.clock, VirtualClock)
        fake.clock.advance(77)
        client.get(proxied.url)
        exchange = proxied.next()
    assert exchange.at == fake.clock.now()
    assert exchange.reply.delay == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://x",
        "http://",
        "http://x:0",
        "http://x:99999",
        "http://k@x",
        "http://x/v2",
        "http://x?a",
        "http://[",
    ],
)
def test_an_upstream_is_scheme_and_host(url: str) -> None:
    """An upstream must be scheme, host and port; a password in it is not repeated in the message."""
    with pytest.raises(ValueError, match=r"\S") as wrong:
        origin_of(url)
    assert "k@" not in str(wrong.value)
    assert origin_of("https://Api.example.com:8443/") == "https://Api.example.com:8443"
