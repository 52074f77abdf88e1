"""The API key, kept from showing anywhere but in the header that it is for."""

from __future__ import annotations

import functools
import re
from typing import Any, Self

__all__ = [
    "KEY_VARIABLE",
    "LONGEST_SPELLING",
    "MASK",
    "MIN_KEY_LENGTH",
    "EchoedText",
    "Key",
    "holds_key",
    "mask",
    "mask_bytes",
    "redacted",
    "variants",
]

KEY_VARIABLE = "AIMLAPI_KEY"
"""The environment variable that holds the API key."""

MIN_KEY_LENGTH = 8
"""In characters. A shorter text is never masked: it is a made-up key, and may well be a word of an honest message."""

MASK = "***"
"""What a masked key is replaced with."""


LONGEST_SPELLING = 32
"""How many bytes of a text `mask` may read for one character of a key."""


class EchoedText(str):
    """A text in which a service repeated the key: the text as it was received, but its repr does not show the key."""

    __slots__ = ("_shown",)
    _shown: str

    def __new__(cls, text: str, shown: str) -> Self:
        """Make it of the text and of what its repr shows instead."""
        made = super().__new__(cls, text)
        made._shown = shown
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self._shown

    def __repr__(self) -> str:
        return repr(self._shown)


class Key:
    """An API key that no repr, traceback with local variables, or message shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"the API key must be text, not {type(text).__name__}")
        text = text.strip()
        if not text:
            raise ValueError("the API key is empty; give the key that the provider shows in your account")
        if not all("!" <= character <= "~" for character in text):
            raise ValueError(
                "the API key holds a space, a line break or a character outside ASCII; "
                "give the key alone, without quotation marks and without 'Bearer'"
            )
        self._text = text

    @property
    def bearer(self) -> str:
        """The value of the Authorization header."""
        return f"Bearer {self._text}"

    def hidden_in(self, text: str) -> str:
        """Return `text` with the key masked, in case a service has repeated it."""
        return mask(text, self._text)

    def guarded(self, value: Any) -> Any:
        """Return an equal copy of a decoded JSON value in which no repr of a text shows the key."""
        if isinstance(value, str):
            shown = self.hidden_in(value)
            return value if shown == value else EchoedText(value, shown)
        if isinstance(value, dict):
            members: dict[Any, Any] = {}
            for name, member in value.items():  # no comprehension: it would halve how deep a value may be nested
                members[self.guarded(name)] = self.guarded(member)
            return members
        if isinstance(value, list):
            items: list[Any] = []
            for item in value:
                items.append(self.guarded(item))  # noqa: PERF401 - likewise
            return items
        return value

    def __repr__(self) -> str:
        return f"Key({MASK})"


def mask(text: str, *keys: str) -> str:
    """Return `text` with each of these keys masked, in every spelling.

    A key is found as it is, and as JSON, Python and URLs may write it: with backslashes before some of its characters,
    as \\u and four digits, or as % and two. Keys shorter than MIN_KEY_LENGTH are not looked for.
    """
    for key in sorted(keys, key=len, reverse=True):
        if len(key) < MIN_KEY_LENGTH:
            continue
        text = text.replace(key, MASK) if _is_plain(text) else _spellings(key).sub(MASK, text)
    return text


def mask_bytes(data: bytes, *keys: str) -> bytes:
    """Return a body with each of these keys masked, as `mask` does; bytes that are not UTF-8 stay as they are."""
    if not any(holds_key(data, key) for key in keys):
        return data
    return mask(data.decode("utf-8", "surrogateescape"), *keys).encode("utf-8", "surrogateescape")


def holds_key(data: str | bytes, key: str) -> bool:
    """Return whether a key that `mask` would look for is in a text or a body, in any spelling."""
    if not data or len(key) < MIN_KEY_LENGTH:
        return False
    if isinstance(data, str):
        return key in data if _is_plain(data) else _spellings(key).search(data) is not None
    if b"\\" not in data and b"%" not in data:
        return key.encode("utf-8", "replace") in data
    return _spellings(key).search(data.decode("utf-8", "surrogateescape")) is not None


def redacted(text: str, key: str) -> str:
    """Return `text` with the API key masked, and the wrong keys that the checks derive from it as well."""
    return mask(text, *variants(key))


def variants(key: str) -> tuple[str, str, str]:
    """Return the key, and the wrong keys that the checks derive from it: they would give it away as well."""
    return key, key[1:], key.swapcase()


def _is_plain(text: str) -> bool:
    """Return whether a key can only stand in this text as it is: every other spelling has one of these characters."""
    return "\\" not in text and "%" not in text


@functools.lru_cache(maxsize=32)
def _spellings(key: str) -> re.Pattern[str]:
    """Match a key in each spelling. Backslashes double with each layer of quoting; three layers are looked through."""
    parts = re.findall(r"\\+|.", key, re.DOTALL)
    return re.compile("".join(_backslashes(len(part)) if part[0] == "\\" else _character(part) for part in parts))


def _backslashes(number: int) -> str:
    """Match a run of backslashes as one, since to share them out among many patterns would take exponential time."""
    doubled = "|".join(rf"\\{{{number * times}}}" for times in (8, 4, 2, 1))
    return rf"(?:(?:\\{{1,8}}u005[cC]){{{number}}}|(?:%(?:25)?5[cC]){{{number}}}|{doubled})"


def _character(character: str) -> str:
    """Match one character in each spelling. Each alternative begins with a literal, which makes a search five times as fast."""
    plain = re.escape(character)
    units = character.encode("utf-16-be", "replace").hex()
    first, *others = (f"u(?i:{units[start : start + 4]})" for start in range(0, len(units), 4))
    escaped = first + "".join(rf"\\{{1,8}}{unit}" for unit in others)
    percent = "".join(f"%(?:25)?(?i:{byte:02x})" for byte in character.encode("utf-8", "replace"))
    return rf"(?:\\\\{{0,7}}(?:{escaped}|{plain})|{percent}|{plain})"
