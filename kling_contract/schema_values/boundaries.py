"""Values at the limits of a schema, and just beyond: the few that can show that two schemas differ."""

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
    """A place within a value: its pointer ("*" is any item), and `embed`, which builds a whole value around one put there."""

    pointer: str
    embed: Callable[[Any], Any]

    def member(self, name: str, written: str, others: Schema) -> Place:
        """Return the place of the member `name`; a value built around it calls it `written`, and has the members `others` too."""
        return Place(self.pointer + to_pointer([name]), lambda value: self.embed({**others, written: value}))

    def item(self, array: Schema) -> Place:
        """Return the place of any item of an array with the given schema."""
        others = [minimal_or_none(array.get("items", {}))] * (array.get("minItems", 1) - 1)
        return Place(f"{self.pointer}/*", lambda value: self.embed([value, *others]))


def minimal_or_none(schema: Schema, type_: str | None = None) -> Any:
    """Return a small value that a schema allows, of the given type if there is one; None where no value is known."""
    try:
        return minimal_value(schema, type_)
    except (IndexError, StopIteration):
        return None


def base_object(producer: Schema, consumer: Schema) -> dict[str, Any]:
    """Return a small object that `producer` allows, and `consumer` as far as possible.

    It has the members that either requires, if `producer` declares them, with values that both allow if there are any.
    """
    value = minimal_or_none(producer, None if "anyOf" in producer else "object")
    if not isinstance(value, dict):
        return {}
    members, others = producer.get("properties", {}), consumer.get("properties", {})
    for name in members:
        if name in value or name in consumer.get("required", ()):
            both = minimal_or_none(others.get(name, {}))
            value[name] = both if is_valid(members[name], both) else minimal_or_none(members[name])
    return value


def candidates(producer: Schema, consumer: Schema) -> Iterator[Any]:
    """Yield values around every limit of both schemas: a rule in which they differ, other than `pattern`, shows on one of them."""
    schemas = (producer, consumer)
    if "enum" in producer:
        yield from producer["enum"]
        return
    yield from (schema["default"] for schema in schemas if "default" in schema)
    yield from (minimal_or_none(producer, type_) for type_ in types(producer))
    yield from _numbers(producer, consumer)
    yield from ("text", "", *EXAMPLES.values())
    yield from ("a" * size for size in _sizes(schemas, "minLength", "maxLength"))
    yield from _arrays(producer, consumer)
    yield from _objects(producer, consumer)
    yield from (None, True, False)


def _numbers(producer: Schema, consumer: Schema) -> Iterator[float]:
    limits = {schema[rule] for schema in (producer, consumer) for rule in LIMITS["number"] if rule in schema} | {0}
    step = producer.get("multipleOf", 1)
    for limit in sorted(limits):
        yield from (limit, limit - 1, limit + 1, limit - 0.5, limit + 0.5)
        yield from (next_after(limit, type_, end) for type_ in ("integer", "number") for end in (math.inf, -math.inf))
        yield from (math.floor(limit / step) * step + step * steps for steps in (-1, 0, 1))


def _sizes(schemas: tuple[Schema, ...], *rules: str) -> list[int]:
    limits = {schema[rule] for schema in schemas for rule in rules if rule in schema}
    return sorted({size for limit in limits for size in (limit - 1, limit, limit + 1) if 0 <= size <= _LONGEST})


def _arrays(producer: Schema, consumer: Schema) -> Iterator[list[Any]]:
    items = producer.get("items", {})
    for size in [*_sizes((producer, consumer), "minItems", "maxItems"), 0, 1, 2]:
        yield [minimal_or_none(items)] * size
        if producer.get("uniqueItems"):
            yield list(items.get("enum", range(size)))[:size]
            yield ["a" * (position + 1) for position in range(size)]


def _objects(producer: Schema, consumer: Schema) -> Iterator[dict[str, Any]]:
    full = {name: minimal_or_none(member) for name, member in producer.get("properties", {}).items()}
    minimal = base_object(producer, consumer)
    yield from (minimal, full)
    others: tuple[Any, ...] = (None, "text", 0, {}, [])
    yield from ({**minimal, _UNDECLARED: value} for value in others)
    for size in _sizes((producer, consumer), "minProperties", "maxProperties"):
        names = [*full, *(f"{_UNDECLARED}{position}" for position in range(size))]
        yield {name: full.get(name) for name in names[:size]}
