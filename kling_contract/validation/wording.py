"""The wording of violations: a message and a hint for each rule. Nothing here decides what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kling_contract.contract import Contract, history
from kling_contract.contract.other_names import meaning_of
from kling_contract.display import counted, likeness, show, type_of, with_article
from kling_contract.validation.field_names import known_field, misspelt_field, stand_in
from kling_contract.validation.sibling_fields import kind_of_model, model_that_takes

__all__ = ["describe"]

Path = tuple[str | int, ...]

_BASE64_STARTS = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "UklGR": "image/webp",
    "R0lGOD": "image/gif",
}
_FORMATS = {"uri": "a URI", "date-time": "a date and time of RFC 3339"}


def describe(
    rule: str,
    schema: Mapping[str, Any],
    path: Path,
    value: Any,
    *,
    revision: str,
    contract: Contract | None,
    part: str = "body",
) -> tuple[str, str | None]:
    """Return one line that says what is wrong, and how to correct it (None: no more than the rule itself says).

    `schema` has the rule and `value` breaks it; for "required" and "undeclared", `value` is the object that lacks the member
    or has it. `part` is the part of a message that it is in. The history of `contract` helps with undeclared members (None:
    there is no history).
    """
    hint = _hint(rule, schema, path, value, contract, sent=part != "response")
    if rule == "undeclared" and len(path) == 1 and contract and model_that_takes(str(path[0]), contract):
        return f"{path[0]} is not a field of this {kind_of_model(contract)} and would be ignored", hint
    return _message(rule, schema, path, value, revision), hint


def _message(rule: str, schema: Mapping[str, Any], path: Path, value: Any, revision: str) -> str:
    limit = schema.get(rule)
    match rule:
        case "required":
            return f"{path[-1]} is missing, and is required"
        case "undeclared":
            return f"{path[-1]} is not a field of {revision}"
        case "deprecated":
            return f"{path[-1]} is deprecated. {schema.get('description', '')}".rstrip()
        case "type":
            wanted = [limit] if isinstance(limit, str) else list(limit or ())
            return (
                f"{show(value)} is {with_article(type_of(value))}, and must be {' or '.join(map(with_article, wanted))}"
            )
        case "enum":
            return f"{show(value)} is not {_one_of([show(option) for option in limit or ()])}"
        case "const":
            return f"{show(value)} is not {show(limit)}"
        case "anyOf":
            return f"{show(value)} is neither {' nor '.join(map(_alternative, limit or ()))}"
        case "format":
            return f"{show(value)} is not {_FORMATS.get(str(limit), f'in the format {limit}')}"
        case "minimum":
            return f"{show(value)} is less than {show(limit)}, the least allowed"
        case "maximum":
            return f"{show(value)} is more than {show(limit)}, the most allowed"
        case "exclusiveMinimum":
            return f"{show(value)} is not more than {show(limit)}"
        case "exclusiveMaximum":
            return f"{show(value)} is not less than {show(limit)}"
        case "minItems":
            return f"{counted(len(value), 'item')}: at least {limit} are needed"
        case "maxItems":
            return f"{counted(len(value), 'item')}: at most {limit} are allowed"
        case "minLength":
            return f"{counted(len(value), 'character')}: at least {limit} are needed"
        case "maxLength":
            return f"{counted(len(value), 'character')}: at most {limit} are allowed"
        case _:
            return f"{show(value)} breaks the rule {rule}: {show(limit)}"


def _hint(
    rule: str, schema: Mapping[str, Any], path: Path, value: Any, contract: Contract | None, *, sent: bool
) -> str | None:
    if rule == "undeclared":
        return _better_name(schema, path, value, contract, sent=sent)
    if rule == "required":
        found = stand_in(str(path[-1]), schema, value, sent=sent)
        return f"is {found} meant to be {path[-1]}?" if found else None
    if rule in ("type", "enum"):
        return _better_value(schema, value)
    if rule == "format" and schema.get("format") == "uri" and isinstance(value, str):
        return _better_uri(value)
    return None


def _better_name(
    schema: Mapping[str, Any], path: Path, present: Mapping[str, Any], contract: Contract | None, *, sent: bool
) -> str | None:
    """Say what an undeclared member was meant to be, or what became of it. Nothing that is `present` is proposed."""
    name = str(path[-1])
    known = known_field(name, schema, present, sent=sent)
    if known:
        return f"did you mean {known}?"
    past = history.fate_of(contract, path, present) if contract else None
    if past:
        return past
    meaning = meaning_of(name) if sent else None
    if meaning and meaning.advice:
        return meaning.advice
    sibling = model_that_takes(name, contract) if contract and len(path) == 1 else None
    if sibling:
        field, model = sibling
        return f"{model} takes it" if field == name else f"{model} takes it as {field}"
    if meaning:
        return None
    near = misspelt_field(name, schema, present, sent=sent)
    return f"did you mean {near}?" if near else None


def _better_value(schema: Mapping[str, Any], value: Any) -> str | None:
    options = list(schema.get("enum", ()))
    number = _number(value) if isinstance(value, str) else value
    if isinstance(value, str) and number is not None and (number in options or _wants_number(schema, options)):
        return f"send the number {show(number)}, without quotation marks"
    if not options:
        return None
    if isinstance(value, str) and all(isinstance(option, str) for option in options):
        near = sorted(options, key=lambda option: -likeness(value[:100].lower(), option.lower()))
        return f"use {show(near[0])}" if len(near) == 1 else f"nearest: {', '.join(map(show, near[:5]))}"
    if isinstance(number, (int, float)) and not isinstance(number, bool):
        numbers = [option for option in options if isinstance(option, (int, float))]
        return f"the nearest allowed is {show(min(numbers, key=lambda o: abs(o - number)))}" if numbers else None
    return None


def _better_uri(value: str) -> str:
    for start, media_type in _BASE64_STARTS.items():
        if value.startswith(start):
            return f"bare Base64 is not a URI: put data:{media_type};base64, before it"
    if re.match(r"https?://", value):
        return "percent-encode what is not allowed in a URI, such as spaces and letters beyond ASCII"
    if re.match(r"[\w.-]+\.[a-z]{2,}/", value) and not re.search(r"\.(png|jpe?g|webp|gif)/", value):
        return f"begin it with https://: https://{value[:60]}"
    return "give an https:// link, or the image itself as a data URI (data:image/png;base64,…)"


def _wants_number(schema: Mapping[str, Any], options: Sequence[Any]) -> bool:
    kinds = schema.get("type", ())
    return not options and bool({"integer", "number"} & set([kinds] if isinstance(kinds, str) else kinds))


def _number(text: str) -> int | float | None:
    if re.fullmatch(r"\s*-?\d{1,15}\s*s?\s*", text):
        return int(text.strip().rstrip("s").strip())
    if re.fullmatch(r"\s*-?\d{1,15}\.\d{1,15}\s*", text):
        return float(text)
    return None


def _alternative(schema: Mapping[str, Any]) -> str:
    """Return in words what one of several alternatives describes."""
    if "format" in schema:
        return _FORMATS.get(str(schema["format"]), f"in the format {schema['format']}")
    types = schema.get("type", "anything else")
    name = with_article(types) if isinstance(types, str) else " or ".join(map(with_article, types))
    return f"{name} of which each is {_alternative(schema['items'])}" if "items" in schema else name


def _one_of(options: list[str]) -> str:
    return options[0] if len(options) == 1 else f"one of {', '.join(options)}"
