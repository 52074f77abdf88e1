"""How is the API key kept from showing anywhere but in the header that it is for?"""

from __future__ import annotations

import json

__all__ = ["Key"]


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
        """Return `text` without the key, should a service have echoed it."""
        if len(self._text) < self._LEAST_HIDDEN:
            return text
        return text.replace(self._text, "[key]").replace(json.dumps(self._text)[1:-1], "[key]")

    def __repr__(self) -> str:
        return "Key([key])"
