"""How do the shapes in `observed.json` become text? Placeholders in braces are replaced; everything else stays as it is."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["JsonTemplate", "fill"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_IN_JSON = re.compile(r'"\{(\w+)\}"|\{(\w+)\}')  # in JSON text a structural brace is never followed by a word
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Return a text with each {placeholder} replaced by the text of its value."""
    pieces = list(_pieces(template))
    pieces[1::2] = [str(values[name]) for name in pieces[1::2]]
    return "".join(pieces)


@functools.lru_cache(maxsize=256)
def _pieces(template: str) -> list[str]:
    """Return the text before the first placeholder, its name, the text after it, the next name, and so on."""
    return _PLACEHOLDER.split(template)


class JsonTemplate:
    """A JSON value with placeholders, ready to be written often.

    A text that is one placeholder and nothing else becomes the value itself, of whatever type; inside other text a
    placeholder becomes the text of its value.
    """

    def __init__(self, document: Any) -> None:
        parts = _IN_JSON.split(_ENCODER.encode(document))
        self._first = parts[0]
        self._rest = tuple(zip(parts[1::3], parts[2::3], parts[3::3], strict=True))
        self.names = frozenset(whole or inside for whole, inside, _ in self._rest)
        """The placeholders."""

    def render(self, values: Mapping[str, Any]) -> bytes:
        """Return the JSON text with its placeholders replaced, as UTF-8. Raise KeyError for one that has no value."""
        pieces = [self._first]
        for whole, inside, text in self._rest:
            pieces.append(_ENCODER.encode(values[whole]) if whole else _ENCODER.encode(str(values[inside]))[1:-1])
            pieces.append(text)
        return "".join(pieces).encode("utf-8", "replace")
