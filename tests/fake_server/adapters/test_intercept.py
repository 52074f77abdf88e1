"""Claims about catching the calls of this process: whose, for how long, and what becomes of the others."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import io
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpcore
import httpcore2
import httpx
import httpx2
import pytest
import requests
import responses
import respx
from requests.adapters import HTTPAdapter
from respx.mocks import Mocker

from fake_server import FakeServer, Reply, Request
from fake_server.messages import Headers
from kling_contract.contract import Contract

CONTRACT = Contract.load()
API = CONTRACT.base_url
MEDIA = CONTRACT.observed.answers.video_url
ELSEWHERE = "https://elsewhere.example/"
LIBRARIES = [httpx, httpx2, requests]
REFUSALS = {
    httpx: AssertionError,
    httpx2: AssertionError,
    requests: requests.ConnectionError,
}


class Recorder(FakeServer):
    """A fake that keeps what it is sent, and answers with its name."""

    def __init__(self, name: str = "recorder") -> None:
        super().__init__(contract=CONTRACT)
        self.name = name
        self.seen: list[Request] = []

    def handle(self, request: Request) -> Reply:
        self.seen.append(request)
        return Reply(200, Headers({"x-name": self.name}), self.name.encode())


@pytest.fixture(autouse=True)
def nothing_stays_patched() -> Iterator[None]:
    """After every test, and whatever happened in it, all HTTP libraries are as they were before."""
    targets = [
        (HTTPAdapter, "send"),
        (socket, "getaddrinfo"),
        (socket.socket, "connect"),
        (ssl.SSLContext, "wrap_socket"),
        (ssl.SSLObject, "write"),
        (httpcore.ConnectionPool, "handle_request"),
        (httpcore.AsyncConnectionPool, "handle_async_request"),
        (httpcore2.ConnectionPool, "handle_request"),
        (httpcore2.AsyncConnectionPool, "handle_async_request"),
    ]
    before = [getattr(owner, name) for owner, name in targets]
    yield
    assert [getattr(owner, name) for owner, name in targets] == before
    assert not any(mocker.routers for mocker in Mocker.registry.values())


def get(library: Any, url: str, **arguments: Any) -> Any:
    """Get a URL: by httpx without loading the certificates that nobody will look at."""
    return library.get(url, **arguments) if library is requests else library.get(url, verify=False, **arguments)


def names(library: Any) -> str:
    return str(library.__name__)


@pytest.mark.parametrize("library", LIBRARIES, ids=names)
@pytest.mark.parametrize("url", [API, MEDIA, API.replace("https", "http"), f"{API}:8443/a"])
def test_both_hosts_are_caught(library: Any, url: str) -> None:
    """A call to the API's host or the media host ends in the fake, whatever the scheme and port."""
    recorder = Recorder()
    with recorder.intercept() as fake:
        assert get(library, url).text == recorder.name
    assert fake is recorder
    assert [urlsplit(request.url).hostname for request in recorder.seen] == [urlsplit(url).hostname]


@pytest.mark.parametrize("library", LIBRARIES, ids=names)
def test_other_hosts_are_refused(library: Any) -> None:
    """A call to any other host fails at once, in the way that users of the library know, and the fake hears nothing of it."""
    recorder = Recorder()
    with recorder.intercept(), pytest.raises(REFUSALS[library]):
        get(library, ELSEWHERE)
    assert recorder.seen == []


@pytest.mark.parametrize("library", LIBRARIES, ids=names)
def test_other_hosts_are_let_through(library: Any) -> None:
    """With others="pass" a call to another host is really made, and one to the API is not."""
    caught, real = Recorder("caught"), Recorder("real")
    with real.listen() as url, caught.intercept(others="pass"):
        assert get(library, url).text == "real"
        assert get(library, API).text == "caught"


@pytest.mark.parametrize("library", [httpx, httpx2], ids=names)
def test_other_hosts_are_let_through_async(library: Any) -> None:
    """What holds for calls holds for awaited ones."""

    async def get(url: str) -> str:
        async with library.AsyncClient(verify=False) as client:
            return str((await client.get(url)).text)

    caught, real = Recorder("caught"), Recorder("real")
    with real.listen() as url, caught.intercept(others="pass"):
        assert asyncio.run(get(url)) == "real"
        assert asyncio.run(get(API)) == "caught"


def test_there_is_no_third_way() -> None:
    """Anything but "block" and "pass" is refused before anything is patched."""
    with pytest.raises(ValueError, match="block"), Recorder().intercept(others="maybe"):  # type: ignore[arg-type]
        pytest.fail("it was taken")


@pytest.mark.parametrize("library", LIBRARIES, ids=names)
def test_the_inner_one_answers(library: Any) -> None:
    """Of two nested fakes the inner one answers while it lasts, and then the outer one again."""
    with Recorder("outer").intercept():
        with Recorder("inner").intercept():
            assert get(library, API).text == "inner"
        assert get(library, API).text == "outer"


@pytest.mark.parametrize("library", LIBRARIES, ids=names)
def test_an_error_inside_undoes_everything(library: Any) -> None:
    """Whatever is raised inside comes out, and the outer fake answers on."""
    with Recorder("outer").intercept():
        with pytest.raises(KeyError), Recorder("inner").intercept():
            raise KeyError
        assert get(library, API).text == "outer"


@pytest.mark.parametrize("others", ["block", "pass"])
def test_other_mocks_keep_their_hosts(others: Any) -> None:
    """A respx or responses mock that was active before goes on answering for its own hosts."""
    with respx.mock as router, responses.RequestsMock() as mock:
        router.get(ELSEWHERE).respond(text="respx")
        mock.get(ELSEWHERE, body="responses")
        with Recorder().intercept(others=others):
            assert get(httpx, ELSEWHERE).text == "respx"
            assert get(requests, ELSEWHERE).text == "responses"
            assert {get(library, API).text for library in LIBRARIES} == {"recorder"}


def test_a_route_among_others(respx_mock: respx.MockRouter) -> None:
    """Mounted on a router of the user's, the fake is one route, and theirs are unharmed."""
    respx_mock.get(ELSEWHERE).respond(text="theirs")
    recorder = Recorder()
    recorder.mount(respx_mock)
    assert len(respx_mock.routes) == 2
    assert [get(httpx, url).text for url in (API, MEDIA, ELSEWHERE)] == ["recorder", "recorder", "theirs"]


def _transported(library: Any, make: Callable[[Recorder], Any]) -> Callable[..., None]:
    def call(recorder: Recorder, url: str, **arguments: Any) -> None:
        library.Client(transport=make(recorder)).post(url, **arguments)

    return call


def _intercepted(library: Any) -> Callable[..., None]:
    def call(recorder: Recorder, url: str, **arguments: Any) -> None:
        with recorder.intercept():
            library.post(url, **arguments)

    return call


CALLS = {
    "httpx transport": _transported(httpx, FakeServer.transport),
    "httpx2 transport": _transported(httpx2, lambda fake: fake.transport(httpx2)),
    "httpx": _intercepted(httpx),
    "httpx2": _intercepted(httpx2),
    "requests": _intercepted(requests),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_fake_learns_the_read_timeout(call: Callable[..., None]) -> None:
    """How long the sender will wait for a reply is known to the fake, so that nobody has to wait for it."""
    recorder = Recorder()
    for timeout in (7, 0.5, None):
        call(recorder, API, timeout=timeout)
    assert [request.read_timeout for request in recorder.seen] == [7, 0.5, None]


@pytest.mark.parametrize("library", [httpx, httpx2], ids=names)
def test_of_four_timeouts_it_is_the_one_for_reading(library: Any) -> None:
    """Where each phase has its own limit, the fake is told the one for reading."""
    recorder = Recorder()
    with recorder.intercept():
        get(library, API, timeout=library.Timeout(1, connect=2, read=3, write=4, pool=5))
        get(requests, API, timeout=(2, 3))
    assert [request.read_timeout for request in recorder.seen] == [3, 3]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_password_reaches_the_fake(call: Callable[..., None]) -> None:
    """What stands in a URL before its host or after its fragment mark is not sent over the wire, so the fake never sees it."""
    recorder = Recorder()
    user = API.replace("://", "://somebody:secret@")
    call(recorder, f"{user}/a%20b?c=%C3%A9&d#fragment")
    (request,) = recorder.seen
    assert request.url == f"{API}/a%20b?c=%C3%A9&d"


def test_the_library_and_its_mock_share_one_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another plugin has taught respx about httpx2, its patch is used and no second one is made."""

    class Theirs:
        routers: ClassVar[list[respx.Router]] = []
        started = 0
        register = classmethod(lambda cls, router: cls.routers.append(router))
        unregister = classmethod(lambda cls, router: cls.routers.remove(router))

        @classmethod
        def start(cls) -> None:
            cls.started += 1

        @classmethod
        def stop(cls) -> None:
            cls.started -= 1

    monkeypatch.setattr(Mocker, "registry", {**Mocker.registry, "httpcore2": Theirs})
    untouched = httpcore2.ConnectionPool.handle_request
    with Recorder().intercept(others="pass"):
        assert (Theirs.started, len(Theirs.routers)) == (1, 2)
        assert httpcore2.ConnectionPool.handle_request is untouched
    assert (Theirs.started, len(Theirs.routers)) == (0, 0)


def test_httpx_needs_no_mock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where respx is not installed, httpx ends in the fake like any other client, by a connection."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with Recorder().intercept():
        assert not any(mocker.routers for mocker in Mocker.registry.values())
        assert httpx.get(API).text == "recorder"


@pytest.mark.parametrize(
    "make",
    [
        lambda: "a body é",
        lambda: "a body é".encode(),
        lambda: io.BytesIO("a body é".encode()),
        lambda: iter([b"a body ", "é".encode()]),
    ],
    ids=["text", "bytes", "file", "stream"],
)
def test_requests_sends_bodies_of_many_kinds(make: Callable[[], Any]) -> None:
    """A body that requests takes as text, bytes, file or stream reaches the fake as the bytes that it would send."""
    recorder = Recorder()
    with recorder.intercept():
        requests.post(API, data=make())
    assert recorder.seen[0].body == "a body é".encode()


@pytest.mark.parametrize("library", [httpx, httpx2], ids=names)
def test_streams_are_read_whole(library: Any) -> None:
    """A streamed body reaches the fake whole, and a reply can be read as a stream."""
    recorder = Recorder()
    with recorder.intercept(), library.stream("POST", API, verify=False, content=iter([b"a ", b"body"])) as response:
        assert b"".join(response.iter_bytes()) == b"recorder"
    assert recorder.seen[0].body == b"a body"


@pytest.mark.parametrize("library", LIBRARIES, ids=names)
def test_a_function_can_be_decorated(library: Any) -> None:
    """In each call of a decorated function the calls are caught, also in one inside another, and after it they are not."""
    recorder = Recorder()

    @recorder.intercept()
    def call(again: int) -> list[str]:
        """Call the API."""
        texts = call(again - 1) if again else []
        return [*texts, get(library, API).text]

    assert call.__doc__ == "Call the API."
    for _ in range(2):
        assert call(1) == ["recorder", "recorder"]
        assert not any(mocker.routers for mocker in Mocker.registry.values())
    assert len(recorder.seen) == 4


@pytest.mark.parametrize("library", [httpx, httpx2], ids=names)
def test_a_coroutine_function_can_be_decorated(library: Any) -> None:
    """The calls of a decorated coroutine function are caught while it runs, not while its coroutine is made."""
    recorder = Recorder()

    @recorder.intercept()
    async def call() -> str:
        await asyncio.sleep(0)
        async with library.AsyncClient(verify=False) as client:
            return str((await client.get(API)).text)

    assert inspect.iscoroutinefunction(call)
    coroutine = call()
    assert not any(mocker.routers for mocker in Mocker.registry.values())
    assert asyncio.run(coroutine) == "recorder"


def test_decorated_coroutines_may_overlap() -> None:
    """Of two calls at once the first to end leaves the other one caught, and after both nothing is."""
    recorder = Recorder()
    first_has_ended = asyncio.Event()

    @recorder.intercept()
    async def call(wait: bool) -> str:
        if wait:
            await first_has_ended.wait()
        else:
            await asyncio.sleep(0)  # let the other one begin
            first_has_ended.set()
        return str(get(requests, API).text)

    async def both() -> list[str]:
        return [*await asyncio.gather(call(False), call(True))]

    assert asyncio.run(both()) == ["recorder", "recorder"]


def test_what_would_run_outside_is_not_decorated() -> None:
    """A generator function, whose body runs after its call, and a class are refused: their calls would cost money."""

    def generate() -> Iterator[None]:
        yield

    async def generate_async() -> AsyncIterator[None]:
        yield

    class Tests:
        pass

    for wrong in (generate, generate_async, Tests):
        with pytest.raises(TypeError, match=r"inside it"):
            Recorder().intercept()(wrong)
