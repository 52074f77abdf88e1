"""The API key, kept from showing anywhere but in the header that it is for."""

from __future__ import annotations

import functools
import re
from typing import Any, Self

__all__ = ["KEY_VARIABLE", "EchoedText", "Key", "redacted"]

KEY_VARIABLE = "AIMLAPI_KEY"
"""Environment variable that holds the API key."""


class EchoedText(str):
    """A text in which a service repeated the key: the text as it came, but its repr does not show the key."""

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

    # A shorter key is a made-up one, and may well be a word of an honest message.
    _LEAST_HIDDEN = 8

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
        """Return `text` with "[key]" for the key, should a service have repeated it.

        It is found as it is, and as JSON, Python and URLs may write it: with backslashes before some of its
        characters, as \\u and four digits, or as % and two.
        """
        if len(self._text) < self._LEAST_HIDDEN:
            return text
        if "\\" not in text and "%" not in text:
            return text.replace(self._text, "[key]")
        return _spellings(self._text).sub("[key]", text)

    def guarded(self, value: Any) -> Any:
        """Return an equal copy of a decoded JSON value, in which each text that holds the key does not show it in a repr."""
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
        return "Key([key])"


@functools.lru_cache(maxsize=32)
def _spellings(key: str) -> re.Pattern[str]:
    """Match the key in each spelling. Backslashes double with each layer of quoting; three layers are looked through."""
    return re.compile(
        "".join(
            rf"(?:\\{{0,8}}{re.escape(each)}|\\{{1,8}}u00(?i:{ord(each):02x})|%(?:25)?(?i:{ord(each):02x}))"
            for each in key
        )
    )


_LEAST_TOLD = 8


def redacted(text: str, key: str) -> str:
    """Return a text without the key, and without those keys that were made of it to be wrong."""
    for spelt in (key, key[1:], key.swapcase()):
        if len(spelt) >= _LEAST_TOLD:
            text = Key(spelt).hidden_in(text)
    return text
