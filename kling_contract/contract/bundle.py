"""The OpenAPI document of a revision as a single file."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["bundle"]


def bundle(openapi: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI document with these schemas, by file name, moved into it and every reference led there."""
    bundled: dict[str, Any] = copy.deepcopy(dict(openapi))
    homes = {name: f"#/components/schemas/{_component(name)}" for name in schemas}
    _redirect(bundled, lambda ref: homes.get(ref, ref))
    components = bundled.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in schemas.items():
        component = copy.deepcopy(schema)
        component.pop("$schema", None)
        _redirect(component, functools.partial(_led, homes, homes[name]))
        components[_component(name)] = component
    return bundled


def _component(name: str) -> str:
    return "".join(word.capitalize() for word in name.removesuffix(".schema.json").split("-"))


def _led(homes: Mapping[str, str], home: str, ref: str) -> str:
    """Return where a reference leads from within the schema at `home`."""
    return home + ref[1:] if ref.startswith("#") else homes.get(ref, ref)


def _redirect(node: Any, target: Callable[[str], str]) -> None:
    """Replace each $ref in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            node["$ref"] = target(node["$ref"])
        for child in node.values():
            _redirect(child, target)
    elif isinstance(node, list):
        for child in node:
            _redirect(child, target)
