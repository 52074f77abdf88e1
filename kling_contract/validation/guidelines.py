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
from kling_contract.jsontext.pointer import resolve
from kling_contract.validation.data_uri import Embedded, embedded_in
from kling_contract.violation import Violation

__all__ = ["Guideline", "guidelines_on"]


@dataclass(frozen=True, slots=True)
class Guideline:
    """One entry of `guidelines.json`.

    `schema` is `when` and `then` in one schema or, if there is `media`, `when` alone (None: any payload).
    """

    pointer: str
    fields: Sequence[str]
    schema: jsonschema_rs.Draft202012Validator | None
    media: Mapping[str, Any] | None
    message: str
    hint: str | None
    source: str
    since: str

    def broken_by(self, payload: Any) -> Iterator[Violation]:
        """Yield a warning for each place at which a payload breaks it. One that is no JSON object breaks nothing."""
        if not isinstance(payload, Mapping):
            return
        seen = {name: payload[name] for name in self.fields if name in payload}
        fits = self.schema is None or self.schema.is_valid(seen)
        if self.media is None:
            if not fits:
                yield self._violation(self.pointer, self._message(seen))
        elif fits:
            for pointer, found in _media_at(payload, self.pointer):
                for came in _breaches(self.media, found):
                    yield self._violation(pointer, f"{self._message(seen)}, and {came}")

    def _message(self, seen: Mapping[str, Any]) -> str:
        return re.sub(r"\{(\w+)\}", lambda name: show(seen.get(name[1])), self.message)

    def _violation(self, pointer: str, message: str) -> Violation:
        return Violation(
            pointer=pointer,
            rule="guideline",
            message=f"{message} (source: {self.source})",
            severity="warning",
            hint=self.hint,
            since=self.since,
        )


def guidelines_on(model: str, revision: str) -> Sequence[Guideline]:
    """Return the guidelines on a model that hold in a revision: those from its date on, and before their end.

    An id of a revision that is no date counts as the newest one.
    """
    return tuple(
        _guideline(entry)
        for entry in _entries()
        if entry["since"] <= revision
        and not ("until" in entry and entry["until"] <= revision)
        and any(fnmatchcase(model, pattern) for pattern in entry["models"])
    )


@functools.cache
def _entries() -> Sequence[Mapping[str, Any]]:
    entries: Sequence[Mapping[str, Any]] = read_json(SCHEMAS / "guidelines.json")["guidelines"]
    return entries


def _guideline(entry: Mapping[str, Any]) -> Guideline:
    schema = entry.get("when")
    if "then" in entry:
        schema = {"if": entry.get("when", {}), "then": entry["then"]}
    return Guideline(
        pointer=entry["pointer"],
        fields=tuple(entry.get("fields", ())),
        schema=None if schema is None else jsonschema_rs.Draft202012Validator(schema),
        media=entry.get("media"),
        message=entry["message"],
        hint=entry.get("hint"),
        source=entry["source"],
        since=next((revision for revision in revisions() if entry["since"] <= revision), entry["since"]),
    )


def _media_at(payload: Mapping[str, Any], pointer: str) -> Iterator[tuple[str, Embedded]]:
    """Yield what each data URI at a pointer holds, and its own pointer: those of a list are each judged by themselves."""
    try:
        value = resolve(payload, pointer)
    except KeyError:
        return
    places = [(pointer, value)]
    if isinstance(value, list):
        places = [(f"{pointer}/{i}", item) for i, item in enumerate(value)]
    for place, item in places:
        found = embedded_in(item) if isinstance(item, str) else None
        if found is not None:
            yield place, found


def _breaches(limits: Mapping[str, Any], found: Embedded) -> Iterator[str]:
    """Yield what a file has instead of what the limits allow. What cannot be read from the file breaks no limit."""
    if "types" in limits and found.media_type not in limits["types"]:
        yield f"this is {found.media_type}"
    if found.size > limits.get("max_bytes", found.size):
        yield f"this has {found.size:,} bytes"
    if found.width and found.height:
        short, long, ratio = min(found.width, found.height), max(found.width, found.height), found.width / found.height
        if (
            not limits.get("min_side", short) <= short
            or not long <= limits.get("max_side", long)
            or not limits.get("min_ratio", ratio) <= ratio <= limits.get("max_ratio", ratio)
        ):
            yield f"this has {found.width:,} x {found.height:,} px"
    if found.seconds is not None:
        least, most = limits.get("min_seconds", found.seconds), limits.get("max_seconds", found.seconds)
        if not least <= found.seconds <= most:
            yield f"this lasts {found.seconds:g} s"
