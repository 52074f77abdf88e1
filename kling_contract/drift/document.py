"""The JSON of an OpenAPI document. Whatever in it has the wrong type is an error that says where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kling_contract.display import show
from kling_contract.errors import DocumentError
from kling_contract.jsontext import pointer

__all__ = ["JsonDocument"]

JsonType = Literal["a boolean", "a number", "a string", "an array", "an object"]

_TYPES: dict[JsonType, type | tuple[type, ...]] = {
    "a boolean": bool,
    "a number": (int, float),
    "a string": str,
    "an array": list,
    "an object": Mapping,
}


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """A parsed JSON file: its name, for messages, and its value. A `place` in it is written as references are: #/paths/…"""

    name: str
    root: Any

    def expect(self, value: Any, place: str, *allowed: JsonType) -> Any:
        """Return a value of one of the allowed types. Raise DocumentError, with the place, for any other."""
        for name in allowed:
            if isinstance(value, _TYPES[name]) and (name == "a boolean" or not isinstance(value, bool)):
                return value
        raise self.error(f"{place} must be {' or '.join(allowed)}, got {show(value)}")

    def resolve(self, node: Any, place: str) -> tuple[Mapping[str, Any], str]:
        """Return an object, and its place, following the references that may stand for it."""
        seen: set[str] = set()
        while isinstance(ref := self.expect(node, place, "an object").get("$ref"), str):
            if ref in seen:
                raise self.error(f"{place}: {ref} refers to itself")
            seen.add(ref)
            node, place = self.at(ref), ref
        return node, place

    def at(self, ref: str) -> Any:
        """Return the value that a reference leads to. Raise DocumentError when it is not in this document."""
        try:
            if ref.startswith("#"):
                return pointer.resolve(self.root, ref[1:])
        except (KeyError, ValueError):
            pass
        raise self.error(f"{ref} is not in this document; bundle it into one file first")

    def error(self, problem: str) -> DocumentError:
        """Return the error that reports a problem of this document."""
        return DocumentError(f"{self.name}: {problem}")
