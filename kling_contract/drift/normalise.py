"""Schemas of OpenAPI 3.0 and 3.1 in one form that can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kling_contract.drift.document import JsonDocument, JsonType
from kling_contract.drift.models import is_for, models_named
from kling_contract.jsontext.pointer import to_pointer
from kling_contract.schema_values.boundaries import LIMITS
from kling_contract.schema_values.formats import EXAMPLES

__all__ = ["Schema", "normalise"]

Schema = dict[str, Any]

_LIMITS = {rule for rules in LIMITS.values() for rule in rules}
_RULES = (_LIMITS - {"format"}) | {"type", "enum", "properties", "required", "items", "default", "deprecated"}
_INCOMPARABLE = {"not", "if", "then", "else", "patternProperties", "propertyNames", "unevaluatedProperties"} | {
    *("dependentRequired", "dependentSchemas", "contains", "minContains", "maxContains", "prefixItems")
}
_NARROWER = {"minimum": max, "minLength": max, "minItems": max, "maximum": min, "maxLength": min, "maxItems": min}
_EXPECTED: dict[str, tuple[JsonType, ...]] = {
    "properties": ("an object",),
    **dict.fromkeys(("required", "enum", "allOf", "anyOf", "oneOf"), ("an array",)),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), ("a number", "a boolean")),
    **dict.fromkeys(_NARROWER, ("a number",)),
    "type": ("a string", "an array"),
    **dict.fromkeys(("format", "$ref"), ("a string",)),
}
"""The types of the keywords that are taken apart here. jsonschema-rs checks all others afterwards."""


def normalise(
    schema: Any, document: JsonDocument, place: str, *, model: str | None = None, trail: tuple[str, ...] = ()
) -> Schema:
    """Return a schema of an OpenAPI document as JSON Schema, without references and with nothing but what can be compared.

    It keeps rules, defaults and deprecations. References are followed; one that leads back to itself (`trail` has those
    followed so far) allows anything. `allOf` is merged; alternatives become one `anyOf` with nothing beside it; `nullable`
    and a boolean `exclusiveMinimum`, as 3.0 has them, become what 3.1 has. Rules whose effect cannot be determined
    are kept under names that begin with x-: a comparison can only say that they differ.

    `model` is a model that the schema names: only what is for it is kept, and its id is the only one (None: all is kept).

    Raise DocumentError, with the place, for a keyword of the wrong type.
    """
    if isinstance(schema, bool):
        return {} if schema else {"enum": []}
    document.expect(schema, place, "an object", "a boolean")
    for keyword in _EXPECTED.keys() & schema.keys():
        document.expect(schema[keyword], f"{place}/{keyword}", *_EXPECTED[keyword])

    def inner(part: Any, *path: str | int) -> Schema:
        return normalise(part, document, place + to_pointer(path), trail=trail)

    def same(part: Any, *path: str | int) -> Schema:
        return normalise(part, document, place + to_pointer(path), model=model, trail=trail)

    rules = _own_rules(schema, inner)
    ref = schema.get("$ref")
    if ref is not None and ref not in trail:
        rules = _both(normalise(document.at(ref), document, ref, model=model, trail=(*trail, ref)), rules)
    for position, part in enumerate(schema.get("allOf", ())):
        rules = _both(rules, same(part, "allOf", position))
    for keyword in ("anyOf", "oneOf"):
        alternatives = [
            same(part, keyword, position)
            for position, part in enumerate(schema.get(keyword, ()))
            if model is None or is_for(model, part, schema, document)
        ]
        if alternatives:
            rules = _both(rules, _any_of(alternatives))
    if model is not None and not trail and model in models_named(schema, document):
        rules = _both(rules, {"properties": {"model": {"enum": [model]}}})
    return _with_null(rules) if schema.get("nullable") is True else rules


def _own_rules(schema: Mapping[str, Any], inner: Callable[..., Schema]) -> Schema:
    """Return what a schema says by itself, without its references and combinations."""
    rules: Schema = {}
    for keyword, value in schema.items():
        if keyword == "properties":
            rules[keyword] = {name: inner(member, keyword, name) for name, member in value.items()}
        elif keyword == "items" or (keyword == "additionalProperties" and not isinstance(value, bool)):
            rules[keyword] = inner(value, keyword)
        elif keyword in _RULES:
            rules[keyword] = list(value) if isinstance(value, list) else value
        elif keyword == "format" and value in EXAMPLES:
            rules[keyword] = value
        elif keyword == "const":
            rules["enum"] = [value]
        elif keyword in _INCOMPARABLE:
            rules[f"x-{keyword}"] = value
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(rules.get(exclusive), bool) and rules.pop(exclusive) and inclusive in rules:
            rules[exclusive] = rules.pop(inclusive)
    return rules


def _both(first: Schema, second: Schema) -> Schema:
    """Return a schema of what both allow, as far as one schema can say it; of other rules the second's are kept."""
    for one, other in ((first, second), (second, first)):
        if "anyOf" in one:
            beside = {keyword: value for keyword, value in one.items() if keyword != "anyOf"}
            return _any_of([_both(_both(beside, alternative), other) for alternative in one["anyOf"]])
    merged = {**first, **second}
    for keyword in first.keys() & second.keys():
        one, other = first[keyword], second[keyword]
        if keyword in _NARROWER:
            merged[keyword] = _NARROWER[keyword](one, other)
        elif keyword == "required":
            merged[keyword] = [*one, *(name for name in other if name not in one)]
        elif keyword == "enum":
            merged[keyword] = [value for value in one if value in other]
        elif keyword == "properties":
            shared = {name: _both(one[name], other[name]) for name in one if name in other}
            merged[keyword] = {**one, **other, **shared}
        elif keyword == "items":
            merged[keyword] = _both(one, other)
    return merged


def _any_of(alternatives: list[Schema]) -> Schema:
    flat = [inner for alternative in alternatives for inner in alternative.get("anyOf", [alternative])]
    return {"anyOf": flat} if len(flat) > 1 else flat[0]


def _with_null(rules: Schema) -> Schema:
    if "anyOf" in rules:
        return {"anyOf": [*rules["anyOf"], {"type": "null"}]}
    widened = dict(rules)
    if "type" in rules:
        declared = [rules["type"]] if isinstance(rules["type"], str) else rules["type"]
        widened["type"] = [*(name for name in declared if name != "null"), "null"]
    if "enum" in rules:
        widened["enum"] = [*(value for value in rules["enum"] if value is not None), None]
    return widened
