"""How does a fake answer HTTP clients of its own process? By a transport, a route, or catching their calls.

Each HTTP library is imported by the function that needs it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from fake_server.adapters.delivery import Handler, answer, arrives_in_time
from fake_server.messages import Headers, Request
from kling_contract.contract import Contract

if TYPE_CHECKING:
    import httpx
    import httpx2
    import requests
    import respx
    from respx.mocks import Mocker

__all__ = ["httpx2_transport", "intercept", "mount", "transport"]

_HTTPCORE2 = "httpcore2"  # under this name pytest-httpx2 registers the same patch
_OUR_HTTPCORE2 = "kling-contract httpcore2"
_BROKEN = "the connection broke: the fake's scenario has a fault here"
_LATE = "no answer within the read timeout: the fake's scenario has a fault here"


class ContractHandler(Handler, Protocol):
    """A Handler that knows which contract it speaks."""

    @property
    def contract(self) -> Contract: ...


_Fake = TypeVar("_Fake", bound=ContractHandler)


def transport(fake: Handler) -> httpx.MockTransport:
    """Return a transport for httpx's Client and AsyncClient that ends in the fake, whatever the host."""
    import httpx

    return httpx.MockTransport(_responder(fake, httpx, httpx.__name__))


def httpx2_transport(fake: Handler) -> httpx2.MockTransport:
    """Return a transport for httpx2's Client and AsyncClient that ends in the fake, whatever the host."""
    import httpx2

    return httpx2.MockTransport(_responder(fake, httpx2, httpx2.__name__))


def mount(fake: ContractHandler, router: respx.Router) -> None:
    """Add one route to a respx router: it leads the API's host and the media host into the fake."""
    _mount(fake, router, "httpx")


@contextlib.contextmanager
def intercept(fake: _Fake, *, others: Literal["block", "pass"] = "block") -> Iterator[_Fake]:
    """Catch what this process sends to the API's host and the media host, while the context lasts.

    Seen are httpx and httpx2 (through respx) and requests (through responses), sync and async; neither urllib
    nor aiohttp. Calls to other hosts go to the mock that was active before, if there is one; else they are
    refused, or really made when `others` is "pass". Of nested contexts the inner one answers.

    Raise ModuleNotFoundError when a client is installed but not what catches its calls: they would reach the
    real service, and cost money.
    """
    if others not in ("block", "pass"):
        raise ValueError(f'others must be "block" or "pass", not {others!r}')
    with contextlib.ExitStack() as stack:
        for client, catch in _CATCHERS.items():
            if importlib.util.find_spec(client) is not None:
                stack.enter_context(catch(fake, others == "pass"))
        yield fake


def _hosts(contract: Contract) -> frozenset[str]:
    urls = (contract.base_url, contract.observed.answers.video_url)
    return frozenset(host for url in urls if (host := urlsplit(url).hostname))


def _mount(fake: ContractHandler, router: respx.Router, client: str) -> None:
    import httpx

    router.route(host__in=tuple(sorted(_hosts(fake.contract)))).mock(side_effect=_responder(fake, httpx, client))


def _responder(fake: Handler, library: Any, client: str) -> Callable[[Any], Any]:
    """Return what answers a request by a response of `library`, httpx or httpx2: they look alike.

    `client` is the one of them that is answered, and understands only exceptions of its own.
    """

    def respond(request: httpx.Request) -> Any:
        url = request.url
        asked = Request(
            request.method,
            f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}",
            Headers((k.decode("latin-1"), v.decode("latin-1")) for k, v in request.headers.raw),
            request.content,
            request.extensions.get("timeout", {}).get("read"),
        )
        status, fields, body, trouble = answer(fake, asked)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
        if trouble is not None:
            errors = importlib.import_module(client)
            if not arrives_in_time(fake, asked, trouble):
                raise errors.ReadTimeout(_LATE)
            if trouble.cut == 0:
                raise errors.RemoteProtocolError(_BROKEN)
            if trouble.cut is not None:
                broken = errors.RemoteProtocolError(_BROKEN)
                return library.Response(status, headers=headers, stream=_stopping(library, body[: trouble.cut], broken))
        return library.Response(status, headers=headers, content=body)

    return respond


def _stopping(library: Any, start: bytes, broken: Exception) -> Any:
    """Return a stream for httpx or httpx2, sync and async, that ends in an exception."""

    class Stream(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            yield start
            raise broken

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield start
            raise broken

    return Stream()


def _catch_httpx(fake: ContractHandler, pass_others: bool) -> contextlib.AbstractContextManager[None]:
    mocks = _need("respx", "httpx").mocks
    return _catch_with(mocks.Mocker.registry[mocks.DEFAULT_MOCKER], fake, pass_others, "httpx")


def _catch_httpx2(fake: ContractHandler, pass_others: bool) -> contextlib.AbstractContextManager[None]:
    mocks = _need("respx", "httpx2").mocks
    registry = mocks.Mocker.registry
    mocker = registry.get(_HTTPCORE2) or registry.get(_OUR_HTTPCORE2)
    if mocker is None:
        # The definition of a Mocker is what registers it, once and for the whole process.
        class HTTPCore2Mocker(mocks.HTTPCoreMocker):  # type: ignore[misc, name-defined]
            name = _OUR_HTTPCORE2
            targets: ClassVar = [each.replace("httpcore", "httpcore2") for each in mocks.HTTPCoreMocker.targets]

        mocker = HTTPCore2Mocker
    return _catch_with(mocker, fake, pass_others, "httpx2")


@contextlib.contextmanager
def _catch_with(mocker: type[Mocker], fake: ContractHandler, pass_others: bool, client: str) -> Iterator[None]:
    import respx

    class Router(respx.Router):
        def record(self, *args: Any, **kwargs: Any) -> None:
            """Keep nothing: the fake's journal does, and knows when to stop."""

    routers = [Router(assert_all_called=False)]
    _mount(fake, routers[0], client)
    mocker.routers.insert(0, routers[0])
    if pass_others:
        routers.append(Router(assert_all_called=False))
        routers[1].route().pass_through()
        mocker.register(routers[1])
    mocker.start()
    try:
        yield
    finally:
        for router in routers:
            mocker.unregister(router)
        mocker.stop()


@contextlib.contextmanager
def _catch_requests(fake: ContractHandler, pass_others: bool) -> Iterator[None]:
    responses = _need("responses", "requests")
    from requests import exceptions as errors
    from requests.adapters import HTTPAdapter

    hosts = _hosts(fake.contract)

    class Route(responses.CallbackResponse):  # type: ignore[misc, name-defined]
        def matches(self, request: requests.PreparedRequest) -> tuple[bool, str]:
            return urlsplit(request.url or "").hostname in hosts, "another host"

    def respond(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        mock.calls.reset()
        route.calls.reset()
        asked = _from_requests(request)
        status, headers, body, trouble = answer(fake, asked)
        if trouble is not None:
            if not arrives_in_time(fake, asked, trouble):
                raise errors.ReadTimeout(_LATE, request=request)
            if trouble.cut == 0:
                raise errors.ConnectionError(_BROKEN, request=request)
            body = body[: trouble.cut]  # its length stays as stated, so that the end is seen to come too soon
        return status, headers, body

    before = HTTPAdapter.send
    mock = responses.RequestsMock(assert_all_requests_are_fired=False, real_adapter_send=before)
    route = mock.add(Route("ANY", re.compile(""), respond, content_type=None))
    if pass_others or before.__module__ == responses.__name__:
        mock.add_passthru(re.compile(""))
    with mock:
        yield


def _from_requests(request: requests.PreparedRequest) -> Request:
    target = urlsplit(request.url or "")
    body: Any = request.body or b""  # bytes, text, or an iterable of bytes
    if not isinstance(body, str | bytes):
        body = b"".join(body)
    timeout = request.req_kwargs.get("timeout")  # type: ignore[attr-defined]
    timeout = timeout[1] if isinstance(timeout, tuple) else getattr(timeout, "read_timeout", timeout)
    return Request(
        request.method or "GET",
        f"{target.scheme}://{target.netloc.rpartition('@')[2]}{request.path_url}",
        Headers(request.headers),
        body.encode() if isinstance(body, str) else body,
        timeout if isinstance(timeout, int | float) else None,
    )


def _need(module: str, client: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"{client} is installed, but not {module}, which catches its calls: they would reach the real "
            "service, and cost money. Install kling-contract[testing].",
            name=missing.name,
        ) from missing


_CATCHERS = {"httpx": _catch_httpx, "httpx2": _catch_httpx2, "requests": _catch_requests}
