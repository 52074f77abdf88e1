"""Other mocks above ours: responses, requests-mock and pytest-httpx let calls to the API through, unless they answer them.

They stand above the connections that a fake catches, and refuse what they have no answer for. While a fake intercepts, a call
to its hosts that none of their own answers fits goes on to it, whichever of both began first.
"""

from __future__ import annotations

import functools
import importlib
import threading
from typing import Any
from urllib.parse import urlsplit

from fake_server.preload.connections import PATCHES, covering

__all__ = ["prepare"]


def prepare() -> None:
    """Have the other mocks patched, now or when they are imported, while a redirection is active."""
    PATCHES.setdefault("responses", _responses)
    PATCHES.setdefault("requests_mock.adapter", _requests_mock)
    PATCHES.setdefault("pytest_httpx._httpx_mock", _pytest_httpx)


_changing = threading.Lock()


def _responses(module: Any) -> list[Any]:
    def letting_through(original: Any) -> Any:
        @functools.wraps(original)
        def _on_request(self: Any, adapter: Any, request: Any, **named: Any) -> Any:
            parts = urlsplit(str(request.url))
            if covering(parts.hostname) is None:
                return original(self, adapter, request, **named)
            origin = f"{parts.scheme}://{parts.netloc}"
            with _changing:
                self.passthru_prefixes = (*self.passthru_prefixes, origin)
            try:
                return original(self, adapter, request, **named)
            finally:
                with _changing:
                    kept = list(self.passthru_prefixes)
                    kept.remove(origin)
                    self.passthru_prefixes = tuple(kept)

        return _on_request

    return [(module.RequestsMock, "_on_request", letting_through)]


def _requests_mock(module: Any) -> list[Any]:
    def letting_through(original: Any) -> Any:
        @functools.wraps(original)
        def send(self: Any, request: Any, **named: Any) -> Any:
            import requests
            from requests_mock.exceptions import NoMockAddress

            mocker = importlib.import_module("requests_mock.mocker")

            try:
                return original(self, request, **named)
            except NoMockAddress:
                replaced = requests.Session.send is not mocker._original_send
                if replaced and covering(urlsplit(str(request.url)).hostname) is not None:
                    raise module._RunRealHTTP from None  # what it raises for a call that is really to be made
                raise

        return send

    return [(module.Adapter, "send", letting_through)]


def _pytest_httpx(module: Any) -> list[Any]:
    def passes(mock: Any, transport: Any, request: Any) -> bool:
        answered = any(matcher.match(transport, request) for matcher, _ in mock._callbacks)
        if answered or covering(request.url.host) is None:
            return False
        should_mock = mock._options.should_mock
        if not isinstance(should_mock, _ButThese):
            should_mock = mock._options.should_mock = _ButThese(should_mock)
        should_mock.passing.append(request)
        return True

    def letting_through(original: Any) -> Any:
        @functools.wraps(original)
        def _handle_request(self: Any, transport: Any, request: Any) -> Any:
            return (
                transport.handle_request(request)
                if passes(self, transport, request)
                else original(self, transport, request)
            )

        return _handle_request

    def letting_through_async(original: Any) -> Any:
        @functools.wraps(original)
        async def _handle_async_request(self: Any, transport: Any, request: Any) -> Any:
            if passes(self, transport, request):
                return await transport.handle_async_request(request)
            return await original(self, transport, request)

        return _handle_async_request

    mock = module.HTTPXMock
    return [(mock, "_handle_request", letting_through), (mock, "_handle_async_request", letting_through_async)]


class _ButThese:
    """Says which requests are to be mocked: those that were before, but for some."""

    def __init__(self, before: Any) -> None:
        self._before = before
        self.passing: list[Any] = []

    def __call__(self, request: Any) -> bool:
        for each in self.passing:
            if each is request:
                self.passing.remove(each)
                return False
        return bool(self._before(request))
