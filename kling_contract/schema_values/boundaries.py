"""Which values might tell two schemas apart? Draws the few at, and just beyond, the limits of either, and builds around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kling_contract.jsontext.pointer import to_pointer
from kling_contract.schema_values.formats import EXAMPLES
from kling_contract.schema_values.rules import is_valid, minimal_value, next_after, types

__all__ = ["LIMITS", "Place", "base_object", "candidates", "minimal_or_none"]

LIMITS = {
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("format", "pattern", "minLength", "maxLength"),
    "array": ("minItems", "maxItems", "uniqueItems"),
    "object": ("additionalProperties", "minProperties", "maxProperties"),
}
"""The rules that limit values of one type."""

_LONGEST = 10_000
_UNDECLARED = "undeclared"

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a comparison is: how to say it, and how to build a whole value around one that is put there."""

    pointer: str
    whole: Callable[[Any], Any]

    def member(self, name: str, spelt: str, others: Schema) -> Place:
        """Return the place of a member, called `spelt` where it is built, beside `others`."""
        return Place(self.pointer + to_pointer([name]), lambda value: self.whole({**others, spelt: value}))

    def item(self, array: Schema) -> Place:
        """Return the place of any item of an array with the given schema."""
        others = [minimal_or_none(array.get("items", {}))] * (array.get("minItems", 1) - 1)
        return Place(f"{self.pointer}/*", lambda value: self.whole([value, *others]))


def minimal_or_none(schema: Schema, kind: str | None = None) -> Any:
    """Return a small value that a schema allows, of the type `kind` if given; None where none comes to mind."""
    try:
        return minimal_value(schema, kind)
    except (IndexError, StopIteration):
        return None


def base_object(giver: Schema, taker: Schema) -> dict[str, Any]:
    """Return a small object that `giver` allows, and that `taker` minds as little as can be.

    It has the members that either requires, as far as `giver` declares them, with values that both allow if there are any.
    """
    value = minimal_or_none(giver, None if "anyOf" in giver else "object")
    if not isinstance(value, dict):
        return {}
    members, others = giver.get("properties", {}), taker.get("properties", {})
    for name in members:
        if name in value or name in taker.get("required", ()):
            both = minimal_or_none(others.get(name, {}))
            value[name] = both if is_valid(members[name], both) else minimal_or_none(members[name])
    return value


def candidates(giver: Schema, taker: Schema) -> Iterator[Any]:
    """Yield values around every limit of both: if one rule tells them apart, it does so on one of these, patterns excepted."""
    if "enum" in giver:
        yield from giver["enum"]
        return
    yield from (each["default"] for each in (giver, taker) if "default" in each)
    yield from (minimal_or_none(giver, kind) for kind in types(giver))
    yield from _numbers(giver, taker)
    yield from ("text", "", *EXAMPLES.values())
    yield from ("a" * size for size in _sizes(giver, taker, "minLength", "maxLength"))
    yield from _arrays(giver, taker)
    yield from _objects(giver, taker)
    yield from (None, True, False)


def _numbers(giver: Schema, taker: Schema) -> Iterator[float]:
    limits = {each[rule] for each in (giver, taker) for rule in LIMITS["number"] if rule in each} | {0}
    step = giver.get("multipleOf", 1)
    for limit in sorted(limits):
        yield from (limit, limit - 1, limit + 1, limit - 0.5, limit + 0.5)
        yield from (next_after(limit, kind, end) for kind in ("integer", "number") for end in (math.inf, -math.inf))
        yield from (math.floor(limit / step) * step + step * steps for steps in (-1, 0, 1))


def _sizes(giver: Schema, taker: Schema, *rules: str) -> list[int]:
    limits = {each[rule] for each in (giver, taker) for rule in rules if rule in each}
    return sorted({size for limit in limits for size in (limit - 1, limit, limit + 1) if 0 <= size <= _LONGEST})


def _arrays(giver: Schema, taker: Schema) -> Iterator[list[Any]]:
    items = giver.get("items", {})
    for size in [*_sizes(giver, taker, "minItems", "maxItems"), 0, 1, 2]:
        yield [minimal_or_none(items)] * size
        if giver.get("uniqueItems"):
            yield list(items.get("enum", range(size)))[:size]
            yield ["a" * (place + 1) for place in range(size)]


def _objects(giver: Schema, taker: Schema) -> Iterator[dict[str, Any]]:
    whole = {name: minimal_or_none(member) for name, member in giver.get("properties", {}).items()}
    least = base_object(giver, taker)
    yield from (least, whole)
    others: tuple[Any, ...] = (None, "text", 0, {}, [])
    yield from ({**least, _UNDECLARED: value} for value in others)
    for size in _sizes(giver, taker, "minProperties", "maxProperties"):
        names = [*whole, *(f"{_UNDECLARED}{place}" for place in range(size))]
        yield {name: whole.get(name) for name in names[:size]}
