"""The rules for scenarios and faults: checks their JSON form against `schemas/scenario.schema.json`, and words what is wrong."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import jsonschema_rs

from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.display import nearest

__all__ = ["problems_in"]

Kind = Literal["scenario", "fault"]


def problems_in(data: Any, kind: Kind) -> str:
    """Return all problems of the JSON form of a scenario or of one fault, in one line; "" if there are none."""
    schema, validator = _rules(kind)
    try:
        errors = list(validator.iter_errors(data))
    except ValueError as error:
        return f"it cannot be written as JSON: {error}"
    return "; ".join(dict.fromkeys(message for error in errors for message in _messages(schema, error)))


@functools.cache
def _rules(kind: Kind) -> tuple[Mapping[str, Any], jsonschema_rs.Draft202012Validator]:
    schema = read_json(SCHEMAS / "scenario.schema.json")
    if kind == "fault":
        schema = schema["$defs"]["fault"]
    return schema, jsonschema_rs.Draft202012Validator(schema)


def _messages(schema: Mapping[str, Any], error: jsonschema_rs.ValidationError) -> Iterator[str]:
    """Word one error. Where fields exclude each other, the reason is a description in the schema itself."""
    place = "/".join(str(part) for part in error.instance_path)
    prefix = f"{place}: " if place else ""
    path = list(error.schema_path)
    match error.kind.name:
        case "additionalProperties":
            known = list(_at(schema, path[:-1])["properties"])
            for name in error.kind.value:
                near = nearest(name, known)
                advice = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(known)}"
                yield f"{f'{place}/' if place else ''}{name}: unknown field; {advice}"
        case "falseSchema":
            yield f"{prefix}{_at(schema, path[:-2])['description']}"
        case "not" | "propertyNames":
            yield f"{prefix}{_at(schema, path)['description']}"
        case "anyOf":
            effects = ", ".join(option["required"][0] for option in _at(schema, path))
            yield f"{prefix}it has no effect; give at least one of {effects}"
        case _:
            yield f"{prefix}{error.message}"


def _at(node: Any, path: list[str | int]) -> Any:
    for part in path:
        node = node[part]
    return node
