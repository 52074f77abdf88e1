"""Mutations: every single violation that a schema can express, each in an otherwise minimal payload."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from kling_contract.contract import Contract, chosen
from kling_contract.display import type_of
from kling_contract.jsontext.pointer import to_pointer
from kling_contract.schema_values.formats import INVALID_EXAMPLES
from kling_contract.schema_values.rules import (
    TYPES,
    ResolvedSchema,
    enum_values,
    is_valid,
    minimal_value,
    next_after,
    resolve,
    types,
)

__all__ = ["Mutation", "mutations", "mutations_of"]

_Path = tuple[str | int, ...]
_Violations = Iterator[tuple[_Path, str, str, Any]]
"""The path to the violation, the rule, the variant of breaking it, and the whole value that has it."""

_FAR = 10**9


@dataclass(frozen=True, slots=True)
class Mutation:
    """A payload with exactly one violation: its rule, and the JSON pointer to it, or to where a missing member should be.

    `id` is stable; pytest shows it as the name of a parameter.
    """

    id: str
    pointer: str
    rule: str
    payload: Any
    _path: _Path = field(repr=False)

    @property
    def __name__(self) -> str:
        """The name that pytest shows for a parameter."""
        return self.id

    def onto(self, payload: Any) -> Mutation:
        """Return the same violation in another valid payload, which is not changed."""
        return replace(self, payload=_replace_at(payload, copy.deepcopy(self.payload), self._path))


def mutations(
    *, contract: Contract | None = None, revision: str | None = None, model: str | None = None
) -> tuple[Mutation, ...]:
    """Return every single violation of the payload of a create of `model` (None: the contract's), in the order of the schema.

    Strict validation of each finds one error, with its pointer and its rule. Raise UnknownRevision, UnknownModel, and
    DocumentError for a schema with a keyword that is not supported.
    """
    return mutations_of(chosen(contract, revision, model).request_schema)


def mutations_of(schema: Any) -> tuple[Mutation, ...]:
    """Return every single violation of any JSON Schema, as `mutations` does for the payload of a create."""
    return tuple(
        Mutation(f"{to_pointer(path)}:{rule}:{variant}", to_pointer(path), rule, payload, path)
        for path, rule, variant, payload in _violations(resolve(schema), None)
    )


def _violations(rules: ResolvedSchema, name: str | None) -> _Violations:
    """Yield every violation in a value, its members and its items; `name` is its name in its object, None at the top."""
    if "anyOf" in rules:
        yield from _outside_alternatives(rules)
        return
    yield from _wrong_types(rules, name)
    for rule, variant, value in (
        *_wrong_values(rules),
        *_beyond_bounds(rules),
        *_wrong_texts(rules),
        *_wrong_counts(rules),
    ):
        rest = {keyword: limit for keyword, limit in rules.items() if keyword != rule}
        if is_valid(rest, value) and not is_valid(rules, value):
            yield (), rule, variant, value
    yield from _in_items(rules)
    yield from _in_members(rules)


def _wrong_types(rules: ResolvedSchema, name: str | None) -> _Violations:
    rule = next((keyword for keyword in ("type", "enum", "const") if keyword in rules), "")
    allowed = types(rules) if rule == "type" else {type_of(option) for option in enum_values(rules) or ()}
    for type_ in TYPES if rule else ():
        if type_ not in allowed and not (type_ == "integer" and "number" in allowed):
            yield (), rule, type_, _as_type(type_, rules, name)


def _as_type(type_: str, rules: ResolvedSchema, name: str | None) -> Any:
    """Return a valid value written as another type by a common mistake: a number as text, an item without its array."""
    valid = minimal_value(rules)
    match type_:
        case "null":
            return None
        case "boolean":
            return True
        case "integer":
            return 1
        case "number":
            return valid + 0.5 if type_of(valid) == "integer" else 1.5
        case "string":
            # At the top a text may be decoded as the payload itself, and must not be valid then either.
            return json.dumps(valid) if name else json.dumps(json.dumps(valid))
        case "array":
            return [valid]
        case _:
            item = minimal_value(rules.get("items", {})) if type_of(valid) == "array" else None
            return item if isinstance(item, dict) else {name or "value": valid}


def _wrong_values(rules: ResolvedSchema) -> Iterator[tuple[str, str, Any]]:
    listed = enum_values(rules) or []
    for rule in ("enum", "const"):
        if rule not in rules:
            continue
        texts = [option for option in listed if isinstance(option, str)]
        for text in texts[:1]:
            yield rule, "empty", ""
            yield rule, "cut", text[:-1]
            yield rule, "padded", f"{text} "
            yield rule, "other-case", text.swapcase()
        numbers = [option for option in listed if type_of(option) in ("integer", "number")]
        if numbers:
            steps = [next_after(number, type_of(number), way) for number in numbers for way in (-math.inf, math.inf)]
            middle = (min(numbers) + max(numbers)) // 2
            for number in dict.fromkeys([*steps, middle, 0, -numbers[0], max(numbers) + _FAR]):
                yield rule, str(number), number
        for flag in [not option for option in listed if isinstance(option, bool)]:
            yield rule, json.dumps(flag), flag


def _beyond_bounds(rules: ResolvedSchema) -> Iterator[tuple[str, str, Any]]:
    type_ = "number" if "number" in types(rules) else "integer"
    for rule, side, way in (("minimum", "below", -math.inf), ("maximum", "above", math.inf)):
        if rule in rules:
            yield rule, side, next_after(rules[rule], type_, way)
            yield rule, f"far-{side}", math.floor(rules[rule]) + int(math.copysign(_FAR, way))
    for rule, side, way in (("exclusiveMinimum", "below", -1), ("exclusiveMaximum", "above", 1)):
        if rule in rules:
            limit = rules[rule]
            yield rule, "at", limit if type_ == "number" else math.floor(limit) if way < 0 else math.ceil(limit)
            yield rule, f"far-{side}", math.floor(limit) + way * _FAR


def _wrong_texts(rules: ResolvedSchema) -> Iterator[tuple[str, str, Any]]:
    for variant, text in INVALID_EXAMPLES.get(rules.get("format", ""), {}).items():
        yield "format", variant, text
    if least := rules.get("minLength"):
        yield "minLength", "short", "a" * (least - 1)
        yield from [("minLength", "empty", "")] if least > 1 else []
    if (most := rules.get("maxLength")) is not None:
        text = minimal_value(rules, "string")
        yield "maxLength", "long", text.ljust(most + 1, "a")
        yield "maxLength", "far-too-long", text.ljust(most * 10 + 10, "a")


def _wrong_counts(rules: ResolvedSchema) -> Iterator[tuple[str, str, Any]]:
    counts: list[tuple[str, str, int]] = []
    if least := rules.get("minItems"):
        counts += [("minItems", "short", least - 1), *([("minItems", "empty", 0)] if least > 1 else [])]
    if (most := rules.get("maxItems")) is not None:
        counts += [("maxItems", "long", most + 1), ("maxItems", "far-too-long", most * 10 + 10)]
    for rule, variant, count in counts:
        yield rule, variant, [minimal_value(rules.get("items", {})) for _ in range(count)]


def _in_items(rules: ResolvedSchema) -> _Violations:
    if "items" in rules and "array" in types(rules) and rules.get("maxItems") != 0:
        others = minimal_value(rules, "array")[1:]
        for path, rule, variant, item in _violations(rules["items"], "item"):
            yield (0, *path), rule, variant, [item, *copy.deepcopy(others)]


def _in_members(rules: ResolvedSchema) -> _Violations:
    if "object" not in types(rules):
        return
    members, required = rules.get("properties", {}), rules.get("required", ())
    for name in dict.fromkeys([*members, *required]):
        if name in required:
            valid = minimal_value(rules, "object")
            del valid[name]
            yield (name,), "required", "missing", valid
        for path, rule, variant, member in _violations(members.get(name, {}), name):
            yield (name, *path), rule, variant, {**minimal_value(rules, "object"), name: member}


def _outside_alternatives(rules: ResolvedSchema) -> _Violations:
    seen = set()
    for i, alternative in enumerate(rules["anyOf"]):
        for path, rule, variant, value in _violations(alternative, None):
            text = json.dumps(value, sort_keys=True)
            if text not in seen and not is_valid(rules, value):
                seen.add(text)
                yield (), "anyOf", f"{i}{to_pointer(path)}:{rule}:{variant}", value


def _replace_at(base: Any, broken: Any, path: _Path) -> Any:
    """Return `base` with the value of `broken` at the path; what `base` lacks of the path is taken from `broken` too."""
    if not path or type(base) is not type(broken):
        return broken
    part, *rest = path
    if isinstance(part, int):
        return [*base[:part], _replace_at(base[part], broken[part], tuple(rest)), *base[part + 1 :]] if base else broken
    if part not in broken:
        return {name: value for name, value in base.items() if name != part}
    return {**base, part: _replace_at(base[part], broken[part], tuple(rest)) if part in base else broken[part]}
