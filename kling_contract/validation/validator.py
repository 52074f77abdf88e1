"""What is wrong with a payload? Judges JSON against the documents of a revision and says where, which rule, and how to mend it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jsonschema_rs

from kling_contract.contract import Contract, chosen, history
from kling_contract.contract.observed import Tolerated
from kling_contract.errors import InvalidJson
from kling_contract.jsontext.location import locate
from kling_contract.jsontext.parser import parse
from kling_contract.jsontext.pointer import to_pointer
from kling_contract.validation import wording
from kling_contract.violation import Severity, Strictness, Violation, check_strictness

__all__ = ["Validator", "validate", "validator_for"]


_NOT_JSON = "json"
_UNDECLARED = "undeclared"
_DEPRECATED = "deprecated"


def validate(
    payload: Any,
    *,
    contract: Contract | None = None,
    revision: str | None = None,
    strictness: Strictness = "lax",
) -> list[Violation]:
    """Return everything that is wrong with the payload of a create, in document order; empty when nothing is.

    `payload` is a decoded JSON value, or JSON text as bytes or str: then each violation has its line and column. Of the
    severities only "error" means that the contract refuses it. "strict" holds the documents to the letter; "lax" also
    takes what the live service is known to take, as a warning; "off" makes everything a warning from which a generation
    can still be made. Raise UnknownRevision for a revision that there is not, and ValueError for another strictness.
    """
    validator = validator_for(chosen(contract, revision))
    if isinstance(payload, (bytes, bytearray, str)):
        return validator.validate_text(payload if isinstance(payload, str) else bytes(payload), strictness)
    return validator.validate_value(payload, strictness)


class Validator:
    """Judges one kind of JSON value by one schema. Compile once, use often; safe to share between threads.

    `tolerated` are the deviations that "lax" takes, as `observed.json` lists them; `undeclared` is the severity of a
    member that the schema does not declare.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        contract: Contract,
        tolerated: Sequence[Tolerated] = (),
        undeclared: Severity = "warning",
        part: str = "body",
    ) -> None:
        self._schema = _noticing(schema, root=True)
        self._validator = jsonschema_rs.Draft202012Validator(self._schema, validate_formats=True)
        self._contract = contract
        self._tolerated = {each.pointer: jsonschema_rs.Draft202012Validator(each.schema) for each in tolerated}
        self._undeclared = undeclared
        self._part = part

    def validate_text(self, text: bytes | str, strictness: Strictness = "lax") -> list[Violation]:
        """Judge JSON text. Text that is no JSON draws the one violation "json"."""
        return self.parse_and_validate(text, strictness)[1]

    def parse_and_validate(self, text: bytes | str, strictness: Strictness = "lax") -> tuple[Any, list[Violation]]:
        """Judge JSON text as `text` does; return the decoded value too (None when it is no JSON)."""
        check_strictness(strictness)
        try:
            value = parse(text)
        except InvalidJson as bad:
            return None, [Violation("", _NOT_JSON, bad.reason, part=self._part, line=bad.line, column=bad.column)]
        violations = self.validate_value(value, strictness)
        if violations:
            named = {violation.pointer for violation in violations if violation.rule in (_UNDECLARED, _DEPRECATED)}
            places = locate(text, {violation.pointer for violation in violations}, names=named)
            violations = [
                replace(violation, line=places[violation.pointer][0], column=places[violation.pointer][1])
                for violation in violations
            ]
        return value, violations

    def validate_value(self, value: Any, strictness: Strictness = "lax") -> list[Violation]:
        """Judge a decoded JSON value."""
        check_strictness(strictness)
        try:
            if self._validator.is_valid(value):
                return []
            errors = list(self._validator.iter_errors(value))
        except (
            ValueError,
            TypeError,
        ) as unfit:  # too deep, a lone surrogate, a key that is no text, a Python object
            return [Violation("", _NOT_JSON, f"this cannot be written as JSON: {unfit}", part=self._part)]
        found: dict[tuple[tuple[str | int, ...], str], Violation] = {}
        mistyped = set()
        for path, rule, violation in self._read(errors, value):
            if rule == "type":
                mistyped.add(path)
            found.setdefault((path, rule), violation)
        kept = [(path, v) for (path, rule), v in found.items() if rule == "type" or path not in mistyped]
        if len(kept) > 1:
            order = _DocumentOrder(value, self._schema)
            kept.sort(key=lambda item: order.key(item[0]))
        return [self._weigh(violation, path, value, strictness) for path, violation in kept]

    def _read(
        self, errors: list[jsonschema_rs.ValidationError], value: Any
    ) -> Iterator[tuple[tuple[str | int, ...], str, Violation]]:
        for error in errors:
            kind, path = error.kind, tuple(error.instance_path)
            schema_path = tuple(error.schema_path)
            if kind.name == "required":
                yield self._violation((*path, kind.value), "required", value, schema_path)
            elif kind.name == "additionalProperties":
                for name in kind.value:
                    yield self._violation((*path, name), _UNDECLARED, value, schema_path)
            elif kind.name == "falseSchema":
                yield self._violation(path, _DEPRECATED, value, schema_path[:-1])
            else:
                yield self._violation(path, str(schema_path[-1]), value, schema_path)

    def _violation(
        self, path: tuple[str | int, ...], rule: str, value: Any, schema_path: tuple[str | int, ...]
    ) -> tuple[tuple[str | int, ...], str, Violation]:
        rules = _at(self._schema, schema_path[:-1])
        instance = _at(value, path) if rule != "required" else _at(value, path[:-1])
        aged = self._contract if self._part == "body" else None
        severity: Severity = "error"
        if rule == _UNDECLARED:
            severity = self._undeclared
        elif rule == _DEPRECATED:
            severity = "warning"
        violation = Violation(
            pointer=to_pointer(path),
            rule=rule,
            message=wording.message(rule, rules, path, instance, self._contract.revision.id),
            severity=severity,
            hint=wording.hint(rule, rules, path, instance, aged),
            since=history.since(aged, path, rule) if aged else None,
            part=self._part,
        )
        return path, rule, violation

    def _weigh(
        self, violation: Violation, path: tuple[str | int, ...], value: Any, strictness: Strictness
    ) -> Violation:
        if violation.severity != "error" or strictness == "strict":
            return violation
        if strictness == "off":
            return violation if not violation.pointer else replace(violation, severity="warning")
        taken = self._tolerated.get(violation.pointer)
        if taken is not None and violation.rule != "required" and taken.is_valid(_at(value, path)):
            return replace(violation, severity="warning")
        return violation


@functools.lru_cache(maxsize=32)
def validator_for(contract: Contract) -> Validator:
    """Return the judge of create payloads under `contract`."""
    return Validator(contract.request_schema, contract=contract, tolerated=contract.observed.tolerated)


class _DocumentOrder:
    """Sorts paths as their values stand in the document; an absent member comes after its siblings, as the schema lists it."""

    def __init__(self, value: Any, schema: Mapping[str, Any]) -> None:
        self._value = value
        self._declared = {name: i for i, name in enumerate(schema.get("properties", ()))}
        self._places: dict[int, dict[str, int]] = {}

    def key(self, path: tuple[str | int, ...]) -> tuple[int, ...]:
        places: list[int] = []
        node = self._value
        for part in path:
            if isinstance(node, Mapping) and isinstance(part, str):
                known = self._places.setdefault(id(node), {})
                if not known and node:
                    known.update({name: i for i, name in enumerate(node)})
                if part not in known:
                    return (*places, len(node) + self._declared.get(part, len(self._declared)))
                places.append(known[part])
                node = node[part]
            else:
                places.append(int(part))
                node = node[part]
        return tuple(places)


def _noticing(schema: Any, *, root: bool = False) -> Any:
    """Return the schema with undeclared and deprecated members refused as well, so that one pass finds them all.

    Alternatives (anyOf and its like) stay as they are: what one of them does not declare, another may.
    """
    if not isinstance(schema, Mapping):
        return schema
    judged = dict(schema)
    if "properties" in judged:
        judged["properties"] = {
            name: _refused(_noticing(member), member) for name, member in judged["properties"].items()
        }
        judged.setdefault("additionalProperties", False)
        if root:  # editors find the schema of a file by this key; it is not part of what is sent
            judged["properties"].setdefault("$schema", True)
    if "items" in judged:
        judged["items"] = _noticing(judged["items"])
    return judged


def _refused(judged: Any, member: Any) -> Any:
    if isinstance(member, Mapping) and member.get("deprecated") is True:
        return {**judged, "allOf": [*judged.get("allOf", ()), False]}
    return judged


def _at(node: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        node = node[part]
    return node
