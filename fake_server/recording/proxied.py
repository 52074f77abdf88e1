"""One application for requests to several hosts: those to the API are forwarded and recorded, downloads only forwarded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from fake_server.adapters.asgi import Application, Receive, Scope, Send, app
from fake_server.messages import Exchange, Headers, OnExchange, Reply, Request
from fake_server.recording.proxy import Proxy
from fake_server.recording.relay import PROXY_ERROR_HEADER
from kling_contract.clock import SystemClock

__all__ = ["proxied"]


def proxied(
    on_exchange: OnExchange,
    *,
    recorded: Mapping[str, str],
    passed: Mapping[str, str],
    on_refused: Callable[[str, int], None] = lambda _host, _port: None,
) -> Application:
    """Return an ASGI application that forwards each request by the host that it is for, whatever port it came in by.

    `recorded` and `passed` map a host to the upstream that gets its requests, a URL as `Proxy` takes it; `on_exchange` is called
    with each exchange of the first, and nothing is kept of the second. A request to any other host goes nowhere: the response
    is 421 with a sentence that says so, and `on_refused` gets that host and port. Host names are without a port, and their case
    does not matter.
    """
    routes: dict[str, Application] = {
        host.lower(): Proxy(upstream, _forget, limit=0) for host, upstream in passed.items()
    }
    routes |= {host.lower(): Proxy(upstream, on_exchange) for host, upstream in recorded.items()}
    known = ", ".join(sorted(routes))

    def refuse(request: Request) -> Reply:
        target = request.target
        host = target.hostname or "a host without a name"
        if target.hostname:
            with contextlib.suppress(ValueError):  # its port is none: the response says enough
                on_refused(host, target.port or (80 if target.scheme == "http" else 443))
        reason = f"this recording forwards only to {known}, and the request is for {host}"
        return Reply(421, Headers({"content-type": "text/plain", PROXY_ERROR_HEADER: reason}), f"{reason}\n".encode())

    refused = app(refuse, body_limit=0, clock=SystemClock())

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        known_application = routes.get(_host(scope)) if scope["type"] == "http" else None
        await (known_application or refused)(scope, receive, send)

    return application


def _host(scope: Scope) -> str:
    """Return the name of the host that a request is for: that in its target, if there is one, or else in its Host header."""
    target: bytes = scope["raw_path"]
    authority = next((value for name, value in scope["headers"] if name == b"host"), b"")
    url = target if b"://" in target and not target.startswith(b"/") else b"//" + authority
    try:
        return urlsplit(url.decode("latin-1")).hostname or ""
    except ValueError:
        return ""


def _forget(exchange: Exchange) -> None:
    """Keep nothing of an exchange."""
