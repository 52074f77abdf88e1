"""The HTTP adapter: requests through a client of httpx or httpx2, synchronous or not. Nothing else touches that client."""

from __future__ import annotations

import inspect
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import httpx

from kling_contract.clock import Clock

__all__ = ["AsyncHttp", "AsyncHttpAdapter", "Http", "HttpAdapter", "SyncHttpAdapter"]

MIN_TIMEOUT = 1.0
"""The least timeout of a request, in seconds, however near the deadline is, so that the last poll can succeed."""


class Http(Protocol):
    """A synchronous client of httpx or httpx2, or a subclass of one."""

    def build_request(self, *args: Any, **kwargs: Any) -> Any:
        """Build a request, with the client's own headers."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Send it."""

    def close(self) -> object:
        """Close it. This method distinguishes it from an asynchronous client for type checkers."""


class AsyncHttp(Protocol):
    """An asynchronous client of httpx or httpx2, or a subclass of one."""

    def build_request(self, *args: Any, **kwargs: Any) -> Any:
        """Build a request, with the client's own headers."""

    def send(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Send it."""

    def aclose(self) -> Awaitable[object]:
        """Close it. This method distinguishes it from a synchronous client for type checkers."""


class HttpAdapter(ABC):
    """Sends requests through a given client, and waits on a given clock.

    The methods that wait are coroutines. Those of `SyncHttpAdapter` never suspend, so that a call written once as a
    coroutine can also be run in one step.
    """

    def __init__(self, http: Any, clock: Clock) -> None:
        self._http = http
        self.clock = clock
        package: Any = _package_of(http)
        self._package = package
        self._urls: dict[str, Any] = {}
        self.transport_errors: tuple[type[Exception], ...] = (package.RequestError, package.InvalidURL)
        """What the client raises when it received no response, or none that it can read."""
        self.not_retryable: tuple[type[Exception], ...] = (
            package.InvalidURL,
            package.UnsupportedProtocol,
            package.TooManyRedirects,
        )
        """The transport errors that would happen again at each attempt."""
        self.never_sent: tuple[type[Exception], ...] = (
            package.ConnectError,
            package.ConnectTimeout,
            package.PoolTimeout,
        )
        """The transport errors after which the request was certainly not sent."""

    def contract_request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
        content: bytes | None,
        within: float,
    ) -> Any:
        """Build a request with the client's own headers and timeouts, the latter cut to `within` seconds."""
        timeout = self._http.timeout
        limits = timeout.as_dict()
        if any(limit is None or limit > within for limit in limits.values()) and math.isfinite(within):
            within = max(within, MIN_TIMEOUT)
            limits = {name: within if limit is None else min(limit, within) for name, limit in limits.items()}
            timeout = self._package.Timeout(**limits)
        # Parsing the same URL for each poll takes a third of the time of building a request.
        if url not in self._urls:
            self._urls[url] = self._package.URL(url)
        return self._http.build_request(
            method, self._urls[url], headers=headers, params=params, content=content, timeout=timeout
        )

    def media_request(self, url: str, headers: Mapping[str, str]) -> Any:
        """Build a GET without the client's own headers: they are not meant for the host of a video."""
        return self._package.Request("GET", url, headers=headers)

    @abstractmethod
    async def send(self, request: Any, *, stream: bool = False, follow_redirects: bool = False) -> Any:
        """Return the response to `request`, its body unread with `stream`. Raise one of `transport_errors`."""

    @abstractmethod
    async def stream_to(self, response: Any, write: Callable[[bytes], object]) -> None:
        """Pass the body of a streamed response to `write`, chunk by chunk. Raise one of `transport_errors`."""

    @abstractmethod
    async def close(self, response: Any) -> None:
        """Close a streamed response, read to its end or not."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait on the clock."""


class SyncHttpAdapter(HttpAdapter):
    """Blocks while it sends or waits."""

    def __init__(self, http: Any, clock: Clock) -> None:
        name = _checked_name(http)
        if inspect.iscoroutinefunction(http.send):
            raise TypeError(
                f"{name} is asynchronous, but kling_contract.Client is synchronous: "
                "give it an httpx.Client, or use kling_contract.AsyncClient"
            )
        super().__init__(http, clock)

    async def send(self, request: Any, *, stream: bool = False, follow_redirects: bool = False) -> Any:
        return self._http.send(request, auth=None, stream=stream, follow_redirects=follow_redirects)

    async def stream_to(self, response: Any, write: Callable[[bytes], object]) -> None:
        for chunk in response.iter_bytes():
            write(chunk)

    async def close(self, response: Any) -> None:
        response.close()

    async def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)


class AsyncHttpAdapter(HttpAdapter):
    """Suspends while it sends or waits."""

    def __init__(self, http: Any, clock: Clock) -> None:
        name = _checked_name(http)
        if not inspect.iscoroutinefunction(http.send):
            raise TypeError(
                f"{name} is synchronous, but kling_contract.AsyncClient is asynchronous: "
                "give it an httpx.AsyncClient, or use kling_contract.Client"
            )
        super().__init__(http, clock)

    async def send(self, request: Any, *, stream: bool = False, follow_redirects: bool = False) -> Any:
        return await self._http.send(request, auth=None, stream=stream, follow_redirects=follow_redirects)

    async def stream_to(self, response: Any, write: Callable[[bytes], object]) -> None:
        async for chunk in response.aiter_bytes():
            write(chunk)

    async def close(self, response: Any) -> None:
        await response.aclose()

    async def sleep(self, seconds: float) -> None:
        await self.clock.asleep(seconds)


def _checked_name(http: object) -> str:
    """Return the name of an HTTP client for messages. Raise TypeError for an object without the methods of one."""
    kind = http if isinstance(http, type) else type(http)
    name = f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}".removeprefix("builtins.")
    if isinstance(http, type) or not (hasattr(http, "build_request") and hasattr(http, "send")):
        actual = f"the class {name} itself" if isinstance(http, type) else name
        raise TypeError(f"http must be a client of httpx or httpx2, such as httpx.Client(), not {actual}")
    return name


def _package_of(http: object) -> Any:
    """Return the package of a client, httpx or httpx2, whose exceptions can so be caught without importing it."""
    for ancestor in type(http).__mro__:
        package = sys.modules.get(ancestor.__module__.partition(".")[0])
        if hasattr(package, "RequestError") and hasattr(package, "InvalidURL"):
            return package
    return httpx
