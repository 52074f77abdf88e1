"""Claims about forwarding by host: the API is recorded, downloads pass, and nothing goes to any other host."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fake_server import FakeServer
from fake_server.adapters.listen import listen
from fake_server.messages import Exchange
from fake_server.recording.proxied import _host, proxied
from fake_server.recording.relay import PROXY_ERROR_HEADER
from kling_contract import Contract
from tests.support.calls import KEY, creating

CONTRACT = Contract.load()
API = httpx.URL(CONTRACT.base_url).host
MEDIA = "media.example"


class Door:
    """The port of an application, and what was recorded there."""

    def __init__(self, url: str, exchanges: list[Exchange]) -> None:
        self.url = url
        self.exchanges = exchanges

    def send(self, host: str, **more: Any) -> httpx.Response:
        request = creating(CONTRACT)
        headers = {**dict(request.headers.items()), "host": host}
        sent = {"content": request.body, "headers": headers, **more}
        return httpx.request(request.method, self.url + request.target.path, timeout=30, **sent)


@pytest.fixture
def api() -> FakeServer:
    return FakeServer()


@pytest.fixture
def door(api: FakeServer) -> Iterator[Door]:
    """Serve the application, with fakes as the API and as the media host."""
    exchanges: list[Exchange] = []
    with api.listen() as upstream, FakeServer().listen() as media:
        application = proxied(exchanges.append, recorded={API.upper(): upstream}, passed={MEDIA: media})
        with listen(application) as url:
            yield Door(url, exchanges)


@pytest.mark.parametrize("host", [API, f"{API}:443", API.upper()])
def test_the_api_is_forwarded_and_recorded(door: Door, api: FakeServer, host: str) -> None:
    """A request to the API, with or without a port in its name, reaches the upstream with its key, and is recorded."""
    assert door.send(host).status_code == CONTRACT.create.success
    assert len(api.generations) == 1
    (exchange,) = door.exchanges
    assert exchange.request.headers["authorization"] == f"Bearer {KEY}"


def test_a_download_passes_unrecorded(door: Door, api: FakeServer) -> None:
    """A request to a media host reaches that one, and leaves nothing in the recording."""
    assert door.send(MEDIA).status_code == CONTRACT.create.success
    assert not door.exchanges
    assert not api.journal


@pytest.mark.parametrize("host", ["other.example", f"x{API}", f"{API}.example", "", "[", "127.0.0.1"])
def test_no_other_host_is_reached(door: Door, api: FakeServer, host: str) -> None:
    """A request to any other host is answered with 421, in a sentence that names those that can be reached."""
    response = door.send(host)
    assert response.status_code == 421
    assert all(name in response.headers[PROXY_ERROR_HEADER] for name in (API, MEDIA))
    assert not door.exchanges
    assert not api.journal


def test_the_target_counts_before_the_host_header() -> None:
    """In the absolute form of a target, as proxies get it, its host decides (RFC 9112, 3.2.2), also if it is in a query."""

    def host(target: bytes, field: bytes) -> str:
        return _host({"raw_path": target, "headers": [(b"host", field)]})

    assert host(b"http://api.example/v2", b"other.example") == "api.example"
    assert host(b"/v2", b"api.example:8443") == "api.example"
    assert host(b"/v2?u=http://evil.example", b"api.example") == "api.example"
    assert host(b"//evil.example/v2", b"api.example") == "api.example"


def test_other_protocols_are_answered() -> None:
    """A server that asks for its lifespan, or a websocket, gets the answer of an application that knows them."""

    async def lifespan() -> list[str]:
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        sent: list[str] = []

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await proxied(lambda exchange: None, recorded={}, passed={})({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(lifespan()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
