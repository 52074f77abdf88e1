"""How values, similar names, requests and texts are shown to a person."""

from __future__ import annotations

import base64
import difflib
import functools
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from kling_contract.errors import InvalidJson
from kling_contract.jsontext.parser import parse
from kling_contract.redaction import KEY_VARIABLE, mask_bytes, redacted, variants

__all__ = ["counted", "curl", "likeness", "nearest", "printable", "shorten", "show", "type_of", "with_article"]

_ARTICLES = {
    "array": "an",
    "integer": "an",
    "object": "an",
    "null": "",
    "boolean": "a",
    "number": "a",
    "string": "a",
}
_REPEATED_HEADERS = ("content-type", "range")
_BODY_LIMIT = 2_000  # bytes
_TEXT_LIMIT = 60  # characters of each text in a body that is longer than that


def nearest(word: str, candidates: Sequence[str]) -> list[str]:
    """Return the candidates that are similar to `word`, the most similar first."""
    scores = {candidate: likeness(word[:100].lower(), candidate[:100].lower()) for candidate in candidates}
    return sorted((candidate for candidate in candidates if scores[candidate] >= 0.6), key=lambda c: -scores[c])


def show(value: Any) -> str:
    """Return a value as JSON, cut to about 60 characters, since a payload may hold megabytes."""
    if isinstance(value, str) and len(value) > 60:
        return json.dumps(value[:40], ensure_ascii=False)[:-1] + f'…" ({len(value):,} characters)'
    if isinstance(value, (dict, list)) and len(value) > 3:
        return (
            f"{with_article(type_of(value))} of {counted(len(value), 'member' if isinstance(value, dict) else 'item')}"
        )
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # not JSON, or an integer of thousands of digits
        return f"a Python {type(value).__name__} that JSON cannot carry"
    return text if len(text) <= 80 else text[:60] + "…"


@functools.lru_cache(maxsize=4096)
def likeness(one: str, other: str) -> float:
    """Return how similar two words are: 1 or more for the same, above 0.6 for a likely typing error.

    It is higher if one of them begins with the other.
    """
    begins = one.startswith(other) or other.startswith(one)
    return difflib.SequenceMatcher(None, one, other).ratio() + (0.3 if one and other and begins else 0.0)


def type_of(value: Any) -> str:
    """Return the JSON type of a Python value ("integer" for an int), or the name of its class if JSON has no such type."""
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


def with_article(kind: str) -> str:
    """Return a JSON type with its article: "an array"."""
    return f"{_ARTICLES.get(kind, 'a')} {kind}".strip()


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 item", "1,000 items"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Return a text with everything escaped that would control a terminal or be invisible, such as line breaks and colours."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shorten(text: str, limit: int, *, key: str = "") -> str:
    """Return at most `limit` characters of a text, with the key masked ("": there is no key).

    It is masked before the text is cut, since otherwise a part of it could be left at the end.
    """
    text = redacted(text, key)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def curl(method: str, url: str, headers: Mapping[str, str], body: bytes, *, key: str = "") -> str:
    """Return a shell line that sends a request again.

    It has the media type, the range and the authorization of the headers. The key is replaced by the environment variable that
    holds it; if `key` is "", whatever the authorization has is taken for the key. If the body has more than 2,000 bytes, the
    texts in it are cut if it is JSON; otherwise the line reads it from the file `payload`.
    """
    words = ["curl", "-i", "--path-as-is", "-X", _quoted(method, key), _quoted(url, key)]
    for name, value in headers.items():
        if name.lower() == "authorization":
            words += ["-H", _authorization(value, key)]
        elif name.lower() in _REPEATED_HEADERS:
            words += ["-H", _quoted(f"{name.lower()}: {value}", key)]
    if not body:
        return " ".join(words)
    data = mask_bytes(body, *variants(key))
    text = _text_of(data)
    if text is not None:
        return " ".join([*words, "--data-binary", shlex.quote(text)])
    if len(data) > _BODY_LIMIT:
        return " ".join([*words, "--data-binary", f"@payload  # {len(body):,} bytes"])
    return f"echo {base64.b64encode(data).decode()} | base64 -d | {' '.join([*words, '--data-binary', '@-'])}"


def _quoted(text: str, key: str) -> str:
    return shlex.quote(printable(redacted(text, key)))


def _authorization(value: str, key: str) -> str:
    scheme, _, token = value.rpartition(" ")
    if token == (key or token) and (not scheme or scheme.isalnum()):
        return f'"Authorization: {scheme}{" " if scheme else ""}${KEY_VARIABLE}"'
    return _quoted(f"Authorization: {scheme} not-the-key" if scheme else f"Authorization: {value}", key)


def _text_of(body: bytes) -> str | None:
    """Return a body as printable text of a moderate length, None if there is none. JSON may be cut, or written another way."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    if text.isprintable() and len(body) <= _BODY_LIMIT:
        return text
    try:
        value = parse(body)
    except InvalidJson:
        return None
    value = _cut(value) if len(body) > _BODY_LIMIT else value
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = json.dumps(value).replace("\x7f", "\\u007f")
    return text if len(text) <= _BODY_LIMIT else None


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _TEXT_LIMIT:
        return f"{value[: _TEXT_LIMIT - 20]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {_cut(name): _cut(member) for name, member in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list) else value
