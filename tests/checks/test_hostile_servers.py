"""Claims about servers that are none, or hostile: they are unreachable or broken, and cannot harm whoever checks them."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from fake_server import FakeServer
from kling_contract.checks.deadline import Deadline, DeadlineExceeded
from kling_contract.checks.guard import CreationGuard
from kling_contract.checks.plan import EXPLORATIONS
from kling_contract.checks.runner import CheckRun, check
from kling_contract.contract import Contract
from kling_contract.errors import ServerUnreachable
from tests.support.targets import KEY, answering, served

CONTRACT = Contract.load()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8080", "scheme"),
        ("", "scheme"),
        ("ftp://localhost", "scheme"),
        ("http://", "scheme"),
        ("http://localhost:99999", "not a URL"),
        ("http://me:secret@localhost", "no user name"),
        ("http://localhost/?key=secret", "query"),
        ("http://127.0.0.1:9", "does not answer"),
        ("http://192.0.2.1", "allow_remote=True"),
        ("http://localhost.example.com", "allow_remote=True"),
    ],
)
def test_urls_that_lead_nowhere(url: str, said: str) -> None:
    """A URL that leads nowhere, or to another machine without being told so, is refused with what to do, and no secret."""
    with pytest.raises(ServerUnreachable, match=said) as refused:
        check(url)
    assert "secret" not in str(refused.value)


def test_a_host_that_does_not_resolve() -> None:
    """A host that does not resolve is unreachable."""
    with pytest.raises(ServerUnreachable, match="does not answer"):
        check("http://no-such-host.invalid", allow_remote=True, time_limit=5)


def test_tls_that_fails() -> None:
    """A server that speaks no TLS, or has a certificate that nobody vouches for, is unreachable."""
    with FakeServer().listen(tls=True) as url, pytest.raises(ServerUnreachable, match=r"(?i)certificate"):
        check(str(url))
    with served() as (url, _), pytest.raises(ServerUnreachable, match=r"(?i)ssl"):
        check(url.replace("http:", "https:"))


def test_a_redirect_is_not_followed() -> None:
    """A server that sends the caller elsewhere is unreachable, and elsewhere nobody is run."""
    asked: list[str] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"location": "http://elsewhere.example/"})

    with pytest.raises(ServerUnreachable, match=r"elsewhere\.example"):
        check(answering(elsewhere))
    assert set(asked) == {httpx.URL(CONTRACT.base_url).host}


def test_a_key_that_is_not_taken() -> None:
    """A server that does not take the key is not checked with it."""
    with served() as (url, _), pytest.raises(ServerUnreachable, match="key"):
        check(url, key="a-key-of-nobody")


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\nx: "], ids=["silent", "dripping"])
def test_a_server_that_never_answers(drip: bytes) -> None:
    """A server that accepts and says nothing, or sends a header without end, is unreachable within the time limit."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(drip)
                while drip and not over.wait(0.02):
                    connection.sendall(b"a")
                over.wait()

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            CheckRun(url, time_limit=0.3, grace=0.1) as run,
            pytest.raises(ServerUnreachable, match=r"answer|too long"),
        ):
            list(run.results())
        over.set()
        thread.join()


class _Endless(BaseHTTPRequestHandler):
    """Answers every request with a body that has no end, or is announced with 5 GB."""

    announced: int | None = None
    poured = 0

    def do_GET(self) -> None:
        self.send_response(404)
        if self.announced:
            self.send_header("content-length", str(self.announced))
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"a" * 2**16)
                type(self).poured += 2**16
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("announced", [None, 5 * 2**30], ids=["endless", "5 GB"])
def test_responses_without_end_are_not_read_on(announced: int | None) -> None:
    """Of a response that has no end, or 5 GB, ten megabytes are read, and the server is said not to answer."""
    handler: Any = type("Endless", (_Endless,), {"announced": announced, "poured": 0})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with pytest.raises(ServerUnreachable, match="more than 10,000,000 bytes"):
            check(f"http://127.0.0.1:{server.server_port}", time_limit=20)
        server.shutdown()
        thread.join()
    assert handler.poured < 30 * 2**20


def test_a_bomb_is_not_unpacked() -> None:
    """Nothing is read of what unpacks to more than the limit."""
    import gzip

    bomb = gzip.compress(bytes(50_000_000))

    class Bomb(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            pieces = iter([bomb[i : i + 4096] for i in range(0, len(bomb), 4096)])
            return httpx.Response(404, headers={"content-encoding": "gzip"}, content=pieces)

    guard = CreationGuard(Bomb(), deadline=Deadline(60), key=KEY)
    with httpx.Client(transport=guard) as client, pytest.raises(httpx.ReadError, match="more than 10,000,000 bytes"):
        client.get("http://localhost/", headers={"authorization": "Bearer x"})


def test_a_server_that_dies_on_the_way() -> None:
    """A server that does not answer any more is found, and what was not checked is said to be skipped."""
    fake = FakeServer(api_key=KEY)
    count = iter(range(10**6))

    def dying(request: httpx.Request) -> httpx.Response:
        if next(count) > 5:
            raise httpx.ConnectError("connection refused", request=request)
        return httpx.Client(transport=fake.transport()).send(request)

    with CheckRun(answering(dying), seed=0) as run:
        results = list(run.results())
    assert [bool(each.findings) for each in results[:4]] == [True, True, True, False]
    assert all(each.incomplete for each in results[3:])
    assert "curl" in results[0].findings[0].reproduce


@pytest.mark.parametrize("name", ["any-order", "schemathesis"])
def test_time_that_runs_out_on_the_way_is_said(name: str) -> None:
    """When the time is over in the middle of a claim that repeats what fails, it is skipped, and not taken for kept."""
    claim = next(claim for claim in EXPLORATIONS if claim.name == name)
    with (
        served() as (url, _),
        CheckRun(url, creations=None, key=KEY, seed=0, time_limit=0.3) as run,
        pytest.raises(DeadlineExceeded),
    ):
        run.check(claim)


def test_the_time_limit_ends_a_run() -> None:
    """What there was no time for is skipped, and says so."""
    fake = FakeServer(api_key=KEY)
    count = itertools.count()

    def tiring(request: httpx.Request) -> httpx.Response:
        if next(count) == 10:
            time.sleep(0.3)
        return fake.transport().handle_request(request)

    with CheckRun(answering(tiring), seed=0, time_limit=0.3) as run:
        results = list(run.results())
    assert results[-1].incomplete
    assert "time limit" in str(results[-1].skipped)


def test_a_proxy_is_honoured_beyond_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to another machine go through the proxy that the environment names; those to this machine do not."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
        listener.settimeout(20)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy", "http_proxy"):
            monkeypatch.delenv(name, raising=False)

        def refuse() -> bytes:
            connection, _ = listener.accept()
            with connection:
                asked = connection.recv(1000)
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
            return asked

        asked = pool.submit(refuse)
        with pytest.raises(ServerUnreachable, match="502"):
            check("https://api.example.invalid", allow_remote=True, time_limit=20)
        assert asked.result().startswith(b"CONNECT api.example.invalid:443 ")
        with served() as (url, _):
            assert check(url, key=KEY, seed=0) == []


@pytest.mark.parametrize("server", ["kept", "broken", "silent", "elsewhere", "gone"])
def test_nothing_is_left_open(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes of a check, every client that it opened is closed after it, and every connection of theirs."""
    clients: list[httpx.Client] = []
    transports: list[httpx.HTTPTransport] = []
    client_made, transport_made = httpx.Client.__init__, httpx.HTTPTransport.__init__

    def noted_client(self: httpx.Client, **options: Any) -> None:
        clients.append(self)
        client_made(self, **options)

    def noted_transport(self: httpx.HTTPTransport, **options: Any) -> None:
        transports.append(self)
        transport_made(self, **options)

    monkeypatch.setattr(httpx.Client, "__init__", noted_client)
    monkeypatch.setattr(httpx.HTTPTransport, "__init__", noted_transport)
    with served(strictness="off" if server == "broken" else "lax") as (kept, _), socket.create_server(("", 0)) as mute:
        silent = f"http://127.0.0.1:{mute.getsockname()[1]}"
        url = {"silent": silent, "elsewhere": "http://192.0.2.1", "gone": "http://127.0.0.1:9"}.get(server, kept)
        with suppress(ServerUnreachable):
            limit = 0.3 if server == "silent" else 60
            with CheckRun(url, creations=1, key=KEY, time_limit=limit, grace=0.1) as run:
                list(run.results())
    assert len(clients) == (0 if server == "elsewhere" else 2)
    assert all(each.is_closed for each in clients)
    assert not any(each._pool.connections for each in transports)
