"""Resolved schemas: the rules of a JSON Schema without references and annotations, and what they say about values."""

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
"""The types of JSON Schema. A value is called "number" here only if it is not an integer."""

ResolvedSchema = dict[str, Any]
"""A schema as `resolve` returns it."""

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
    """Return a schema with nothing but rules: references are followed, `true` is `{}`, annotations other than `keep` left out.

    Raise DocumentError, with the place, for a keyword that is not supported: without its rule, wrong values would be made.
    """
    return _Reader(schema, frozenset(keep)).read(schema, "#", ())


def types(rules: ResolvedSchema) -> tuple[str, ...]:
    """Return the types that a resolved schema allows: those it names, else those of the values it lists, else all."""
    if "type" not in rules and (listed := enum_values(rules)) is not None:
        return tuple(name for name in TYPES if any(is_valid({"type": name}, value) for value in listed))
    declared = rules.get("type", TYPES)
    return (declared,) if isinstance(declared, str) else tuple(declared)


def is_valid(rules: ResolvedSchema, value: Any) -> bool:
    """Return whether a value is valid under a resolved schema."""
    return jsonschema_rs.Draft202012Validator(rules, validate_formats=True).is_valid(value)


def enum_values(rules: ResolvedSchema) -> list[Any] | None:
    """Return the values that an enum or a const allows, if the other rules do; None if there is neither."""
    listed = [rules["const"]] if "const" in rules else rules.get("enum")
    return None if listed is None else [value for value in listed if is_valid(rules, value)]


def bounds(rules: ResolvedSchema, type_: str) -> tuple[Any, Any]:
    """Return the smallest and the largest "integer" or "number" that a resolved schema allows; None for no bound."""
    lows, highs = [], []
    if "minimum" in rules:
        lows.append(math.ceil(rules["minimum"]) if type_ == "integer" else rules["minimum"])
    if "exclusiveMinimum" in rules:
        lows.append(next_after(rules["exclusiveMinimum"], type_, math.inf))
    if "maximum" in rules:
        highs.append(math.floor(rules["maximum"]) if type_ == "integer" else rules["maximum"])
    if "exclusiveMaximum" in rules:
        highs.append(next_after(rules["exclusiveMaximum"], type_, -math.inf))
    return max(lows, default=None), min(highs, default=None)


def next_after(limit: float, type_: str, towards: float) -> float:
    """Return the next "integer" or "number" after a limit, in the direction of an infinity, `towards`."""
    if type_ == "number":
        return math.nextafter(limit, towards)
    return math.floor(limit) + 1 if towards > 0 else math.ceil(limit) - 1


def minimal_value(rules: ResolvedSchema, type_: str | None = None) -> Any:
    """Return a resolved schema's smallest value, of the given type (None: the first it allows), with required members only.

    Text has at least one character, because a service may refuse an empty one.
    """
    if "anyOf" in rules:
        return minimal_value(rules["anyOf"][0])
    if (listed := enum_values(rules)) is not None:
        return listed[0]
    match type_ or types(rules)[0]:
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
            raise DocumentError(f"{place}: a schema must be an object or true, got {node!r}")
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
                    raise DocumentError(f"{place}: {clash[0]} is both here and in {value}: remove one of them")
                rules = {**referred, **rules}
            elif keyword not in _RULES:
                raise DocumentError(
                    f"{here}: this keyword is not supported; those that are: {', '.join(sorted(_RULES))}"
                )
            elif keyword == "properties":
                rules[keyword] = {
                    name: self.read(member, here + pointer.to_pointer([name]), trail) for name, member in value.items()
                }
            elif keyword == "items":
                rules[keyword] = self.read(value, here, trail)
            elif keyword == "anyOf":
                rules[keyword] = [self.read(alternative, f"{here}/{i}", trail) for i, alternative in enumerate(value)]
            elif keyword == "format" and value not in EXAMPLES:
                raise DocumentError(
                    f"{here}: the format {value!r} is not supported; those that are: {', '.join(EXAMPLES)}"
                )
            else:
                rules[keyword] = value
        self._check(rules, place)
        return rules

    def _check(self, rules: ResolvedSchema, place: str) -> None:
        if enum_values(rules) == []:
            raise DocumentError(f"{place}: no listed value is valid under the other rules, so no value is")
        if "anyOf" in rules and len(_RULES.intersection(rules)) > 1:
            raise DocumentError(f"{place}: anyOf must not have other rules beside it: move them into each alternative")

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
