"""A second opinion: what does another implementation of JSON Schema, with other format checks, say of a value?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jsonschema import Draft202012Validator

from kling_contract.jsontext.pointer import to_pointer

Faults = Callable[[Any], list[tuple[str, str]]]


def referee(schema: Any) -> Faults:
    """Return what names pointer and rule of each violation of a schema; where the type is wrong, of that one alone."""
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)

    def faults(value: Any) -> list[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        for error in validator.iter_errors(value):
            path = tuple(error.absolute_path)
            if error.validator == "required":
                missing = [name for name in error.validator_value if name not in error.instance]
                found |= {(to_pointer((*path, name)), "required") for name in missing}
            else:
                found.add((to_pointer(path), str(error.validator)))
        mistyped = {where for where, rule in found if rule == "type"}
        return sorted((where, rule) for where, rule in found if rule == "type" or where not in mistyped)

    return faults
