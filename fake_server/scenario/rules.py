"""Is this a scenario, or a fault? Judges their JSON form by `schemas/scenario.schema.json`, and says in words what is wrong."""

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
    """Return everything that is wrong with the JSON form of a scenario or of one fault, in one line; "" when nothing is."""
    schema, validator = _rules(kind)
    try:
        errors = list(validator.iter_errors(data))
    except ValueError as unfit:
        return f"it cannot be written as JSON: {unfit}"
    return "; ".join(dict.fromkeys(line for error in errors for line in _lines(schema, error)))


@functools.cache
def _rules(kind: Kind) -> tuple[Mapping[str, Any], jsonschema_rs.Draft202012Validator]:
    schema = read_json(SCHEMAS / "scenario.schema.json")
    if kind == "fault":
        schema = schema["$defs"]["fault"]
    return schema, jsonschema_rs.Draft202012Validator(schema)


def _lines(schema: Mapping[str, Any], error: jsonschema_rs.ValidationError) -> Iterator[str]:
    """The schema itself says, in a description, why members do not go together; other rules speak for themselves."""
    where = "/".join(str(part) for part in error.instance_path)
    path = list(error.schema_path)
    match error.kind.name:
        case "additionalProperties":
            known = list(_at(schema, path[:-1])["properties"])
            for name in error.kind.value:
                meant = nearest(name, known) or known
                yield f"{f'{where}/' if where else ''}{name}: there is no such field; did you mean {' or '.join(meant)}?"
        case "falseSchema":
            yield f"{where}: {_at(schema, path[:-2])['description']}"
        case "not" | "propertyNames":
            yield f"{where}: {_at(schema, path)['description']}"
        case "anyOf":
            needed = ", ".join(each["required"][0] for each in _at(schema, path))
            yield f"{where or 'it'}: nothing goes wrong in it; give one of {needed}"
        case _:
            yield f"{where or 'it'}: {error.message}"


def _at(node: Any, path: list[str | int]) -> Any:
    for part in path:
        node = node[part]
    return node
