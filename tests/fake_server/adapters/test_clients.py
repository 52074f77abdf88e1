"""Claims about the clients of this process: while a fake intercepts, each of them ends in it or is refused."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
import ssl
import threading
import urllib.error
import urllib.request
from _ssl import _SSLContext
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.resolver
import certifi
import httpx
import pytest
import requests
import requests_mock
import responses
import trio
import urllib3
from requests.adapters import HTTPAdapter

from fake_server import FakeServer, Fault, Reply, Request, Scenario
from fake_server.adapters.authority import Authority
from fake_server.adapters.gate import Gate
from fake_server.adapters.listen import listen
from fake_server.exercises import exercise
from fake_server.messages import Headers
from fake_server.preload.connections import Redirection
from fake_server.scenario.scenario import scenarios
from kling_contract.clock import VirtualClock
from kling_contract.contract import Contract
from kling_contract.errors import DocumentError
from kling_contract.hosts import is_loopback
from tests.fake_server.adapters.test_every_adapter import create, poll

uvloop = pytest.importorskip("uvloop")  # there is none for Windows

CONTRACT = Contract.load()
API = CONTRACT.base_url
HOST = API.removeprefix("https://")
ELSEWHERE = "elsewhere.example"
PRECIOUS = http.client.HTTPSConnection  # kept by a program under another name


class Named(FakeServer):
    """A fake that answers with its name, and counts what it is asked."""

    def __init__(self, name: str = "the fake") -> None:
        super().__init__(contract=CONTRACT)
        self.name = name
        self.asked = 0

    def handle(self, request: Request) -> Reply:
        self.asked += 1
        return Reply(200, Headers(), self.name.encode())


@pytest.fixture(autouse=True)
def guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Nothing but this machine is connected to, or looked up, in any test here."""
    escaped: list[Any] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not is_loopback(str(address[0])):
            escaped.append(address)
            raise ConnectionRefusedError("escaped")
        connect(self, address)

    def guarded_look_up(host: Any, *arguments: Any, **named: Any) -> Any:
        if not is_loopback(str(host)):
            escaped.append(host)
            raise socket.gaierror("escaped")
        return look_up(host, *arguments, **named)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield escaped
    assert not escaped


def by_urllib(host: str) -> str:
    try:
        with urllib.request.urlopen(f"https://{host}/a") as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as answered:
        with answered:
            return answered.read().decode()


def by_http_client(host: str) -> str:
    with contextlib.closing(PRECIOUS(host)) as connection:
        connection.request("GET", "/a")
        return connection.getresponse().read().decode()


def by_urllib3(host: str) -> str:
    with urllib3.PoolManager() as pool:
        return pool.request("GET", f"https://{host}/a", retries=False).data.decode()


def by_requests(host: str) -> str:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = certifi.where()
        session.mount("https://", HTTPAdapter(pool_maxsize=1))
        return session.get(f"https://{host}/a").text


def by_socket(host: str) -> str:
    context = ssl.create_default_context(cafile=certifi.where())
    with socket.create_connection((host, 443)) as plain, context.wrap_socket(plain, server_hostname=host) as secure:
        secure.sendall(f"GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := secure.recv(1000):
            answer += part
    return answer.partition(b"\r\n\r\n")[2].decode()


def by_httpx_transport(host: str) -> str:
    context = ssl.create_default_context(cafile=certifi.where())
    with httpx.Client(transport=httpx.HTTPTransport(verify=context)) as client:
        return client.get(f"https://{host}/a").text


async def aiohttp_with(connector: Callable[[], aiohttp.TCPConnector], host: str) -> str:
    async with aiohttp.ClientSession(connector=connector()) as session, session.get(f"https://{host}/a") as response:
        return await response.text()


async def aiohttp_threaded(host: str) -> str:
    return await aiohttp_with(lambda: aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver()), host)


async def aiohttp_aiodns(host: str) -> str:
    return await aiohttp_with(lambda: aiohttp.TCPConnector(resolver=aiohttp.resolver.AsyncResolver()), host)


async def streams(host: str) -> str:
    reader, writer = await asyncio.open_connection(host, 443, ssl=True)
    writer.write(f"GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2].decode()


async def httpx_async(host: str) -> str:
    async with httpx.AsyncClient(verify=False) as client:
        return (await client.get(f"https://{host}/a")).text


def run_by(run: Callable[[Any], Any], call: Callable[[str], Awaitable[str]]) -> Callable[[str], str]:
    return lambda host: str(run(call(host)))


CLIENTS: dict[str, Callable[[str], str]] = {
    "urllib": by_urllib,
    "http.client": by_http_client,
    "urllib3": by_urllib3,
    "requests": by_requests,
    "socket": by_socket,
    "httpx with a transport": by_httpx_transport,
    "aiohttp": run_by(asyncio.run, aiohttp_threaded),
    "aiohttp with aiodns": run_by(asyncio.run, aiohttp_aiodns),
    "aiohttp on uvloop": run_by(uvloop.run, aiohttp_threaded),
    "streams": run_by(asyncio.run, streams),
    "streams on uvloop": run_by(uvloop.run, streams),
    "httpx on uvloop": run_by(uvloop.run, httpx_async),
    "httpx on trio": lambda host: trio.run(httpx_async, host),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_each_ends_in_the_fake_or_is_refused(client: str) -> None:
    """Each client reaches the fake, with its certificates verified, and no other host; after that everything is as before."""
    call, fake = CLIENTS[client], Named()
    before = socket.socket.connect, socket.getaddrinfo, ssl.SSLContext.wrap_bio, aiohttp.TCPConnector._resolve_host
    with fake.intercept():
        assert call(HOST) == fake.name
        assert "this fake stands for" in call(f"staging-{HOST}")
        with pytest.raises((OSError, aiohttp.ClientError, urllib3.exceptions.HTTPError, AssertionError)) as refused:
            call(ELSEWHERE)
    assert all(part in str(refused.value) for part in ("kling-contract", ELSEWHERE, 'others="pass"'))
    assert fake.asked == 1
    assert before == (
        socket.socket.connect,
        socket.getaddrinfo,
        ssl.SSLContext.wrap_bio,
        aiohttp.TCPConnector._resolve_host,
    )


def test_a_context_made_before_is_enough() -> None:
    """A TLS context, a session and a pool of connections that were made before the fake began end in it too."""
    context = ssl.create_default_context(cafile=certifi.where())
    with requests.Session() as session, Named("first").intercept():
        assert session.get(API).text == "first"
        with urllib.request.urlopen(API, context=context) as response:
            assert response.read() == b"first"
        with Named("second").intercept():
            assert session.get(API).text == "second"
        assert session.get(API).text == "first"
    with Named("third").intercept():
        assert session.get(API).text == "third"


def test_interceptions_end_in_any_order(guard: list[Any]) -> None:
    """Of two that overlap the newer answers, whichever ends first; after both a call goes to the real network again."""
    for first_to_end in (0, 1):
        with contextlib.ExitStack() as older, contextlib.ExitStack() as newer:
            older.enter_context(Named("older").intercept())
            newer.enter_context(Named("newer").intercept())
            assert [by_requests(HOST), by_httpx_transport(HOST)] == ["newer", "newer"]
            (older, newer)[first_to_end].close()
            left = ("newer", "older")[first_to_end]
            assert [by_requests(HOST), by_httpx_transport(HOST)] == [left, left]
        with pytest.raises(requests.ConnectionError, match="escaped"):
            by_requests(HOST)
        assert guard.pop() == HOST


def test_threads_may_overlap() -> None:
    """Threads that intercept at the same time, each for a while, all end in a fake."""
    barrier = threading.Barrier(4)

    def one(number: int) -> str:
        barrier.wait()
        texts = []
        for _ in range(3):
            with Named(f"fake {number}").intercept():
                texts.append(by_http_client(HOST))
        return "".join(texts)

    with ThreadPoolExecutor(4) as pool:
        assert all("fake" in text for text in pool.map(one, range(4)))


@pytest.fixture(scope="module")
def elsewhere() -> Authority:
    """An authority that our hosts have nothing to do with."""
    return Authority([ELSEWHERE])


@pytest.fixture(scope="module")
def bundle(elsewhere: Authority, tmp_path_factory: pytest.TempPathFactory) -> str:
    """All the certificates of the world, and one more at the end."""
    path = tmp_path_factory.mktemp("trust") / "bundle.pem"
    path.write_text(f"{Path(certifi.where()).read_text()}\n{elsewhere.certificate}")
    return str(path)


def trusts(context: ssl.SSLContext, authority: Authority) -> bool:
    """Say whether a connection to ELSEWHERE is trusted."""
    here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(here, there, server_hostname=ELSEWHERE)
    server = authority.server_context().wrap_bio(there, here, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return True


def loading(cafile: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(cafile)
    return context


def test_what_our_hosts_do_not_need_is_not_loaded(bundle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to the API loads no bundle of certificates, and nothing of the system's: that would take most of its time."""
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    with Named().intercept():
        context = loading(bundle)
        with urllib.request.urlopen(API, context=context) as response:
            assert response.read() == b"the fake"
        assert _SSLContext.cert_store_stats(context)["x509_ca"] == 1
        assert context.cert_store_stats()["x509_ca"] > 50


def test_another_host_is_trusted_as_ever(elsewhere: Authority, bundle: str) -> None:
    """A context trusts what it was told to: where it connects to another host, where it is looked at, and afterwards."""
    with Named().intercept(others="pass"):
        assert trusts(loading(bundle), elsewhere)
        assert not trusts(loading(certifi.where()), elsewhere)
        assert len(loading(bundle).get_ca_certs()) == len(loading(certifi.where()).get_ca_certs()) + 1
        kept, other = loading(bundle), loading(certifi.where())
        with urllib.request.urlopen(API, context=kept) as response:
            assert response.read() == b"the fake"
    assert trusts(kept, elsewhere)
    assert not trusts(other, elsewhere)
    assert _SSLContext.cert_store_stats(other)["x509_ca"] > 50


def test_what_cannot_be_trusted_is_said_at_once(tmp_path: Path) -> None:
    """A file of certificates that is not there, or holds none, is an error where it is named, and so is a wrong argument."""
    large = tmp_path / "large.pem"
    large.write_text("no certificate\n" * 10_000)
    for outside in (contextlib.nullcontext(), Named().intercept()):
        with outside:
            for file, error in ((tmp_path / "none", FileNotFoundError), (large, ssl.SSLError), (b"\0", ValueError)):
                with pytest.raises(error):
                    loading(str(file) if isinstance(file, Path) else file)  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                ssl.create_default_context().load_verify_locations()


def test_a_connection_from_before_sends_nothing() -> None:
    """What was connected to the real API before a fake began is not used: not even a request without a body gets there."""
    real, fake = Named("real"), Named()
    authority = Authority([HOST])
    context = ssl.create_default_context(cadata=authority.certificate)
    with listen(real.asgi, gate=Gate(authority, [HOST])) as url:
        there = httpx.URL(url)
        plain = socket.create_connection((there.host, there.port or 0))
        secure = context.wrap_socket(plain, server_hostname=HOST)
        with secure, fake.intercept(), pytest.raises(ConnectionAbortedError, match="real"):
            secure.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert (real.asked, fake.asked) == (0, 0)


def test_no_proxy_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is not used for the API, even one on this machine, which would lead to the real one."""
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "somewhere.example")
    with Named().intercept():
        assert requests.get(API).text == by_urllib(HOST) == "the fake"
    assert (os.environ["no_proxy"], os.environ.get("NO_PROXY")) == ("somewhere.example", None)


# Mocks that stand above


def test_beside_responses() -> None:
    """What the responses library has no answer for goes on to the fake, in both orders; its own answers come first."""
    with contextlib.ExitStack() as stack:
        for ours_first in (True, False):
            stack.close()
            mock = responses.RequestsMock(assert_all_requests_are_fired=False)
            for context in (Named().intercept(), mock) if ours_first else (mock, Named().intercept()):
                stack.enter_context(context)
            mock.get(f"{API}/mine", body="mine")
            assert [requests.get(f"{API}/{path}").text for path in ("mine", "other")] == ["mine", "the fake"]
            with pytest.raises(requests.ConnectionError, match="by Responses"):
                requests.get(f"https://{ELSEWHERE}")
            assert mock.passthru_prefixes == ()


def test_beside_requests_mock() -> None:
    """What requests-mock has no answer for goes on to the fake, in both orders; its own answers come first."""
    with contextlib.ExitStack() as stack:
        for ours_first in (True, False):
            stack.close()
            mock = requests_mock.Mocker()
            for context in (Named().intercept(), mock) if ours_first else (mock, Named().intercept()):
                stack.enter_context(context)
            mock.get(f"{API}/mine", text="mine")
            assert [requests.get(f"{API}/{path}").text for path in ("mine", "other")] == ["mine", "the fake"]
            with pytest.raises(requests_mock.NoMockAddress):
                requests.get(f"https://{ELSEWHERE}")


# In process is the wire


def video(send: Callable[..., requests.Response]) -> Any:
    """Make a video as a careless program does: every error is retried, and every poll is counted."""
    made = create(CONTRACT)
    job = send("POST", made.target.path, data=made.body, headers=dict(made.headers)).json().get("id")
    for _ in range(12):
        asked = poll(CONTRACT, job)
        answer = send("GET", f"{asked.target.path}?{asked.target.query}", headers=dict(asked.headers))
        if answer.status_code != CONTRACT.get.success or answer.json()["status"] in CONTRACT.lifecycle.outcomes:
            return answer.status_code, answer.json().get("status")
    return None


def outcome(fake: FakeServer, origin: str, verify: str) -> Any:
    retry = urllib3.Retry(total=3, allowed_methods=None, status_forcelist=[429, 500, 502, 503, 504], backoff_factor=0)
    retry.respect_retry_after_header = False
    with requests.Session() as session:
        session.verify = verify
        session.mount(origin, HTTPAdapter(max_retries=retry))
        try:
            ended = video(lambda method, path, **named: session.request(method, origin + path, **named))
        except (requests.RequestException, ValueError) as error:
            ended = type(error)
    methods = [exchange.request.method for exchange in fake.journal]
    return ended, methods, len(fake.generations), fake.ledger.booked, fake.clock.now()


def test_in_process_is_the_wire(tmp_path: Path) -> None:
    """Retries below requests meet the same troubles in process and at a port, in each scenario: the same requests, generations
    and errors."""
    small = tmp_path / "bundle.pem"  # instead of certifi's, which takes long to read
    small.write_text(Authority([ELSEWHERE]).certificate)
    found: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for in_process, outcomes in found.items():
        for name in scenarios():
            with contextlib.suppress(DocumentError):
                fake = FakeServer(contract=CONTRACT, scenario=name, progression="polls")
                with fake.intercept() if in_process else fake.listen() as way:
                    outcomes[name] = outcome(fake, API if in_process else str(way), str(small))
    assert found[True] == found[False]
    created = {name: generations for name, (_, _, generations, _, _) in found[True].items()}
    assert created["answer-lost"] > 1 == created["happy"]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_late_reply_is_late_on_the_fakes_clock(retries: int) -> None:
    """A blocking client whose read timeout is shorter gets its own error at once; each of its own retries counts."""
    clock = VirtualClock()
    fake = FakeServer(clock=clock, scenario=Scenario(faults=(Fault(operation="getGeneration", latency=60),)))
    before, asked = clock.now(), poll(CONTRACT, "nobody")
    url, headers = f"{API}{asked.target.path}?{asked.target.query}", dict(asked.headers)
    with fake.intercept(), urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=20)) as pool:
        with pytest.raises(urllib3.exceptions.HTTPError) as raised:
            pool.request("GET", url, headers=headers, retries=retries or False)
        assert "timed out" in str(raised.value).lower()
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=7)
    assert clock.now() - before == 20 * (retries + 1) + 7
    assert [exchange.request.read_timeout for exchange in fake.journal] == [20] * (retries + 1) + [7]
    assert not any(exchange.arrived for exchange in fake.journal)


def test_what_the_fake_raises_reaches_the_program() -> None:
    """An error that the fake raises, such as an assertion of the test's own, is raised where the program reads the reply."""

    def check(exchange: Any) -> None:
        raise KeyError(exchange.request.method)

    with FakeServer(on_exchange=check).intercept(), pytest.raises(KeyError, match="GET"):
        by_requests(HOST)


def blocking() -> None:
    with contextlib.closing(http.client.HTTPConnection(HOST)) as connection:
        connection.request("GET", "/a")
        connection.getresponse()


async def not_blocking() -> None:
    async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}/a"):
        pass


@pytest.mark.parametrize("call", [blocking, lambda: asyncio.run(not_blocking())])
def test_a_program_that_never_stops_is_stopped(call: Callable[[], None]) -> None:
    """A program that polls for ever without waiting is stopped by `exercise`, whether its client blocks or not."""

    def for_ever() -> None:
        while True:
            with contextlib.suppress(Exception):
                call()

    (ran,) = exercise(for_ever, scenarios=["happy"])
    assert ran.ended == "never stopped"


# Redirections in themselves


def test_allowed_places_are_reached() -> None:
    """A place that is allowed is looked up as usual; another port of it is refused, and said."""
    refused: list[tuple[str, int]] = []
    redirection = Redirection(
        [HOST],
        "",
        address=lambda: ("127.0.0.1", 9),
        authority=lambda: "",
        allow=["db.localtest:5432"],
        on_refused=lambda *place: refused.append(place),
    )
    redirection.begin()
    try:
        assert redirection.allows("db.localtest", 5432)
        with pytest.raises(ConnectionRefusedError, match=r"elsewhere\.example:80"):
            socket.create_connection((ELSEWHERE, 80))
        with socket.socket() as connection, pytest.raises(ConnectionRefusedError):
            connection.connect(("db.localtest", 80))
        with socket.socket() as connection:
            assert connection.connect_ex(("192.0.2.1", 80)) > 0
    finally:
        redirection.end()
    assert refused == [(ELSEWHERE, 80), ("db.localtest", 80), ("192.0.2.1", 80)]


def test_another_tool_may_wrap_what_is_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another tool has put its own function over ours and ends later, look-ups go on as before, and are patched once."""
    interception = Named().intercept()
    with interception:
        ours = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **named: ours(*arguments, **named))
    assert socket.getaddrinfo("127.0.0.1", 80)
    with Named().intercept():
        assert by_requests(HOST) == "the fake"
