"""The history of the contract: since when a rule holds, and what became of a field."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Collection, Mapping
from typing import Any

from kling_contract.contract.revision import Contract, revisions

__all__ = ["fate_of", "renames", "since"]

Path = tuple[str | int, ...]

_NO_RULE = object()


def since(contract: Contract, path: Path, rule: str) -> str | None:
    """Return the oldest revision since which the rule at `path` has been the same as in `contract`.

    None if the contract is not one of the shipped revisions, and so has no history.
    """
    return _since(contract, _fields(path), rule)


def fate_of(contract: Contract, path: Path, present: Collection[str] = ()) -> str | None:
    """Say what became of a field that `contract` does not declare: it was renamed, was removed, or was added later.

    None if no shipped revision declares it, if its other name is among the `present` ones, or if the contract is not one of
    the shipped revisions.
    """
    fate, other = _fate_of(contract, _fields(path))
    return None if other in present else fate


def renames(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return which properties of `old` were renamed in `new`, by their old names.

    A new name must begin with the old one or the other way round, and the schemas must have the same type.
    """
    gone, added = [name for name in old if name not in new], [name for name in new if name not in old]
    pairs: dict[str, str] = {}
    for name in gone:
        alike = [other for other in added if other not in pairs.values() and _kind(old[name]) == _kind(new[other])]
        close = difflib.get_close_matches(name, alike, n=1, cutoff=0.6)
        if close and (name.startswith(close[0]) or close[0].startswith(name)):
            pairs[name] = close[0]
    return pairs


@functools.lru_cache(maxsize=4096)
def _since(contract: Contract, fields: tuple[str, ...], rule: str) -> str | None:
    line = _line(contract)
    if line is None:
        return None
    now = _rule(contract, fields, rule)
    oldest = contract
    for earlier in reversed(line):
        if _rule(earlier, fields, rule) != now:
            break
        oldest = earlier
    return oldest.revision.id


@functools.lru_cache(maxsize=4096)
def _fate_of(contract: Contract, fields: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return what became of a field, and the other name that `contract` has for it; None and None if nothing is known."""
    line = _line(contract)
    if line is None:
        return None, None
    name, now = fields[-1], _properties(contract, fields[:-1])
    until = contract
    for earlier in reversed(line):
        parent = _properties(earlier, fields[:-1])
        if name in parent:
            other = renames(parent, _properties(until, fields[:-1])).get(name)
            if other is None:
                return f"it left the contract on {until.revision}", None
            return f"it is called {other} since {until.revision}", other
        until = earlier
    for later in (Contract.load(known) for known in revisions() if known > contract.revision.id):
        if not later.takes(contract.model):
            continue
        later = later.for_model(contract.model)
        parent = _properties(later, fields[:-1])
        if name in parent:
            for other, renamed in renames(now, parent).items():
                if renamed == name:
                    return f"it is called {other} in {contract.revision}, and {name} since {later.revision}", other
            return f"it is in the contract since {later.revision}, not yet in {contract.revision}", None
    return None, None


def _line(contract: Contract) -> list[Contract] | None:
    """Return the revisions before `contract` that have its model, oldest first; None if it is not one of the shipped ones."""
    if not contract.is_shipped:
        return None
    older = [Contract.load(revision) for revision in revisions() if revision < contract.revision.id]
    return [revision.for_model(contract.model) for revision in older if revision.takes(contract.model)]


def _fields(path: Path) -> tuple[str, ...]:
    """Return a path without array indexes: a rule is the same for each item."""
    return tuple(part for part in path if isinstance(part, str))


def _properties(contract: Contract, fields: tuple[str, ...]) -> Mapping[str, Any]:
    schema: Any = contract.request_schema
    for field in fields:
        schema = _items(schema).get("properties", {}).get(field, {})
    found: Mapping[str, Any] = _items(schema).get("properties", {})
    return found


def _items(schema: Any) -> Mapping[str, Any]:
    while isinstance(schema, Mapping) and "items" in schema:
        schema = schema["items"]
    return schema if isinstance(schema, Mapping) else {}


def _rule(contract: Contract, fields: tuple[str, ...], rule: str) -> Any:
    """Return the value of a rule at a field, in a form that can be compared between revisions."""
    if not fields:
        return contract.request_schema.get(rule, _NO_RULE)
    properties = _properties(contract, fields[:-1])
    if rule == "undeclared":
        return fields[-1] in properties
    if rule == "required":
        parent: Any = contract.request_schema
        for field in fields[:-1]:
            parent = _items(parent).get("properties", {}).get(field, {})
        return fields[-1] in _items(parent).get("required", ())
    schema = properties.get(fields[-1], {})
    return schema.get(rule, _items(schema).get(rule, _NO_RULE))


def _kind(schema: Any) -> Any:
    return schema.get("type") if isinstance(schema, Mapping) else None
