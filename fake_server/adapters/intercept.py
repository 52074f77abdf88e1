"""Interception: the calls of this process to the API's host and the media host are caught, and a fake answers them."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import re
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import urlsplit

from fake_server.adapters.redirect import domain_of, only_for, redirected
from fake_server.service.fake import Fake
from kling_contract.contract import Contract

if TYPE_CHECKING:
    import respx

__all__ = ["Interception", "mount"]

_F = TypeVar("_F", bound=Fake)
_Function = TypeVar("_Function", bound=Callable[..., Any])


def mount(fake: Fake, router: respx.Router) -> None:
    """Add one route to a respx router: it leads the API's host and the media host into the fake."""
    from fake_server.adapters.respx_internals import route_to

    hosts = _hosts(fake.contract)
    route_to(fake.handle, router, clock=fake.clock, hosts=sorted(map(re.escape, hosts)), client="httpx")


class Interception(Generic[_F]):
    """Catches what this process sends to the API's host and the media host: in a `with` block, or in a decorated function.

    Every client is caught that connects through Python's sockets, uvloop, gevent, curl_cffi or pycurl, sync and async: httpx
    and httpx2 without a connection, through respx where that is installed, all others at a port inside this process. For
    these hosts, TLS with anybody else is refused before anything is sent. Other names under the API's domain are answered
    with 421.

    Calls to other hosts go to the mock that was active before, if there is one, and those to this machine pass; the rest is
    refused, or really made if `others` is "pass". Of several the newest answers, and decides about the rest. They may
    begin and end in any order, in threads and tasks. While one is used several times at once, it begins with the first and
    ends with the last of them.
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
        fake = self._fake
        hosts, domain = _hosts(fake.contract), domain_of(urlsplit(fake.contract.base_url).hostname or "")
        handle = only_for(hosts, fake.handle)
        pass_others = self._others == "pass"
        with contextlib.ExitStack() as stack:
            stack.enter_context(
                redirected(
                    handle,
                    hosts=hosts,
                    domain=domain,
                    body_limit=fake.body_limit,
                    clock=fake.clock,
                    pass_others=pass_others,
                )
            )
            for client in _by_respx():
                from fake_server.adapters.respx_internals import catch

                stack.enter_context(
                    catch(handle, clock=fake.clock, hosts=hosts, domain=domain, client=client, pass_others=pass_others)
                )
            return stack.pop_all()


def _hosts(contract: Contract) -> frozenset[str]:
    urls = (contract.base_url, contract.observed.answers.video_url)
    return frozenset(host for url in urls if (host := urlsplit(url).hostname))


def _by_respx() -> list[str]:
    """Return the client libraries whose calls respx catches, without a connection."""
    if importlib.util.find_spec("respx") is None:
        return []
    return [client for client in ("httpx", "httpx2") if importlib.util.find_spec(client)]
