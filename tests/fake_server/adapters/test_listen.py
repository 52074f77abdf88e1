"""Claims about the real port: it is there at once and gone at once, and no client, however rude, takes it down."""

from __future__ import annotations

import contextlib
import importlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import requests

from fake_server import FakeServer, Reply, Request
from fake_server.adapters.listen import listen, serve
from fake_server.messages import Headers
from kling_contract.clock import VirtualClock
from kling_contract.errors import ListenError
from kling_contract.generation import Generation
from tests.support import ROOT

KEY = {"Authorization": "Bearer a-key"}


class Recorder(FakeServer):
    """Keeps what it is sent; what is past its limit it calls too large."""

    def __init__(self) -> None:
        super().__init__(body_limit=1_000)
        self.seen: list[Request] = []

    def handle(self, request: Request) -> Reply:
        self.seen.append(request)
        return Reply(413 if len(request.body) > self.body_limit else 200, Headers({}), b"heard")


@contextlib.contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    target = urlsplit(url)
    assert target.hostname is not None
    with socket.create_connection((target.hostname, target.port or 0), timeout=30) as connection:
        yield connection


def said(url: str, sent: bytes) -> bytes:
    """Send bytes as they are, and no more of them. Return all that comes back."""
    with connected(url) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def status_of(reply: bytes) -> int:
    version, status, _ = reply.split(b" ", 2)
    assert version == b"HTTP/1.1"
    return int(status)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def url(recorder: Recorder) -> Iterator[str]:
    with listen(recorder.asgi) as url:
        yield url


def test_videos_are_on_the_port_itself() -> None:
    """A program that knows only the port gets video URLs that lead to it, and downloads there."""
    fake = FakeServer()
    create, get = fake.contract.create, fake.contract.get
    properties = fake.contract.request_schema["properties"]
    payload = {
        name: properties[name].get("enum", ["https://images.example/cat.png"])[0]
        for name in fake.contract.request_schema["required"]
    }
    assert isinstance(fake.clock, VirtualClock)
    with fake.listen() as url, requests.Session() as session:
        session.headers.update(KEY)
        created = session.request(create.method, url + create.path, json=payload)
        assert created.status_code == create.success
        fake.clock.advance(fake.contract.observed.timeline.final.at)
        asked = {get.query["required"][0]: Generation.from_body(created.json()).id}
        polled = session.request(get.method, url + get.path, params=asked)
        video = Generation.from_body(polled.json()).video
        assert video is not None
        assert video.url is not None
        assert video.url.startswith(f"{url}/")
        assert len(requests.get(video.url, timeout=30).content) == video.file_size


def test_two_fakes_live_side_by_side() -> None:
    """Each fake has a port of its own and hears its own requests only."""
    one, other = Recorder(), Recorder()
    with listen(one.asgi) as first, listen(other.asgi) as second:
        assert first != second
        assert requests.get(f"{first}/one", timeout=30).text == "heard"
        assert requests.get(f"{second}/other", timeout=30).text == "heard"
    assert [request.target.path for request in (*one.seen, *other.seen)] == ["/one", "/other"]


def test_the_port_closes_with_the_context() -> None:
    """When the context ends the port refuses and the thread is gone, whoever is still connected and however far they were."""
    threads = threading.active_count()
    with contextlib.ExitStack() as clients, listen(Recorder().asgi) as url:
        idle, half, slow = (clients.enter_context(connected(url)) for _ in range(3))
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(65_536)
        half.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        slow.sendall(b"GET / HT")
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError), connected(url):
        pytest.fail("it is still there")


def test_an_error_inside_closes_the_port() -> None:
    """Whatever is raised inside comes out, and nothing is left running."""
    threads = threading.active_count()
    with pytest.raises(KeyError), listen(Recorder().asgi):
        raise KeyError
    assert threading.active_count() == threads


def test_a_taken_port_is_one_clear_error(url: str) -> None:
    """A port that somebody else has is refused in one line that names it and says what to do."""
    port = urlsplit(url).port
    assert port is not None
    with (
        pytest.raises(ListenError, match=rf"127\.0\.0\.1, port {port}: .*in use; choose another port"),
        listen(Recorder().asgi, port=port),
    ):
        pytest.fail("it was taken twice")


@pytest.mark.parametrize(
    ("host", "port"), [("", -1), ("127.0.0.1", 70_000), ("256.0.0.1", 0), ("a" * 64, 0), ("192.0.2.1", 0)]
)
def test_a_place_that_is_none_is_one_clear_error(host: str, port: int) -> None:
    """A host or port that this machine cannot have is refused likewise."""
    with (
        pytest.raises(ListenError, match=f"cannot listen on {host}, port {port}: "),
        listen(Recorder().asgi, host=host, port=port),
    ):
        pytest.fail("it listens")


def test_other_machines_are_let_in_with_a_warning_only(recorder: Recorder) -> None:
    """To listen on all addresses is possible, and draws a warning; the URL is one that can be called from here."""
    with pytest.warns(RuntimeWarning, match=r"127\.0\.0\.1"), listen(recorder.asgi, host="0.0.0.0") as url:
        assert requests.get(url, timeout=30).text == "heard"


def test_a_name_is_kept(recorder: Recorder) -> None:
    """Asked to listen on a name, the URL has that name."""
    with listen(recorder.asgi, host="localhost") as url:
        assert urlsplit(url).hostname == "localhost"
        assert requests.get(url, timeout=30).text == "heard"


def test_https_for_those_who_insist(recorder: Recorder) -> None:
    """With TLS the URL is https, and who trusts the certificate that comes with it is served; others are not."""
    with listen(recorder.asgi, tls=True) as url:
        assert url.ca_pem is not None
        assert url.startswith("https://")
        assert httpx.get(url, verify=ssl.create_default_context(cadata=url.ca_pem)).text == "heard"
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(url)
    assert recorder.seen[0].target.scheme == "https"


RUDE = {
    "noise": b"\x00\xff\x16\x03\x01 noise\r\n\r\n",
    "another protocol": b"GET / HTTQ/1.1\r\nHost: a\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost a\r\n\r\n",
    "a header without an end": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 300_000,
    "a length that is none": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a bad chunk": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
}


@pytest.mark.parametrize("sent", RUDE.values(), ids=RUDE)
def test_what_is_no_http_is_refused(url: str, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no request get a 400 or nothing, no traceback is logged, and the next client is served."""
    with contextlib.suppress(OSError):  # it may close while it is still being sent to
        reply = said(url, sent)
        assert reply == b"" or status_of(reply) == 400
    assert requests.get(url, timeout=30).text == "heard"
    assert [record for record in caplog.records if record.exc_info] == []


ODD = {
    "no host": b"GET /a HTTP/1.0\r\n\r\n",
    "a host that is none": b"GET /a HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "a host with more in it": b"GET /a HTTP/1.1\r\nHost: u:p@b/c?d#e\r\n\r\n",
    "two requests at once": b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n" * 2,
    "a whole URL": b"GET http://api.example/a HTTP/1.1\r\nHost: api.example\r\n\r\n",
    "an upgrade": b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a rare method": b"PROPFIND /a HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
def test_what_is_odd_is_answered(url: str, recorder: Recorder, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A request that is strange, but one, reaches the fake with an absolute URL."""
    assert status_of(said(url, sent)) == 200
    assert {request.target.path for request in recorder.seen} == {"/a"}
    assert all(request.target.hostname for request in recorder.seen)
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("chunked", [False, True])
def test_sixty_megabytes_are_refused_and_not_kept(url: str, recorder: Recorder, chunked: bool) -> None:
    """A body far past the limit is refused, the client can send all of it and read why, and none of it is kept."""
    piece = b" " * 1_000_000
    body: Any = iter([piece] * 60) if chunked else piece * 60
    assert requests.post(url, data=body, timeout=60).status_code == 413
    assert len(recorder.seen[0].body) == recorder.body_limit + 1
    assert requests.get(url, timeout=30).text == "heard"


def test_who_asks_first_need_not_send(url: str) -> None:
    """A client that waits for leave to send a body too large is refused in place of being told to go on."""
    with connected(url) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n")
        assert status_of(connection.recv(65_536)) == 413


def test_who_hangs_up_is_forgotten(url: str, recorder: Recorder) -> None:
    """A client that goes in the middle of its body is never heard by the fake, and the next one is served."""
    said(url, b"POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    assert requests.get(f"{url}/next", timeout=30).text == "heard"
    assert [request.target.path for request in recorder.seen] == ["/next"]


@pytest.mark.parametrize(
    "parser", ["uvicorn.protocols.http.h11_impl:H11Protocol", "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol"]
)
def test_no_header_field_keeps_an_answer_back(parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever parser uvicorn uses, an answer arrives though its header fields are illegal, and the next one too."""
    module, _, name = parser.partition(":")
    if "httptools" in module:
        pytest.importorskip("httptools")
    monkeypatch.setattr("uvicorn.protocols.http.auto.AutoHTTPProtocol", getattr(importlib.import_module(module), name))

    class Illegal(Recorder):
        def handle(self, request: Request) -> Reply:
            fields = {
                ":status": "200",
                "a b": "c",
                "x-a": " a\r\nx-b: c ",
                "x-c": "\x00",
                "x-d": "cat \U0001f408 ",
                "": "",
            }
            framing = {"content-length": "many", "transfer-encoding": "gzip, chunked"}
            return Reply(200, Headers({**fields, **framing}), b"heard")

    with listen(Illegal().asgi) as url, requests.Session() as session:
        for _ in range(2):
            answer = session.get(url, timeout=30)
            assert answer.text == "heard"
            assert dict(answer.headers) == {
                "x-a": "a x-b: c",
                "x-c": "",
                "x-d": "cat \\U0001f408",
                "content-length": "5",
            }


SERVE = """
from fake_server import FakeServer
from fake_server.adapters.listen import serve
serve(FakeServer().asgi, on_ready=lambda url: print(url, flush=True))
print("ended", flush=True)
"""


def test_a_signal_ends_it_whichever_thread_gets_it() -> None:
    """SIGTERM ends the server in the foreground also if the system delivers it to another thread, while nothing happens."""
    main, ended = threading.main_thread().ident, threading.Event()

    def interrupt() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        if not ended.wait(5):
            late.append(True)
            signal.pthread_kill(main or 0, signal.SIGTERM)

    late: list[bool] = []
    thread = threading.Thread(target=interrupt)
    serve(FakeServer().asgi, on_ready=lambda _: thread.start())
    ended.set()
    thread.join()
    assert not late


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_foreground_ends_when_told(number: int) -> None:
    """Ctrl-C and SIGTERM end the server in the foreground, without a traceback, though a client is in mid-request."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVE],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with connected(url) as idle, connected(url) as half:
            idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert json.loads(idle.recv(65_536).partition(b"\r\n\r\n")[2] or idle.recv(65_536))
            half.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
            process.send_signal(number)
            rest, errors = process.communicate(timeout=60)
        assert (process.returncode, rest.strip(), errors) == (0, "ended", "")
