"""What we need of respx, beyond what it documents: its registry of patches, and its routers in an order of our own.

respx documents how to mock all of httpx in a context. A fake must be one mock among others, answer before them, and let
their calls through; and it must catch httpx2, which respx does not know. `tests/fake_server/adapters/test_respx_internals.py`
says what of respx this rests on.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

import httpx
import respx
from respx import mocks

from fake_server.adapters.delivery import Handle
from fake_server.adapters.transport import responder
from kling_contract.clock import Clock

__all__ = ["catch", "route_to"]

_HTTPCORE2 = "httpcore2"  # under this name pytest-httpx2 registers the same patch
_OUR_HTTPCORE2 = "kling-contract httpcore2"


def route_to(handle: Handle, router: respx.Router, *, clock: Clock, hosts: Collection[str], client: str) -> None:
    """Add a route to a router: calls to `hosts` are answered by `handle`. `client` is the library that makes them."""
    respond = responder(handle, clock=clock, responses_of=httpx, errors_of=importlib.import_module(client))
    router.route(host__in=tuple(sorted(hosts))).mock(side_effect=respond)


@contextlib.contextmanager
def catch(handle: Handle, *, clock: Clock, hosts: Collection[str], client: str, pass_others: bool) -> Iterator[None]:
    """Catch the calls of httpx or httpx2, as `client` says, while the context lasts: before every other router."""
    router = _Router(assert_all_called=False)
    route_to(handle, router, clock=clock, hosts=hosts, client=client)
    mocker = _httpx2_mocker() if client == "httpx2" else mocks.Mocker.registry[mocks.DEFAULT_MOCKER]
    routers = [router]
    mocker.routers.insert(0, router)
    if pass_others:
        routers.append(_Router(assert_all_called=False))
        routers[1].route().pass_through()
        mocker.register(routers[1])
    mocker.start()
    try:
        yield
    finally:
        for router in routers:
            mocker.unregister(router)
        mocker.stop()


class _Router(respx.Router):
    def record(self, *args: Any, **kwargs: Any) -> None:
        """Keep nothing: the fake has a journal, and that is limited."""


def _httpx2_mocker() -> type[mocks.Mocker]:
    registry = mocks.Mocker.registry
    mocker = registry.get(_HTTPCORE2) or registry.get(_OUR_HTTPCORE2)
    if mocker is None:
        # The definition of a Mocker is what registers it, once and for the whole process.
        class HTTPCore2Mocker(mocks.HTTPCoreMocker):
            name = _OUR_HTTPCORE2
            targets: ClassVar = [target.replace("httpcore", "httpcore2") for target in mocks.HTTPCoreMocker.targets]

        mocker = HTTPCore2Mocker
    return mocker
