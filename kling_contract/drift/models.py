"""The models that a schema of payloads is for: by the mapping of a discriminator, or by the values of `model`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kling_contract.drift.document import JsonDocument

__all__ = ["is_for", "models_named"]

_MODEL = "model"
_ALTERNATIVES = ("anyOf", "oneOf")


def models_named(schema: Any, document: JsonDocument, *, trail: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the ids of the models that a schema names, each once; empty if it names none.

    References are followed, except those in `trail`, which were followed already.
    """
    if not isinstance(schema, Mapping):
        return ()
    found: list[str] = list(_mapping(schema))
    ref = schema.get("$ref")
    if isinstance(ref, str) and ref not in trail:
        found += models_named(document.at(ref), document, trail=(*trail, ref))
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        found += _values(properties.get(_MODEL), document, trail)
    for keyword in (*_ALTERNATIVES, "allOf"):
        parts = schema.get(keyword)
        for part in parts if isinstance(parts, list) else ():
            found += models_named(part, document, trail=trail)
    return tuple(dict.fromkeys(found))


def is_for(model: str, alternative: Any, schema: Mapping[str, Any], document: JsonDocument) -> bool:
    """Return whether one of the alternatives of a schema is for a model. One that names no model is for all of them."""
    mapping = _mapping(schema)
    ref = alternative.get("$ref") if isinstance(alternative, Mapping) else None
    if model in mapping and ref in mapping.values():
        return bool(ref == mapping[model])
    named = models_named(alternative, document)
    return not named or model in named


def _mapping(schema: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the mapping of a discriminator by model: ids with references to schemas."""
    discriminator = schema.get("discriminator")
    if not isinstance(discriminator, Mapping) or discriminator.get("propertyName") != _MODEL:
        return {}
    mapping = discriminator.get("mapping")
    return (
        {str(model): _reference(name) for model, name in mapping.items() if isinstance(name, str)}
        if isinstance(mapping, Mapping)
        else {}
    )


def _reference(name: str) -> str:
    """Return the reference that a discriminator's mapping gives, which may be the bare name of a component."""
    return name if "/" in name or "." in name else f"#/components/schemas/{name}"


def _values(schema: Any, document: JsonDocument, trail: tuple[str, ...]) -> list[str]:
    """Return the texts that a schema lists as its only values."""
    if not isinstance(schema, Mapping):
        return []
    ref = schema.get("$ref")
    if isinstance(ref, str) and ref not in trail:
        return _values(document.at(ref), document, (*trail, ref))
    listed = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return [value for value in listed if isinstance(value, str)] if isinstance(listed, list) else []
