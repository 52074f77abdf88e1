"""JSON pointers (RFC 6901): written, taken apart, and followed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["resolve", "split", "to_pointer"]


def to_pointer(parts: Iterable[str | int]) -> str:
    """Return the JSON pointer for member names and array indexes, from the outside in; "" for none."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def split(pointer: str) -> list[str]:
    """Return the member names and array indexes of a JSON pointer, as text. Raise ValueError for what is not a pointer."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON pointer: it must be empty or begin with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def resolve(document: Any, pointer: str) -> Any:
    """Return the value at a JSON pointer. Raise KeyError if there is none, and ValueError for what is not a pointer."""
    value = document
    for part in split(pointer):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif _is_index(part) and _is_array(value) and int(part) < len(value):
            value = value[int(part)]
        else:
            raise KeyError(pointer)
    return value


def _is_array(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdecimal() and len(part) < 10 and str(int(part)) == part
