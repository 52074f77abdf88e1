"""The fake as a server under test, reached in process, as an ASGI application or over a port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx

from fake_server import FakeServer
from fake_server.adapters.listen import listen
from kling_contract.checks.target import Target
from kling_contract.contract import Contract

KEY = "a-key-of-the-tests"


class _ThroughAsgi(httpx.BaseTransport):
    """The ASGITransport of httpx for a synchronous client."""

    def __init__(self, fake: FakeServer) -> None:
        self._transport = httpx.ASGITransport(fake.asgi)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answered() -> httpx.Response:
            response = await self._transport.handle_async_request(request)
            return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

        return asyncio.run(answered())


def in_process(fake: FakeServer) -> Target:
    """Return a fake that takes KEY, reached without a port."""
    return Target(
        http=httpx.Client(transport=fake.transport()),
        key=KEY,
        clock=fake.clock,
        contract=fake.contract,
        spent=lambda: fake.ledger.booked,
        play=fake.play,
    )


def over_asgi(fake: FakeServer) -> Target:
    """Return a fake behind its ASGI application; no call fails there, since only a server can hang up."""
    return replace(in_process(fake), http=httpx.Client(transport=_ThroughAsgi(fake)), play=None)


@contextmanager
def over_a_port(fake: FakeServer) -> Iterator[Target]:
    """Give a fake on a real port."""
    limits = httpx.Limits(keepalive_expiry=1.0)  # on a busy machine the server could close one that is about to be used
    with listen(fake.asgi) as url, httpx.Client(verify=False, limits=limits) as client:
        yield replace(in_process(fake), http=client, base_url=url)


@contextmanager
def served(**options: Any) -> Iterator[tuple[str, FakeServer]]:
    """Give the URL of a fake on a port that takes KEY and has its control API, and the fake."""
    fake = FakeServer(**{"api_key": KEY, **options})
    with fake.listen() as url:
        yield str(url), fake


def answering(
    respond: Callable[[httpx.Request], httpx.Response], *, contract: Contract | None = None, **options: Any
) -> Target:
    """Return a server that responds as `respond` does."""
    http = httpx.Client(transport=httpx.MockTransport(respond))
    return Target(**{"http": http, "key": KEY, "contract": contract or Contract.load(), **options})
