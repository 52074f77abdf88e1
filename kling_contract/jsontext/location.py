"""The line and column of values in a JSON text. Takes linear time, and skips what was not asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import count
from typing import Any

from kling_contract.jsontext.pointer import split

__all__ = ["SPACES", "STRING", "line_and_column", "locate"]

# The first alternative matches strings that do not end in a backslash and a quote, ten times as fast if they are long.
STRING = r'(?:"[^"]*+"(?<!\\")|"[^"\\]*+(?:\\.[^"\\]*+)*+")'
SPACES = r"[ \t\n\r]*+"

_SPACES = re.compile(SPACES)
_MEMBER = re.compile(rf"[ \t\n\r,]*+({STRING}){SPACES}:{SPACES}", re.DOTALL)
_ELEMENT = re.compile(r"[ \t\n\r,]*+(?=[^\]])")
_SCALAR = re.compile(rf"{STRING}|[^ \t\n\r,\]}}]++", re.DOTALL)
_TO_BRACKET = re.compile(rf'[^"\[\]{{}}]*+(?:{STRING}[^"\[\]{{}}]*+)*+', re.DOTALL)


def locate(data: bytes | str, pointers: Collection[str], *, names: Collection[str] = ()) -> dict[str, tuple[int, int]]:
    """Return line and column, from 1 and in characters, where the value at each JSON pointer begins.

    A pointer that is also in `names` gets the place of the member's name instead. If nothing is at a pointer, it gets the place
    of the innermost value around it. `data` is JSON text; bytes are UTF-8. Raise ValueError for what is not a pointer.
    """
    text = data if isinstance(data, str) else data.decode()
    paths = {pointer: tuple(split(pointer)) for pointer in pointers}
    found = {path: (value, name) for path, value, name in _visit(text, paths.values())}
    offsets = {}
    for pointer, path in paths.items():
        around = path
        while around not in found:
            around = around[:-1]
        offsets[pointer] = found[around][pointer in names and around == path]
    places = _places(text, offsets.values())
    return {pointer: places[offset] for pointer, offset in offsets.items()}


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Return the line and column of the character at `offset`. Both count from 1; lines end with a line feed."""
    return _places(text, [offset])[offset]


def _places(text: str, offsets: Iterable[int]) -> dict[int, tuple[int, int]]:
    places = {}
    line, begin, last = 1, 0, 0
    for offset in sorted(set(offsets)):
        line += text.count("\n", last, offset)
        begin = text.rfind("\n", last, offset) + 1 or begin
        places[offset] = line, offset - begin + 1
        last = offset
    return places


def _visit(text: str, paths: Iterable[tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Yield the path of each value on one of the paths, the offset at which it begins, and the offset of its name."""
    wanted: dict[str, Any] = {}
    missing = 0
    for path in paths:
        node = wanted
        for part in path:
            missing += part not in node
            node = node.setdefault(part, {})
    at = _end(_SPACES, text, 0)
    root: tuple[str, ...] = ()
    yield root, at, at
    inside = [(root, wanted, _indexes(text, at))] if text[at : at + 1] in ("{", "[") else []
    at += 1
    while inside and missing:
        path, node, indexes = inside[-1]
        step = (_ELEMENT if indexes else _MEMBER).match(text, at) if node else None
        if step is None:
            at = _leap(text, at, 1)
            inside.pop()
            continue
        part = str(next(indexes)) if indexes else json.loads(step[1])
        at = step.end()
        deeper = node.pop(part, None)
        if deeper is not None:
            missing -= 1
            yield (*path, part), at, at if indexes else step.start(1)
        if deeper and text[at : at + 1] in ("{", "["):
            inside.append(((*path, part), deeper, _indexes(text, at)))
            at += 1
        else:
            at = _leap(text, at, 0)


def _indexes(text: str, at: int) -> Iterator[int] | None:
    return count() if text[at] == "[" else None


def _leap(text: str, at: int, depth: int) -> int:
    """Return where the value at `at` ends or, if `depth` is 1, where the array or object around `at` ends."""
    if not depth and text[at : at + 1] not in ("{", "["):
        return _end(_SCALAR, text, at)
    while True:
        at = _end(_TO_BRACKET, text, at) + 1
        depth += 1 if text[at - 1 : at] in ("{", "[") else -1
        if depth <= 0:
            return at


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else len(text)
