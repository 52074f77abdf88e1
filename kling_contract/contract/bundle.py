"""The OpenAPI document of a revision as a single file."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

__all__ = ["bundle", "narrowed"]


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


def narrowed(
    openapi: Mapping[str, Any], path: str, request_document: str, success: Mapping[str, int], generation_document: str
) -> dict[str, Any]:
    """Return the OpenAPI document for one model: `path` alone, with one payload and one body of a success.

    `success` maps each method, in lower case, to its success. The documents with the schemas are given by name.
    """
    document = {**openapi, "paths": {path: copy.deepcopy(openapi["paths"][path])}}
    item = document["paths"][path]
    for method, status in success.items():
        operation = item[method]
        if "requestBody" in operation:
            for content in operation["requestBody"]["content"].values():
                content["schema"] = {"$ref": request_document}
        for content in operation["responses"][str(status)].get("content", {}).values():
            content["schema"] = {"$ref": generation_document}
            content.pop("x-models", None)
    return document


def _component(name: str) -> str:
    return "".join(word.capitalize() for word in PurePosixPath(name).name.removesuffix(".schema.json").split("-"))


def _led(homes: Mapping[str, str], home: str, ref: str) -> str:
    """Return where a reference leads from within the schema at `home`."""
    return home + ref[1:] if ref.startswith("#") else homes.get(ref, ref)


def _redirect(node: Any, target: Callable[[str], str]) -> None:
    """Replace each $ref in a document, and what else names a schema: the mapping of a discriminator, and x-models."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            node["$ref"] = target(node["$ref"])
        for names in (_mapping(node), node.get("x-models")):
            if isinstance(names, dict):
                names.update({name: target(ref) for name, ref in names.items()})
        for child in node.values():
            _redirect(child, target)
    elif isinstance(node, list):
        for child in node:
            _redirect(child, target)


def _mapping(node: dict[str, Any]) -> Any:
    discriminator = node.get("discriminator")
    return discriminator.get("mapping") if isinstance(discriminator, dict) and "propertyName" in discriminator else None
