"""Interception: the calls of this process to the API's host and the media host are caught, and a fake answers them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import urlsplit

from fake_server.service.fake import Fake
from kling_contract.contract import Contract

if TYPE_CHECKING:
    import respx

__all__ = ["Interception", "mount"]

_F = TypeVar("_F", bound=Fake)
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Catch = Callable[..., contextlib.AbstractContextManager[None]]


def mount(fake: Fake, router: respx.Router) -> None:
    """Add one route to a respx router: it leads the API's host and the media host into the fake."""
    from fake_server.adapters.respx_internals import route_to

    route_to(fake.handle, router, clock=fake.clock, hosts=_hosts(fake.contract), client="httpx")


class Interception(Generic[_F]):
    """Catches what this process sends to the API's host and the media host: in a `with` block, or in a decorated function.

    httpx and httpx2 are caught (through respx) and requests (through responses), sync and async; neither urllib
    nor aiohttp. Calls to other hosts go to the mock that was active before, if there is one; otherwise they are
    refused, or really made if `others` is "pass". Of two nested ones the inner one answers. While one is used several
    times at once, by threads or by tasks of asyncio, it begins with the first and ends with the last of them.

    To begin raises ModuleNotFoundError if a client is installed but not what catches its calls: they would reach the
    real service, and cost money.
    """

    def __init__(self, fake: _F, *, others: Literal["block", "pass"] = "block") -> None:
        if others not in ("block", "pass"):
            raise ValueError(f'others must be "block" or "pass", not {others!r}')
        self._fake = fake
        self._others: Literal["block", "pass"] = others
        self._lock = threading.Lock()
        self._users = 0
        self._caught = contextlib.ExitStack()

    def __enter__(self) -> _F:
        with self._lock:
            if self._users == 0:
                self._caught = self._catch()
            self._users += 1
        return self._fake

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._caught.close()

    def __call__(self, function: _Function) -> _Function:
        """Return the function, or coroutine function, with every call of it made inside this context.

        Raise TypeError for what would run outside of it: a generator function, or a class.
        """
        if inspect.isclass(function) or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} is no function that returns when it is done: "
                "write `with fake.intercept():` inside it instead"
            )

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        chosen: Any = call_async if inspect.iscoroutinefunction(function) else call
        return chosen  # type: ignore[no-any-return]

    def _catch(self) -> contextlib.ExitStack:
        with contextlib.ExitStack() as stack:
            for client, catch in _catchers().items():
                caught = catch(
                    self._fake.handle,
                    clock=self._fake.clock,
                    hosts=_hosts(self._fake.contract),
                    client=client,
                    pass_others=self._others == "pass",
                )
                stack.enter_context(caught)
            return stack.pop_all()


def _hosts(contract: Contract) -> frozenset[str]:
    urls = (contract.base_url, contract.observed.answers.video_url)
    return frozenset(host for url in urls if (host := urlsplit(url).hostname))


def _catchers() -> Mapping[str, _Catch]:
    """Return what catches the calls of each client library that is installed."""
    found: dict[str, _Catch] = {}
    for client, (mock, module) in _MOCKS.items():
        if importlib.util.find_spec(client) is None:
            continue
        try:
            importlib.import_module(mock)
        except ModuleNotFoundError as missing:
            raise ModuleNotFoundError(
                f"{client} is installed, but not {mock}, which catches its calls: they would reach the real "
                "service, and cost money. Install kling-contract[testing].",
                name=missing.name,
            ) from missing
        found[client] = importlib.import_module(module).catch
    return found


_MOCKS = {
    "httpx": ("respx", "fake_server.adapters.respx_internals"),
    "httpx2": ("respx", "fake_server.adapters.respx_internals"),
    "requests": ("responses", "fake_server.adapters.responses_internals"),
}
"""By client library: the library that catches its calls, and the module of ours that makes it do so."""
