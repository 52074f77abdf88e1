"""Model ids written shortly: those that differ in one word become one pattern with braces, as shells have them."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["shortened"]

_SEPARATORS = re.compile(r"([/-])")

_Pattern = tuple[tuple[str, ...], ...]  # the choices for each word and each separator


def shortened(models: Iterable[str]) -> list[str]:
    """Return patterns that stand for exactly these ids, such as a/{b,c}/d for a/b/d and a/c/d."""
    words = sorted({tuple(_SEPARATORS.split(model)) for model in models})
    patterns: list[_Pattern] = [tuple((word,) for word in each) for each in words]
    position = 0
    while position < len(patterns):
        for other in range(position + 1, len(patterns)):
            if merged := _merged(patterns[position], patterns[other]):
                patterns[position] = merged
                del patterns[other]
                position = 0  # what did not fit before may fit now
                break
        else:
            position += 1
    return ["".join(_written(choices) for choices in pattern) for pattern in patterns]


def _merged(one: _Pattern, other: _Pattern) -> _Pattern | None:
    """Return a pattern for what two patterns stand for; None if they differ in more than one word."""
    if len(one) != len(other):
        return None
    different = [position for position in range(len(one)) if one[position] != other[position]]
    if len(different) != 1 or _SEPARATORS.fullmatch(one[different[0]][0]):
        return None
    (position,) = different
    choices = tuple(sorted({*one[position], *other[position]}))
    return (*one[:position], choices, *one[position + 1 :])


def _written(choices: tuple[str, ...]) -> str:
    return choices[0] if len(choices) == 1 else "{" + ",".join(choices) + "}"
