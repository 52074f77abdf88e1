"""Issues: what is wrong with a request, in the words of the service, as `observed.json` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fake_server.service.templates import fill_members
from kling_contract.contract.observed import Observed
from kling_contract.display import type_of
from kling_contract.jsontext.pointer import split, to_pointer
from kling_contract.violation import Violation

__all__ = ["issues_of"]


def issues_of(violations: Sequence[Violation], sent: Mapping[str, Any], observed: Observed) -> list[dict[str, Any]]:
    """Return one issue for each violation, in the same order.

    `sent` are the decoded parts of the request, such as its "body", by the names that `Violation.part` uses.
    """
    return [_issue(violation, sent.get(violation.part), observed) for violation in violations]


def _issue(violation: Violation, part: Any, observed: Observed) -> dict[str, Any]:
    path, value = _follow(part, violation.pointer)
    schema = violation.schema or {}
    options = list((violation.limit if violation.rule == "enum" else schema.get("enum")) or ())
    if options and _is_text(path, observed):
        options = [_text(option) for option in options]
        value = _text(value) if _is_number(value) else value
    shapes = observed.refusals.issues.shapes
    named = (violation.pointer, _kind(violation, value, options), violation.rule, "other")
    shape = next(shapes[name] for name in named if name in shapes)
    values = {
        "path": path,
        "value": value,
        "value_type": _type(type_of(value)),
        "type": _type(schema.get("type", "object")),
        "options": options,
        "choice": " | ".join(f"'{option}'" if isinstance(option, str) else _text(option) for option in options),
        "limit": violation.limit,
    }
    return fill_members(shape.members, values)


def _kind(violation: Violation, value: Any, options: Sequence[Any]) -> str:
    """Return the rule that the service would name, with a word more where `observed.json` has a shape of its own for it."""
    rule, schema = violation.rule, violation.schema or {}
    if rule == "required":
        return "required enum" if options else "anyOf" if "anyOf" in schema else rule
    if rule in ("type", "enum") and options and value not in options:
        texts = all(isinstance(option, str) for option in options)
        return "enum" if isinstance(value, str) or (_is_number(value) and not texts) else "type enum"
    if rule == "type" and violation.limit == "integer" and isinstance(value, float):
        return "type fraction"
    return rule


def _is_text(path: Sequence[str | int], observed: Observed) -> bool:
    """Return whether what is at a path is text to the service, although the schema wants a number."""
    place = to_pointer("*" if isinstance(step, int) else step for step in path)
    return any(deviation.reads_as and deviation.pointer == place for deviation in observed.tolerated)


def _follow(value: Any, pointer: str) -> tuple[list[str | int], Any]:
    """Return a JSON pointer as a list of names and indexes, and what is there in `value` (None: nothing)."""
    path: list[str | int] = []
    for part in split(pointer):
        if isinstance(value, list):
            path.append(int(part))
            value = value[int(part)]
        else:
            path.append(part)
            value = value.get(part) if isinstance(value, Mapping) else None
    return path, value


def _type(json_type: str | Sequence[str]) -> str:
    """Return a JSON type as the service names it; of several, the first that is not null."""
    types = [json_type] if isinstance(json_type, str) else list(json_type)
    name = next((each for each in types if each != "null"), "null")
    return "number" if name == "integer" else name


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(number: Any) -> str:
    """Return a number as JavaScript writes it: 5.0 is 5."""
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)
