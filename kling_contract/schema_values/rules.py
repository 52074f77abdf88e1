"""What does a JSON Schema ask for? Reads a schema for those who draw from it, and refuses what it does not understand."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import jsonschema_rs

from kling_contract.errors import DocumentError
from kling_contract.jsontext import pointer
from kling_contract.schema_values.formats import EXAMPLES

__all__ = [
    "TYPES",
    "ResolvedSchema",
    "bounds",
    "enum_values",
    "is_valid",
    "minimal_value",
    "next_after",
    "resolve",
    "types",
]

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
"""The types of JSON Schema. Said of a value, "number" means one that is no integer."""

ResolvedSchema = dict[str, Any]
"""A schema as `plain` returns it."""

_RULES = {
    *("type", "enum", "const", "format", "minLength", "maxLength"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("properties", "required", "items", "minItems", "maxItems", "anyOf"),
}
_ANNOTATIONS = {
    *("$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples"),
    *("deprecated", "readOnly", "writeOnly"),
}


def resolve(schema: Any, *, keep: Collection[str] = ()) -> ResolvedSchema:
    """Return a schema with nothing but rules in it: references are followed, `true` is `{}`, annotations left out but `keep`.

    Raise DocumentError, with the place, for what cannot be drawn from: to skip a rule would be to draw wrongly.
    """
    return _Reader(schema, frozenset(keep)).read(schema, "#", ())


def types(rules: ResolvedSchema) -> tuple[str, ...]:
    """Return the types that a resolved schema allows: those it names, else those of the values it lists, else all."""
    if "type" not in rules and (listed := enum_values(rules)) is not None:
        return tuple(name for name in TYPES if any(is_valid({"type": name}, value) for value in listed))
    declared = rules.get("type", TYPES)
    return (declared,) if isinstance(declared, str) else tuple(declared)


def is_valid(rules: ResolvedSchema, value: Any) -> bool:
    """Does a value keep the rules of a plain schema?"""
    return jsonschema_rs.Draft202012Validator(rules, validate_formats=True).is_valid(value)


def enum_values(rules: ResolvedSchema) -> list[Any] | None:
    """Return the values that an enum or a const leaves to choose from; None where there is neither."""
    listed = [rules["const"]] if "const" in rules else rules.get("enum")
    return None if listed is None else [value for value in listed if is_valid(rules, value)]


def bounds(rules: ResolvedSchema, kind: str) -> tuple[Any, Any]:
    """Return the least and the greatest "integer" or "number" that a plain schema allows; None for no bound."""
    lows, highs = [], []
    if "minimum" in rules:
        lows.append(math.ceil(rules["minimum"]) if kind == "integer" else rules["minimum"])
    if "exclusiveMinimum" in rules:
        lows.append(next_after(rules["exclusiveMinimum"], kind, math.inf))
    if "maximum" in rules:
        highs.append(math.floor(rules["maximum"]) if kind == "integer" else rules["maximum"])
    if "exclusiveMaximum" in rules:
        highs.append(next_after(rules["exclusiveMaximum"], kind, -math.inf))
    return max(lows, default=None), min(highs, default=None)


def next_after(limit: float, kind: str, towards: float) -> float:
    """Return the next "integer" or "number" after a limit, in the direction of an infinity."""
    if kind == "number":
        return math.nextafter(limit, towards)
    return math.floor(limit) + 1 if towards > 0 else math.ceil(limit) - 1


def minimal_value(rules: ResolvedSchema, kind: str | None = None) -> Any:
    """Return a plain schema's smallest value, of the type `kind` (None: the first it allows), with required members only.

    Text is not quite the smallest: it has one character at least, since a service may mind an empty one.
    """
    if "anyOf" in rules:
        return minimal_value(rules["anyOf"][0])
    if (listed := enum_values(rules)) is not None:
        return listed[0]
    match kind or types(rules)[0]:
        case "object":
            members, required = rules.get("properties", {}), rules.get("required", ())
            declared = [name for name in members if name in required]
            return {
                name: minimal_value(members.get(name, {}))
                for name in [*declared, *(name for name in required if name not in members)]
            }
        case "array":
            return [minimal_value(rules.get("items", {})) for _ in range(rules.get("minItems", 0))]
        case "string":
            if "format" in rules:
                return EXAMPLES[rules["format"]]
            return "a" * min(max(1, rules.get("minLength", 0)), rules.get("maxLength", 1 << 30))
        case "integer" | "number" as number:
            low, high = bounds(rules, number)
            return low if low is not None and low > 0 else high if high is not None and high < 0 else 0
        case "boolean":
            return False
        case _:
            return None


class _Reader:
    def __init__(self, root: Any, keep: frozenset[str]) -> None:
        self._root = root
        self._keep = keep

    def read(self, node: Any, place: str, trail: tuple[str, ...]) -> ResolvedSchema:
        if node is True:
            return {}
        if not isinstance(node, Mapping):
            raise DocumentError(f"{place}: a schema is an object or true, and this is {node!r}")
        rules: ResolvedSchema = {}
        for keyword, value in node.items():
            here = f"{place}/{keyword}"
            if keyword in self._keep:
                rules[keyword] = value
            elif keyword in _ANNOTATIONS or keyword.startswith("x-"):
                continue
            elif keyword == "$ref":
                referred = self._follow(value, here, trail)
                if clash := sorted(set(referred) & set(node) & _RULES):
                    raise DocumentError(f"{place}: {clash[0]} stands both here and in {value}: keep one of them")
                rules = {**referred, **rules}
            elif keyword not in _RULES:
                raise DocumentError(
                    f"{here}: nothing can be drawn from this keyword, only from {', '.join(sorted(_RULES))}"
                )
            elif keyword == "properties":
                rules[keyword] = {
                    name: self.read(each, here + pointer.to_pointer([name]), trail) for name, each in value.items()
                }
            elif keyword == "items":
                rules[keyword] = self.read(value, here, trail)
            elif keyword == "anyOf":
                rules[keyword] = [self.read(each, f"{here}/{i}", trail) for i, each in enumerate(value)]
            elif keyword == "format" and value not in EXAMPLES:
                raise DocumentError(f"{here}: the format {value!r} cannot be drawn, only {', '.join(EXAMPLES)}")
            else:
                rules[keyword] = value
        self._check(rules, place)
        return rules

    def _check(self, rules: ResolvedSchema, place: str) -> None:
        if enum_values(rules) == []:
            raise DocumentError(f"{place}: no listed value keeps the other rules, so nothing can be drawn")
        if "anyOf" in rules and len(_RULES.intersection(rules)) > 1:
            raise DocumentError(f"{place}: anyOf has other rules beside it: move them into each alternative")

    def _follow(self, ref: str, place: str, trail: tuple[str, ...]) -> ResolvedSchema:
        if not ref.startswith("#"):
            raise DocumentError(f"{place}: {ref} is outside the document; only references within it are followed")
        if ref in trail:
            raise DocumentError(f"{place}: {ref} refers to itself; such a schema has no end")
        try:
            target = pointer.resolve(self._root, ref[1:])
        except (KeyError, ValueError) as missing:
            raise DocumentError(f"{place}: there is nothing at {ref}") from missing
        return self.read(target, ref, (*trail, ref))
