"""Every adapter of the fake, each behind the same small function: a request goes in, a reply comes out."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2
import pytest
import requests
import respx

from fake_server import FakeServer, Reply, Request
from fake_server.adapters.delivery import deliver
from fake_server.adapters.listen import listen
from fake_server.messages import Headers
from kling_contract.contract import Contract

Send = Callable[[Request], Reply]
Adapter = Callable[[FakeServer], contextlib.AbstractContextManager[Send]]


@contextlib.contextmanager
def handle(fake: FakeServer) -> Iterator[Send]:
    yield lambda request: deliver(fake.handle, request)


def in_process(library: ModuleType, make: Callable[[FakeServer], Any]) -> Adapter:
    @contextlib.contextmanager
    def adapter(fake: FakeServer) -> Iterator[Send]:
        with library.Client(transport=make(fake)) as client:
            yield lambda request: _read(client.request(**_arguments(request)))

    return adapter


def in_process_async(library: ModuleType, make: Callable[[FakeServer], Any]) -> Adapter:
    @contextlib.contextmanager
    def adapter(fake: FakeServer) -> Iterator[Send]:
        async def send(request: Request) -> Reply:
            async with library.AsyncClient(transport=make(fake)) as client:
                return _read(await client.request(**_arguments(request)))

        yield lambda request: asyncio.run(send(request))

    return adapter


@contextlib.contextmanager
def respx_router(fake: FakeServer) -> Iterator[Send]:
    with respx.mock(assert_all_called=False) as router, httpx.Client(verify=False) as client:
        fake.mount(router)
        yield lambda request: _read(client.request(**_arguments(request)))


def caught(library: ModuleType) -> Adapter:
    @contextlib.contextmanager
    def adapter(fake: FakeServer) -> Iterator[Send]:
        with fake.intercept(), library.Client(verify=False) as client:
            yield lambda request: _read(client.request(**_arguments(request)))

    return adapter


def caught_async(library: ModuleType) -> Adapter:
    @contextlib.contextmanager
    def adapter(fake: FakeServer) -> Iterator[Send]:
        async def send(request: Request) -> Reply:
            async with library.AsyncClient(verify=False) as client:
                return _read(await client.request(**_arguments(request)))

        with fake.intercept():
            yield lambda request: asyncio.run(send(request))

    return adapter


@contextlib.contextmanager
def caught_requests(fake: FakeServer) -> Iterator[Send]:
    with fake.intercept(), requests.Session() as session:
        yield lambda request: _read_requests(
            session.request(request.method, request.url, headers=dict(request.headers), data=request.body)
        )


@contextlib.contextmanager
def port_httpx(fake: FakeServer) -> Iterator[Send]:
    with listen(fake.asgi) as url, httpx.Client(verify=False) as client:
        yield lambda request: _read(client.request(**_arguments(_through(request, url))))


@contextlib.contextmanager
def port_requests(fake: FakeServer) -> Iterator[Send]:
    with listen(fake.asgi) as url, requests.Session() as session:

        def send(request: Request) -> Reply:
            there = _through(request, url)
            return _read_requests(
                session.request(there.method, there.url, headers=dict(there.headers), data=there.body)
            )

        yield send


@contextlib.contextmanager
def port_standard_library(fake: FakeServer) -> Iterator[Send]:
    with listen(fake.asgi) as url:

        def send(request: Request) -> Reply:
            there = _through(request, url)
            path = there.target._replace(scheme="", netloc="").geturl()
            with contextlib.closing(http.client.HTTPConnection(there.target.netloc)) as connection:
                connection.request(there.method, path, there.body or None, dict(there.headers))
                response = connection.getresponse()
                return Reply(response.status, Headers(response.getheaders()), response.read())

        yield send


ADAPTERS: dict[str, Adapter] = {
    "handle": handle,
    "httpx": in_process(httpx, FakeServer.transport),
    "httpx-async": in_process_async(httpx, FakeServer.transport),
    "httpx2": in_process(httpx2, lambda fake: fake.transport(httpx2)),
    "httpx2-async": in_process_async(httpx2, lambda fake: fake.transport(httpx2)),
    "respx": respx_router,
    "intercept-httpx": caught(httpx),
    "intercept-httpx-async": caught_async(httpx),
    "intercept-httpx2": caught(httpx2),
    "intercept-httpx2-async": caught_async(httpx2),
    "intercept-requests": caught_requests,
    "asgi": in_process_async(httpx, lambda fake: httpx.ASGITransport(fake.asgi)),
    "port-httpx": port_httpx,
    "port-requests": port_requests,
    "port-standard-library": port_standard_library,
}


@pytest.fixture(scope="session")
def contract() -> Contract:
    return Contract.load()


@pytest.fixture
def fake(contract: Contract) -> FakeServer:
    return FakeServer(contract=contract, body_limit=100_000)


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return ADAPTERS[request.param]


@pytest.fixture
def send(adapter: Adapter, fake: FakeServer) -> Iterator[Send]:
    with adapter(fake) as send:
        yield send


def _arguments(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "content": request.body or None,
    }


def _through(request: Request, url: str) -> Request:
    """Return the request as a proxy would send it on to `url`: the Host header still says whom it is for."""
    here = urlsplit(url)
    there = request.target._replace(scheme=here.scheme, netloc=here.netloc).geturl()
    headers = Headers([*request.headers.items(), ("host", request.target.netloc)])
    return Request(request.method, there, headers, request.body)


def _read(response: Any) -> Reply:
    fields = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw)
    return Reply(response.status_code, Headers(fields), response.content)


def _read_requests(response: requests.Response) -> Reply:
    return Reply(response.status_code, Headers(response.headers), response.content)
