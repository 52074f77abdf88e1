"""How values, near misses and requests are shown to a person."""

from __future__ import annotations

import base64
import difflib
import functools
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from kling_contract.redaction import redacted

__all__ = ["curl", "nearest", "show", "type_of"]


_ARTICLES = {
    "array": "an",
    "integer": "an",
    "object": "an",
    "null": "",
    "boolean": "a",
    "number": "a",
    "string": "a",
}


def nearest(word: str, candidates: Sequence[str]) -> list[str]:
    """Return those candidates that look like `word` or hold it, the nearest first."""
    scores = {candidate: _likeness(word[:100].lower(), candidate[:100].lower()) for candidate in candidates}
    return sorted((candidate for candidate in candidates if scores[candidate] >= 0.6), key=lambda c: -scores[c])


def show(value: Any) -> str:
    """Return a value as JSON, cut to about 60 characters: a payload may hold megabytes."""
    if isinstance(value, str) and len(value) > 60:
        return json.dumps(value[:40], ensure_ascii=False)[:-1] + f'…" ({len(value):,} characters)'
    if isinstance(value, (dict, list)) and len(value) > 3:
        return (
            f"{_with_article(type_of(value))} of {_count(len(value), 'member' if isinstance(value, dict) else 'item')}"
        )
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # no JSON at all, or a number of thousands of digits
        return f"a Python {type(value).__name__} that JSON cannot carry"
    return text if len(text) <= 80 else text[:60] + "…"


@functools.lru_cache(maxsize=4096)
def _likeness(one: str, other: str) -> float:
    """Return how alike two words are: about 1 for the same, more than 0.6 for a likely slip. One that begins the other gains."""
    begins = one.startswith(other) or other.startswith(one)
    return difflib.SequenceMatcher(None, one, other).ratio() + (0.3 if one and other and begins else 0.0)


def type_of(value: Any) -> str:
    """Return the JSON type of a Python value ("integer" for an int), or the name of its class where it has none."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case Mapping():
            return "object"
        case list() | tuple():
            return "array"
        case _:
            return type(value).__name__


def _with_article(kind: str) -> str:
    return f"{_ARTICLES.get(kind, 'a')} {kind}".strip()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


_CURL_BODY = 2_000


def curl(request: Any, key: str) -> str:
    """Return a shell line that sends a request again. The key in it is that of the environment variable AIMLAPI_KEY."""
    words = ["curl -i --path-as-is", "-X", shlex.quote(request.method), shlex.quote(str(request.url))]
    for name, value in request.headers.items():
        if name.lower() == "authorization":
            scheme, _, sent = value.rpartition(" ")
            said = "$AIMLAPI_KEY" if sent == key else "not-the-key" if scheme else value
            words.append(f'-H "Authorization: {f"{scheme} {said}".strip()}"')
        elif name.lower() == "content-type":
            words.append(f"-H {shlex.quote(f'content-type: {value}')}")
    body = bytes(request.content or b"")
    if len(body) > _CURL_BODY:
        words.append(f"--data-binary @payload  # {len(body):,} bytes")
    elif body:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text = "\0"
        if not text.isprintable():
            return f"echo {base64.b64encode(body).decode()} | base64 -d | {' '.join(words)} --data-binary @-"
        words.append(f"--data-binary {shlex.quote(text)}")
    return redacted(" ".join(words), key)
