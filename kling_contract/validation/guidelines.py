"""Guidelines: rules that the provider's pages state only in words. A payload that breaks one gets a warning, never an error."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import jsonschema_rs

from kling_contract.contract import revisions
from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.display import show
from kling_contract.violation import Violation

__all__ = ["RULE", "broken_guidelines"]

RULE = "guideline"
"""The rule of each violation that is returned here."""


def broken_guidelines(model: str, revision: str, payload: Any) -> list[Violation]:
    """Return a warning for each guideline on `model` that the payload of a create breaks, with its source in the message.

    A guideline holds in the revisions from its date on. An id that is no date counts as the newest revision. The payload is a
    decoded JSON value; one that is no object breaks none.
    """
    guidelines = _guidelines_on(model, revision)
    if not guidelines or not isinstance(payload, Mapping):
        return []
    return [violation for guideline in guidelines for violation in guideline.broken_by(payload)]


@dataclass(frozen=True, slots=True)
class _Guideline:
    """One entry of `guidelines.json`; `schema` is its `when` and `then` in one."""

    pointer: str
    fields: Sequence[str]
    schema: jsonschema_rs.Draft202012Validator
    message: str
    hint: str | None
    source: str
    since: str

    def broken_by(self, payload: Mapping[str, Any]) -> Iterator[Violation]:
        """Yield a violation if the payload breaks it."""
        seen = {name: payload[name] for name in self.fields if name in payload}
        if not self.schema.is_valid(seen):
            yield self._violation(self.pointer, self._message(seen))

    def _message(self, seen: Mapping[str, Any]) -> str:
        return re.sub(r"\{(\w+)\}", lambda name: show(seen.get(name[1])), self.message)

    def _violation(self, pointer: str, message: str) -> Violation:
        return Violation(
            pointer=pointer,
            rule=RULE,
            message=f"{message} (source: {self.source})",
            severity="warning",
            hint=self.hint,
            since=self.since,
        )


@functools.lru_cache(maxsize=1024)
def _guidelines_on(model: str, revision: str) -> Sequence[_Guideline]:
    """Return the guidelines on a model that hold in a revision, ready for use."""
    return tuple(
        _guideline(entry)
        for entry in _entries()
        if "then" in entry
        and entry["since"] <= revision
        and not ("until" in entry and entry["until"] <= revision)
        and any(fnmatchcase(model, pattern) for pattern in entry["models"])
    )


@functools.cache
def _entries() -> Sequence[Mapping[str, Any]]:
    entries: Sequence[Mapping[str, Any]] = read_json(SCHEMAS / "guidelines.json")["guidelines"]
    return entries


def _guideline(entry: Mapping[str, Any]) -> _Guideline:
    return _Guideline(
        pointer=entry["pointer"],
        fields=tuple(entry.get("fields", ())),
        schema=jsonschema_rs.Draft202012Validator({"if": entry.get("when", {}), "then": entry["then"]}),
        message=entry["message"],
        hint=entry.get("hint"),
        source=entry["source"],
        since=next((revision for revision in revisions() if entry["since"] <= revision), entry["since"]),
    )
