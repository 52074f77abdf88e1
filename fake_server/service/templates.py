"""Templates: text and JSON from `observed.json`, in which placeholders in braces are replaced by values."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["JsonTemplate", "fill", "fill_members"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_IN_JSON = re.compile(r'"\{(\w+)\}"|\{(\w+)\}')  # in JSON text a structural brace is never followed by a word
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Return a text with each {placeholder} replaced by the text of its value."""
    pieces = list(_pieces(template))
    pieces[1::2] = [str(values[name]) for name in pieces[1::2]]
    return "".join(pieces)


def fill_members(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with its texts filled in. A text that is one placeholder and nothing else becomes the value itself."""
    return {name: _filled(member, values) if isinstance(member, str) else member for name, member in template.items()}


def _filled(template: str, values: Mapping[str, Any]) -> Any:
    pieces = _pieces(template)
    if len(pieces) == 1:
        return template
    if len(pieces) == 3 and not pieces[0] and not pieces[2]:
        return values[pieces[1]]
    return fill(template, values)


@functools.lru_cache(maxsize=256)
def _pieces(template: str) -> list[str]:
    """Return the text before the first placeholder, its name, the text after it, the next name, and so on."""
    return _PLACEHOLDER.split(template)


class JsonTemplate:
    """A JSON value with placeholders, prepared for being rendered often.

    A text that is one placeholder and nothing else becomes the value itself, of whatever type; inside other text a
    placeholder becomes the text of its value. `known` are values that are always the same.
    """

    def __init__(self, document: Any, known: Mapping[str, Any] = _NOTHING) -> None:
        first, *parts = _IN_JSON.split(_ENCODER.encode(document))
        texts = [first]
        placeholders = []
        for whole, inside, text in zip(parts[0::3], parts[1::3], parts[2::3], strict=True):
            if (whole or inside) in known:
                texts[-1] += _written(whole, inside, known) + text
            else:
                placeholders.append((whole, inside))
                texts.append(text)
        self._first = texts[0]
        self._rest = tuple((whole, inside, text) for (whole, inside), text in zip(placeholders, texts[1:], strict=True))
        self.names = frozenset(whole or inside for whole, inside in placeholders)
        """The placeholders without a known value."""

    def render(self, values: Mapping[str, Any]) -> bytes:
        """Return the JSON text with its placeholders replaced, as UTF-8. Raise KeyError for one that has no value."""
        pieces = [self._first]
        for whole, inside, text in self._rest:
            pieces.append(_ENCODER.encode(values[whole]) if whole else _ENCODER.encode(str(values[inside]))[1:-1])
            pieces.append(text)
        return "".join(pieces).encode("utf-8", "replace")


def _written(whole: str | None, inside: str, values: Mapping[str, Any]) -> str:
    return _ENCODER.encode(values[whole]) if whole else _ENCODER.encode(str(values[inside]))[1:-1]
