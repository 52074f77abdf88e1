"""What we need of respx, beyond what it documents: its registry of patches, and its routers in an order of our own.

respx documents how to mock all of httpx in a context. A fake must be one mock among others, answer before them, and let
their calls through; and it must catch httpx2, which respx does not know. `tests/fake_server/adapters/test_respx_internals.py`
says what of respx this rests on.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

import httpx
import respx
from respx import mocks
from respx.models import AllMockedAssertionError, PassThrough

from fake_server.adapters.delivery import Handle
from fake_server.adapters.transport import responder
from kling_contract.clock import Clock
from kling_contract.hosts import is_loopback

__all__ = ["catch", "route_to"]

_HTTPCORE2 = "httpcore2"  # under this name pytest-httpx2 registers the same patch
_OUR_HTTPCORE2 = "kling-contract httpcore2"


def route_to(handle: Handle, router: respx.Router, *, clock: Clock, hosts: Collection[str], client: str) -> None:
    """Add a route to a router: calls to `hosts`, regular expressions, are answered by `handle`. `client` makes them."""
    respond = responder(handle, clock=clock, responses_of=httpx, errors_of=importlib.import_module(client))
    router.route(host__regex=re.compile(rf"^(?:{'|'.join(hosts)})$")).mock(side_effect=respond)


@contextlib.contextmanager
def catch(
    handle: Handle, *, clock: Clock, hosts: Collection[str], domain: str, client: str, pass_others: bool
) -> Iterator[None]:
    """Catch the calls of httpx or httpx2, as `client` says, to `hosts` and to other names under `domain`.

    That is done before every other router. Calls to this machine pass, others do if `pass_others`, unless a router has an
    answer.
    """
    router = _Router(assert_all_called=False)
    names = [*map(re.escape, sorted(hosts)), rf".+\.{re.escape(domain)}"]
    route_to(handle, router, clock=clock, hosts=names, client=client)
    mocker = _httpx2_mocker() if client == "httpx2" else mocks.Mocker.registry[mocks.DEFAULT_MOCKER]
    routers = (router, _Others(mocker, pass_all=pass_others))
    mocker.routers.insert(0, routers[0])
    mocker.register(routers[1])
    mocker.start()
    try:
        yield
    finally:
        for each in routers:
            mocker.unregister(each)
        mocker.stop()


class Refused(AssertionError):
    """A call to another host, which is neither answered nor let through."""


class _Router(respx.Router):
    def record(self, *args: Any, **kwargs: Any) -> None:
        """Keep nothing: the fake has a journal, and that is limited."""


class _Others(_Router):
    """Decides about calls to other hosts that no router answers. Those after this one in the list are asked first."""

    def __init__(self, mocker: type[mocks.Mocker], *, pass_all: bool) -> None:
        super().__init__(assert_all_called=False)
        self._mocker = mocker
        self._pass_all = pass_all
        self._passing = self.route().pass_through()

    def handler(self, request: httpx.Request) -> httpx.Response:
        for router in self._later():
            with contextlib.suppress(AllMockedAssertionError):
                return router.handler(request)
        raise self._end(request)

    async def async_handler(self, request: httpx.Request) -> httpx.Response:
        for router in self._later():
            with contextlib.suppress(AllMockedAssertionError):
                return await router.async_handler(request)
        raise self._end(request)

    def _later(self) -> list[respx.Router]:
        routers = self._mocker.routers
        return routers[routers.index(self) + 1 :]

    def _end(self, request: httpx.Request) -> BaseException:
        if self._pass_all or is_loopback(request.url.host):
            return PassThrough("another host", request=request, origin=self._passing)
        return Refused(
            f"kling-contract refuses {request.method} {request.url}, which is not the API that its fake stands for; "
            'intercept(others="pass"), or @pytest.mark.kling(others="pass"), lets such calls through'
        )


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
