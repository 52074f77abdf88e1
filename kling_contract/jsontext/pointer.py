"""JSON pointers (RFC 6901)."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["pointer"]


def pointer(parts: Iterable[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) for names and indexes, from the outside in; "" for none."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _split(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON pointer: it is empty, or begins with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
