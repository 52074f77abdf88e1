"""What may be kept of an exchange: no key, neither where it belongs nor where it was repeated."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from dataclasses import replace
from urllib.parse import unquote, unquote_plus

from fake_server.messages import Exchange, Headers, Request
from kling_contract.redaction import MASK, MIN_KEY_LENGTH, holds_key, mask, mask_bytes

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


def without_keys(request: Request) -> tuple[Request, tuple[str, ...]]:
    """Return the request as it may be kept, and those of its keys that recur where they do not belong.

    Of the headers, a list of harmless ones is kept. The URL loses its user name, its password, and the value of each
    parameter that is named like a key. Values found there, or in other headers named like a key, count as keys if they have at
    least MIN_KEY_LENGTH characters. The second item is empty unless one of them recurs; otherwise pass it to `hidden`.
    """
    url, secrets = _separated(request)
    kept = Request(request.method, url, request.headers.only(_KEPT_HEADERS), request.body, request.read_timeout)
    keys = _keys(tuple(secrets))
    if keys:
        texts = "\n".join([url, *(value for _, value in kept.headers.items())])
        for key in keys:
            if holds_key(texts, key) or holds_key(kept.body, key):
                return kept, keys
    return kept, ()


def keys_in(request: Request) -> tuple[str, ...]:
    """Return the keys that a request was sent with, in no spelling but their own, the longest first."""
    return _keys(tuple(_separated(request)[1]))


def hidden(exchange: Exchange, keys: Collection[str]) -> Exchange:
    """Return the exchange with each of these keys masked wherever it is, in the reply as well, and in every spelling."""
    request, reply = exchange.request, exchange.reply

    def text(value: str) -> str:
        return mask(value, *keys)

    def fields(headers: Headers, change: int) -> Headers:
        kept = {name: text(value) for name, value in headers.items()}
        if change and _LENGTH.fullmatch(kept.get("content-length", "")):  # it is to be that of what is kept
            kept["content-length"] = str(max(0, int(kept["content-length"]) + change))
        return Headers(kept)

    sent, answered = mask_bytes(request.body, *keys), mask_bytes(reply.body, *keys)
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
            headers=fields(reply.headers, len(answered) - len(reply.body)),
            body=answered,
            cut=None if reply.cut is None else len(mask_bytes(reply.body[: reply.cut], *keys)),
        ),
        violations=tuple(
            replace(
                violation,
                pointer=text(violation.pointer),
                message=text(violation.message),
                hint=violation.hint and text(violation.hint),
            )
            for violation in exchange.violations
        ),
    )


def _separated(request: Request) -> tuple[str, list[str]]:
    """Return the URL as it may be kept, and the values that stood where keys do."""
    url = request.url
    secrets = [value for name, value in request.headers.items() if name not in _KEPT_HEADERS and _is_secret(name)]
    _, _, query = url.partition("?")
    if "@" in url or (query and any(_is_secret(parameter.partition("=")[0]) for parameter in query.split("&"))):
        url, found = _clean_url(url)
        secrets += found
    return url, secrets


@functools.lru_cache(maxsize=256)
def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def _clean_url(url: str) -> tuple[str, list[str]]:
    """Return a URL without user name, password and the values of parameters named like a key; and what was taken out."""
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
            parameters[i] = f"{name}{equals}{MASK}"
    return f"{start}{mark}{'&'.join(parameters)}", secrets


@functools.lru_cache(maxsize=8)
def _keys(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of these values that are long enough to be keys, the longest first."""
    words = {word for secret in secrets for word in secret.split() if len(word) >= MIN_KEY_LENGTH}
    return tuple(sorted(words, key=lambda word: (-len(word), word)))
