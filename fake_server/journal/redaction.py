"""What of an exchange may be kept? No key: not where it belongs, and not where it was repeated."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from fake_server.messages import Headers, Request

if TYPE_CHECKING:
    from fake_server.messages import Exchange

__all__ = ["hidden", "keys_in", "without_keys"]

_KEPT_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "range",
        "user-agent",
        "x-client-request-id",
    }
)
_SECRET = re.compile(r"auth|cookie|credential|key|passw|secret|token", re.IGNORECASE)
_USER = re.compile(r"^(\w+://)([^/?#]*)@")
_LENGTH = re.compile(r"[0-9]{1,18}")
_HIDDEN = "***"
_LEAST = 8  # a shorter key is a made-up one, and may well be part of an honest word


def without_keys(request: Request) -> tuple[Request, tuple[str, ...]]:
    """Return the request as it may be kept, and the spellings of a key that is repeated where it does not belong.

    Of the headers a list of harmless ones is left; the URL loses its user name, password, and the value of each
    parameter that is named like a key. What came there, or in another header, is a key. Is there no spelling, none recurs;
    else pass them on to `hidden`. Keys of fewer than 8 characters are not looked for.
    """
    url, keys = _parted(request)
    kept = Request(request.method, url, request.headers.only(_KEPT_HEADERS), request.body, request.read_timeout)
    if keys:
        spellings = _spellings(tuple(keys))
        texts = "\n".join([url, *(value for _, value in kept.headers.items())])
        for each in spellings:
            if each in texts or (kept.body and _utf8(each) in kept.body):
                return kept, spellings
    return kept, ()


def keys_in(request: Request) -> tuple[str, ...]:
    """Return every spelling of the keys that a request was sent with, the longest first; those of fewer than 8 characters not."""
    return _spellings(tuple(_parted(request)[1]))


def hidden(exchange: Exchange, spellings: Collection[str]) -> Exchange:
    """Return the exchange with each of these spellings replaced by *** wherever it stands, in the reply as well."""
    request, reply = exchange.request, exchange.reply

    def text(value: str) -> str:
        for spelling in spellings:
            value = value.replace(spelling, _HIDDEN)
        return value

    def body(value: bytes) -> bytes:
        for spelling in spellings:
            value = value.replace(_utf8(spelling), _utf8(_HIDDEN))
        return value

    def fields(headers: Headers, change: int) -> Headers:
        kept = {name: text(value) for name, value in headers.items()}
        if change and _LENGTH.fullmatch(kept.get("content-length", "")):  # it is right of what is kept, too
            kept["content-length"] = str(max(0, int(kept["content-length"]) + change))
        return Headers(kept)

    sent, came = body(request.body), body(reply.body)
    return replace(
        exchange,
        request=replace(
            request,
            url=text(request.url),
            headers=fields(request.headers, len(sent) - len(request.body)),
            body=sent,
        ),
        reply=replace(
            reply,
            headers=fields(reply.headers, len(came) - len(reply.body)),
            body=came,
            cut=None if reply.cut is None else len(body(reply.body[: reply.cut])),
        ),
        violations=tuple(
            replace(each, pointer=text(each.pointer), message=text(each.message), hint=each.hint and text(each.hint))
            for each in exchange.violations
        ),
    )


def _parted(request: Request) -> tuple[str, list[str]]:
    """Return the URL as it may be kept, and what came where keys do."""
    url = request.url
    keys = [value for name, value in request.headers.items() if name not in _KEPT_HEADERS and _is_secret(name)]
    _, _, query = url.partition("?")
    if "@" in url or (query and any(_is_secret(each.partition("=")[0]) for each in query.split("&"))):
        url, found = _clean_url(url)
        keys += found
    return url, keys


@functools.lru_cache(maxsize=256)
def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def _clean_url(url: str) -> tuple[str, list[str]]:
    """Return a URL without user name, password and the values of parameters that are named like keys; and what was taken out."""
    secrets = []
    if user := _USER.match(url):
        secrets = [user[2], *user[2].split(":")]
        url = user[1] + url[user.end() :]
    start, mark, query = url.partition("?")
    parameters = query.split("&")
    for i, parameter in enumerate(parameters):
        name, equals, value = parameter.partition("=")
        if value and _is_secret(name):
            secrets += [value, unquote(value), unquote_plus(value)]
            parameters[i] = f"{name}{equals}{_HIDDEN}"
    return f"{start}{mark}{'&'.join(parameters)}", secrets


@functools.lru_cache(maxsize=8)
def _spellings(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the forms in which these values may recur, the longest first: as they are, and encoded."""
    words = {word for secret in secrets for word in secret.split()}
    found = set()
    for word in words:
        if len(word) >= _LEAST:
            found |= {word, json.dumps(word)[1:-1], quote(word, errors="replace"), quote_plus(word, errors="replace")}
    return tuple(sorted(found, key=lambda each: (-len(each), each)))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")
