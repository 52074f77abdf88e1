"""Schemas of OpenAPI 3.0 and 3.1 in one form that can be compared."""

from __future__ import annotations

from typing import Any

from kling_contract.schema_values.boundaries import LIMITS

__all__ = []


_LIMITS = {rule for rules in LIMITS.values() for rule in rules}


_RULES = (_LIMITS - {"format"}) | {"type", "enum", "properties", "required", "items", "default", "deprecated"}


_UNWEIGHED = {"not", "if", "then", "else", "patternProperties", "propertyNames", "unevaluatedProperties"} | {
    *("dependentRequired", "dependentSchemas", "contains", "minContains", "maxContains", "prefixItems")
}


_NARROWER = {"minimum": max, "minLength": max, "minItems": max, "maximum": min, "maxLength": min, "maxItems": min}


Schema = dict[str, Any]


def _both(first: Schema, second: Schema) -> Schema:
    """Return a schema of what both allow, as far as it can be written in one; what cannot follows the second."""
    for one, other in ((first, second), (second, first)):
        if "anyOf" in one:
            beside = {keyword: value for keyword, value in one.items() if keyword != "anyOf"}
            return _any_of([_both(_both(beside, each), other) for each in one["anyOf"]])
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
    flat = [inner for each in alternatives for inner in each.get("anyOf", [each])]
    return {"anyOf": flat} if len(flat) > 1 else flat[0]


def _with_null(rules: Schema) -> Schema:
    if "anyOf" in rules:
        return {"anyOf": [*rules["anyOf"], {"type": "null"}]}
    widened = dict(rules)
    if "type" in rules:
        declared = [rules["type"]] if isinstance(rules["type"], str) else rules["type"]
        widened["type"] = [*(kind for kind in declared if kind != "null"), "null"]
    if "enum" in rules:
        widened["enum"] = [*(value for value in rules["enum"] if value is not None), None]
    return widened
