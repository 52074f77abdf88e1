"""The validator: everything that is wrong with a JSON value, by a schema of the contract.

It first decides which rules are broken, then puts them into words (`wording`), and sorts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jsonschema_rs

from kling_contract.contract import Contract, history
from kling_contract.contract.observed import Tolerated
from kling_contract.errors import InvalidJson
from kling_contract.jsontext.location import locate
from kling_contract.jsontext.parser import parse
from kling_contract.jsontext.pointer import split, to_pointer
from kling_contract.validation import wording
from kling_contract.validation.guidelines import Guideline
from kling_contract.violation import Severity, Strictness, Violation, check_strictness

__all__ = ["Validator", "not_json", "with_places"]


Path = tuple[str | int, ...]

_NOT_JSON = "json"
_UNDECLARED = "undeclared"
_DEPRECATED = "deprecated"


class Validator:
    """Validates JSON values by one schema. It is compiled once, and may be shared between threads.

    `tolerated` are the deviations that "lax" accepts, as `observed.json` lists them; `undeclared` is the severity of a
    member that the schema does not declare; `part` is the part of a message that the values are; `guidelines` are rules
    whose violations are warnings.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        contract: Contract,
        tolerated: Sequence[Tolerated] = (),
        undeclared: Severity = "warning",
        part: str = "body",
        guidelines: Sequence[Guideline] = (),
    ) -> None:
        self._schema = _closed(schema, root=True)
        self._validator = jsonschema_rs.Draft202012Validator(self._schema, validate_formats=True)
        self._contract = contract
        self._tolerated = [
            (split(deviation.pointer), jsonschema_rs.Draft202012Validator(deviation.schema), deviation)
            for deviation in tolerated
        ]
        self._undeclared = undeclared
        self._part = part
        self._guidelines = guidelines

    def validate_text(self, text: bytes | str, strictness: Strictness = "lax") -> list[Violation]:
        """Validate JSON text. Text that is not JSON has one violation, of the rule "json"."""
        check_strictness(strictness)
        try:
            value = parse(text)
        except InvalidJson as bad:
            return [not_json(bad, part=self._part)]
        violations = self.validate_value(value, strictness)
        return with_places(violations, text) if violations else []

    def validate_value(self, value: Any, strictness: Strictness = "lax") -> list[Violation]:
        """Validate a decoded JSON value."""
        check_strictness(strictness)
        try:
            valid = self._validator.is_valid(value)
            if valid and not self._guidelines:
                return []
            errors = [] if valid else list(self._validator.iter_errors(value))
        except (ValueError, TypeError) as unfit:  # nested too deeply, a lone surrogate, a type that JSON has not
            return [Violation("", _NOT_JSON, f"this cannot be written as JSON: {unfit}", part=self._part)]
        violations = [violation for guideline in self._guidelines for violation in guideline.broken_by(value)]
        if errors:
            broken = _distinct(_broken_rules(errors))
            violations = [*(self._violation(rule, value, strictness) for rule in broken), *violations]
        if len(violations) > 1:
            order = _DocumentOrder(value, self._schema)
            violations.sort(key=lambda violation: order.key(split(violation.pointer)))
        return violations

    def _violation(self, broken: _BrokenRule, value: Any, strictness: Strictness) -> Violation:
        """Put a broken rule into words."""
        path, rule = broken.path, broken.rule
        schema = _at(self._schema, broken.schema_path)
        instance = _at(value, path[:-1] if rule in ("required", _UNDECLARED) else path)
        aged = self._contract if self._part == "body" else None
        pointer = to_pointer(path)
        message, hint = wording.describe(
            rule, schema, path, instance, revision=self._contract.revision.id, contract=aged, part=self._part
        )
        return Violation(
            pointer=pointer,
            rule=rule,
            message=message,
            severity=self._severity(rule, path, schema, instance, strictness),
            hint=hint,
            since=history.since(aged, path, rule) if aged else None,
            part=self._part,
            limit=schema.get(rule),
            schema=schema.get("properties", {}).get(path[-1]) if rule in ("required", _UNDECLARED) else schema,
        )

    def _severity(
        self, rule: str, path: Path, schema: Mapping[str, Any], instance: Any, strictness: Strictness
    ) -> Severity:
        if rule == _UNDECLARED:
            return self._undeclared
        if rule == _DEPRECATED:
            return "warning"
        if strictness == "strict":
            return "error"
        if strictness == "off":
            return "warning" if path else "error"
        return "warning" if rule != "required" and self._is_tolerated(path, schema, instance) else "error"

    def _is_tolerated(self, path: Path, schema: Mapping[str, Any], instance: Any) -> bool:
        """Return whether the service is known to accept a value that breaks its schema."""
        for pattern, accepted, deviation in self._tolerated:
            if _matches(path, pattern) and accepted.is_valid(instance):
                number = deviation.read(instance)
                return deviation.reads_as is None or (
                    number is not None and jsonschema_rs.is_valid(dict(schema), number)
                )
        return False


def not_json(bad: InvalidJson, part: str = "body") -> Violation:
    """Return the violation of a text that is not JSON."""
    return Violation("", _NOT_JSON, bad.reason, part=part, line=bad.line, column=bad.column)


def with_places(violations: Sequence[Violation], text: bytes | str) -> list[Violation]:
    """Return violations in a JSON text with the line and the column of each."""
    named = {violation.pointer for violation in violations if violation.rule in (_UNDECLARED, _DEPRECATED)}
    places = locate(text, {violation.pointer for violation in violations if violation.part != "path"}, names=named)
    return [
        replace(violation, line=place[0], column=place[1])
        if violation.part != "path" and (place := places[violation.pointer])
        else violation
        for violation in violations
    ]


class _BrokenRule(NamedTuple):
    """A rule that a value breaks: the path of the value, the name of the rule, and the path of the schema that has it."""

    path: Path
    rule: str
    schema_path: Path


def _broken_rules(errors: list[jsonschema_rs.ValidationError]) -> Iterator[_BrokenRule]:
    for error in errors:
        kind, path, schema_path = error.kind, tuple(error.instance_path), tuple(error.schema_path)
        if kind.name == "required":
            yield _BrokenRule((*path, kind.value), "required", schema_path[:-1])
        elif kind.name == "additionalProperties":
            for name in kind.value:
                yield _BrokenRule((*path, name), _UNDECLARED, schema_path[:-1])
        elif kind.name == "falseSchema":
            yield _BrokenRule(path, _DEPRECATED, schema_path[:-2])
        else:
            yield _BrokenRule(path, str(schema_path[-1]), schema_path[:-1])


def _distinct(found: Iterable[_BrokenRule]) -> list[_BrokenRule]:
    """Return each rule of a value once. Of a value that has the wrong type only that: the other rules are for another type."""
    first: dict[tuple[Path, str], _BrokenRule] = {}
    for broken in found:
        first.setdefault((broken.path, broken.rule), broken)
    mistyped = {path for path, rule in first if rule == "type"}
    return [broken for (path, rule), broken in first.items() if rule == "type" or path not in mistyped]


def _matches(path: Path, pattern: Sequence[str]) -> bool:
    """Return whether a path is the one that a pattern stands for, in which `*` is any item."""
    return len(path) == len(pattern) and all(
        str(part) == wanted or (wanted == "*" and isinstance(part, int))
        for part, wanted in zip(path, pattern, strict=True)
    )


class _DocumentOrder:
    """Sorts paths in document order. An absent member comes after its siblings, in the order of the schema."""

    def __init__(self, value: Any, schema: Mapping[str, Any]) -> None:
        self._value = value
        self._declared = {name: i for i, name in enumerate(schema.get("properties", ()))}
        self._places: dict[int, dict[str, int]] = {}

    def key(self, path: Sequence[str]) -> tuple[int, ...]:
        places: list[int] = []
        node = self._value
        for part in path:
            if isinstance(node, Mapping):
                known = self._places.setdefault(id(node), {})
                if not known and node:
                    known.update({name: i for i, name in enumerate(node)})
                if part not in known:
                    return (*places, len(node) + self._declared.get(part, len(self._declared)))
                places.append(known[part])
                node = node[part]
            else:
                places.append(int(part))
                node = node[int(part)]
        return tuple(places)


def _closed(schema: Any, *, root: bool = False) -> Any:
    """Return the schema with undeclared and deprecated members forbidden as well, so that one pass finds them all.

    Alternatives such as anyOf stay as they are: what one of them does not declare, another may.
    """
    if not isinstance(schema, Mapping):
        return schema
    strict = dict(schema)
    if "properties" in strict:
        strict["properties"] = {
            name: _without_deprecated(_closed(member), member) for name, member in strict["properties"].items()
        }
        strict.setdefault("additionalProperties", False)
        if root:  # by this member editors find the schema of a file
            strict["properties"].setdefault("$schema", True)
    if "items" in strict:
        strict["items"] = _closed(strict["items"])
    return strict


def _without_deprecated(strict: Any, member: Any) -> Any:
    if isinstance(member, Mapping) and member.get("deprecated") is True:
        return {**strict, "allOf": [*strict.get("allOf", ()), False]}
    return strict


def _at(node: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        node = node[part]
    return node
