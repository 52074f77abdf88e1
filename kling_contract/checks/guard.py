"""The transport of a check: it holds back requests that could be billed, and limits the size and time of responses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.request import Request

import httpx

from kling_contract.checks.deadline import Deadline, DeadlineExceeded
from kling_contract.client.http_adapter import SyncHttpAdapter
from kling_contract.clock import SystemClock
from kling_contract.contract import Contract, revisions
from kling_contract.contract.operation import MODEL
from kling_contract.display import shorten
from kling_contract.errors import ContractBroken, InvalidJson
from kling_contract.jsontext.parser import parse
from kling_contract.redaction import mask_bytes, variants
from kling_contract.validation import validate
from kling_contract.violation import has_errors

__all__ = [
    "ClientTransport",
    "CreationGuard",
    "NoCookies",
    "UnexpectedCreation",
    "excerpt",
    "unanswered",
    "why_silent",
    "without_key",
]


_SAFE = {"GET", "HEAD", "OPTIONS"}
_RESPONSE_LIMIT = 10_000_000  # bytes of a response of the API
_VIDEO_LIMIT = 200_000_000
_TIMEOUTS = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": 30.0}
_EXCERPT = 400  # characters of a server's text that a finding repeats
_DROPPED = {b"content-encoding", b"transfer-encoding", b"content-length"}  # they describe the body on the wire


class UnexpectedCreation(ContractBroken):
    """A request that must not create anything was accepted. `generation_id` is what it created (None: not known)."""

    generation_id: str | None = None


class CreationGuard(httpx.BaseTransport):
    """Sends requests, except those that could create a generation when no more may be created.

    `creations` is how many may be (None: any number). The documents of every revision decide which body could create one, not
    the intention of a caller. If another request is accepted all the same, as the status line says, UnexpectedCreation is
    raised, without `key`, and nothing is sent any more. `sent` counts requests; `made` those that could create.
    `response_limit` is how many bytes a response may have (None: as many as one of the API, or as a video).
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        deadline: Deadline,
        key: str,
        creations: int | None = 0,
        response_limit: int | None = None,
    ) -> None:
        self.sent = 0
        self.made = 0
        self._inner = inner
        self._deadline = deadline
        self._key = key
        self._creations = creations
        self._response_limit = response_limit
        self._contracts = [Contract.load(each) for each in revisions()]
        self._accepted: UnexpectedCreation | None = None
        self._lock = threading.Lock()

    @property
    def stopped(self) -> bool:
        """Whether a request was accepted that must not create anything."""
        return self._accepted is not None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the whole response.

        Raise DeadlineExceeded, UnexpectedCreation, or what httpx raises if no response came.
        """
        body = request.read()
        guarded = self._creations is not None and request.method not in _SAFE
        could_create = guarded and self._could_create(body)
        with self._lock:
            if self._accepted is not None:
                raise self._accepted
            if could_create:
                if self._creations is not None and self.made >= self._creations:
                    raise RuntimeError(
                        f"held back: {request.method} {request.url} could create generation {self.made + 1}, "
                        f"and no more than {self._creations} may be created"
                    )
                self.made += 1
            self.sent += 1
        left = self._deadline.remaining()
        request.extensions = {
            **request.extensions,
            "timeout": {name: min(limit, left) for name, limit in _TIMEOUTS.items()},
        }
        streamed = self._send(request)
        unwanted = guarded and not could_create and streamed.is_success
        body, broken = self._read(streamed, request)
        if unwanted:
            self._accepted = _unexpected(request, streamed.status_code, body, broken, self._key)
            raise self._accepted
        if broken is not None:
            raise broken
        kept = [(name, value) for name, value in streamed.headers.raw if name.lower() not in _DROPPED]
        return httpx.Response(streamed.status_code, headers=kept, content=body, request=request)

    def close(self) -> None:
        self._inner.close()

    def _could_create(self, body: bytes) -> bool:
        try:
            payload = parse(body)
        except InvalidJson:
            return False
        model = payload.get(MODEL) if isinstance(payload, dict) else None
        if not isinstance(model, str) or not any(contract.takes(model) for contract in self._contracts):
            return False
        return not all(has_errors(validate(payload, contract=contract)) for contract in self._contracts)

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            streamed = self._inner.handle_request(request)
        except UnicodeError as unusable:  # a server gave a link whose host name cannot be resolved
            raise httpx.ConnectError(
                f"{request.url.host!r} is not a host name: {unusable}", request=request
            ) from unusable
        streamed.request = request
        return streamed

    def _read(
        self, streamed: httpx.Response, request: httpx.Request
    ) -> tuple[bytes, httpx.RequestError | DeadlineExceeded | None]:
        """Return the body of a response, or what came of it and why no more did."""
        limit = self._response_limit or (_RESPONSE_LIMIT if "authorization" in request.headers else _VIDEO_LIMIT)
        body = bytearray()
        try:
            for piece in streamed.iter_bytes():
                self._deadline.remaining()
                body += piece
                if len(body) > limit:
                    raise httpx.ReadError(f"it has more than {limit:,} bytes, and was not read to its end")
        except DeadlineExceeded as over:
            return bytes(body), over
        except httpx.RequestError as broken:
            why = f"the response began with {streamed.status_code}, and could not be read: {why_silent(broken)}"
            return bytes(body), type(broken)(why, request=request)
        finally:
            streamed.close()
        return bytes(body), None


class NoCookies(DefaultCookiePolicy):
    """Takes no cookie from a server, so that no request depends on the response to an earlier one."""

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        return False


class ClientTransport(httpx.BaseTransport):
    """Any synchronous client of httpx or httpx2 as a transport. Until it is closed, that client takes no cookies."""

    def __init__(self, http: Any) -> None:
        self._http = http
        self._cookies = getattr(http, "cookies", None)
        if self._cookies is not None:
            http.cookies = CookieJar(NoCookies())
            for cookie in self._cookies.jar:
                http.cookies.jar.set_cookie(cookie)
        self._broken = SyncHttpAdapter(http, SystemClock()).transport_errors

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Whatever the client raises if no response came becomes an httpx.TransportError."""
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
        opened = self._http.stream(request.method, str(request.url), headers=headers, content=request.content or None)
        try:
            response = opened.__enter__()
        except self._broken as broken:
            raise httpx.TransportError(str(broken), request=request) from broken
        kept = [(name, value) for name, value in response.headers.items() if name.lower().encode() not in _DROPPED]
        return httpx.Response(response.status_code, headers=kept, stream=_Body(opened, response, self._broken))

    def close(self) -> None:
        """Give the client its own cookies back. It stays open: it is not ours."""
        if self._cookies is not None:
            self._http.cookies = self._cookies


class _Body(httpx.SyncByteStream):
    """The body of a response that a client has begun to read."""

    def __init__(self, opened: AbstractContextManager[Any], response: Any, broken: tuple[type[Exception], ...]) -> None:
        self._opened = opened
        self._response = response
        self._broken = broken

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_bytes()
        except self._broken as broken:
            raise httpx.ReadError(str(broken)) from broken

    def close(self) -> None:
        self._opened.__exit__(None, None, None)


def excerpt(text: str, key: str, *, most: int = _EXCERPT) -> str:
    """Return the first `most` characters of a text with the key masked: first masked, then cut, or half of it could be left."""
    return shorten(text, most, key=key)


def without_key(body: bytes, key: str) -> bytes:
    """Return a body with the key masked, and the wrong variants that are derived from it."""
    return mask_bytes(body, *variants(key))


def unanswered(silent: httpx.RequestError) -> ContractBroken:
    """Return the violation that no response came."""
    why = why_silent(silent)
    return ContractBroken(why, request=silent.request, expected="a response", actual=f"no response: {why}")


def why_silent(silent: httpx.RequestError) -> str:
    """Return in words why no response came."""
    return str(silent) or {"ReadTimeout": "it took too long"}.get(type(silent).__name__, type(silent).__name__)


def _unexpected(
    request: httpx.Request, status: int, body: bytes, broken: httpx.RequestError | DeadlineExceeded | None, key: str
) -> UnexpectedCreation:
    try:
        value = parse(body)
    except InvalidJson:
        value = None
    found = value.get("id") if isinstance(value, dict) else None
    what = f"generation {found}" if isinstance(found, str) else "something"
    actual = excerpt(f"{status} {body.decode('utf-8', 'replace')}".rstrip(), key)
    if broken is not None:
        actual += " (the time was over before its end)" if isinstance(broken, DeadlineExceeded) else f" ({broken})"
    unexpected = UnexpectedCreation(
        f"{request.method} {request.url.path} returned {actual}",
        request=request,
        expected="a refusal",
        actual=actual,
        problem=f"{what} was created, which may be billed; nothing more was sent",
    )
    unexpected.generation_id = found if isinstance(found, str) else None
    return unexpected
