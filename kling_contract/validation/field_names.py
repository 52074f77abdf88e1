"""The declared field that an undeclared name was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from kling_contract.contract import other_names
from kling_contract.display import likeness, nearest

__all__ = ["known_field", "misspelt_field", "stand_in"]

_TYPING_ERROR = 0.85  # how similar a name must be to one of another API to be taken for it
_MOST_COMPARED = 100  # names of one object
_LONGEST = 100  # characters of a name that are compared


def known_field(name: str, schema: Mapping[str, Any], present: Collection[str], *, sent: bool = True) -> str | None:
    """Return the field of `schema` that has this name in another spelling, or under which other APIs know it.

    Fields that are `present` in the object, or deprecated, are never returned. `sent` is False for a response: there only
    the spelling counts.
    """
    written = other_names.plain(name)
    alike = [field for field in _fields(schema) if other_names.plain(field) == written]
    meaning = other_names.meaning_of(name) if sent else None
    wanted = alike or (meaning.fields if meaning else ())
    return next((field for field in wanted if _is_free(field, schema, present)), None)


def misspelt_field(name: str, schema: Mapping[str, Any], present: Collection[str], *, sent: bool = True) -> str | None:
    """Return the field of `schema` that `name` is a likely typing error for; None if that is `present`, or deprecated.

    A name that other APIs know, or that is nearer to such a name, means what it means there. One that speaks of the last
    frame is never a field of the first.
    """
    near = nearest(name, _fields(schema))
    found = near[0] if near and _is_free(near[0], schema, present) else None
    if sent:
        written = other_names.plain(name)
        foreign, score = _nearest_foreign(written)
        if score > max((likeness(written, other_names.plain(field)) for field in near[:1]), default=0.0):
            found = known_field(foreign, schema, present)
    return None if found is None or other_names.is_of_another_frame(name, found) else found


def stand_in(field: str, schema: Mapping[str, Any], present: Collection[str], *, sent: bool = True) -> str | None:
    """Return the undeclared name in an object that was probably meant to be `field`, which is missing; None if none was."""
    undeclared = [name for name in present if name not in schema.get("properties", ())]
    for meant in (known_field, misspelt_field):
        for name in islice(undeclared, _MOST_COMPARED):
            if meant(name, schema, present, sent=sent) == field:
                return name
    return None


def _fields(schema: Mapping[str, Any]) -> list[str]:
    return [name for name in schema.get("properties", ()) if name != "$schema"]


def _is_free(field: str, schema: Mapping[str, Any], present: Collection[str]) -> bool:
    declared = schema.get("properties", {})
    return field in declared and field not in present and not _is_deprecated(declared[field])


def _is_deprecated(member: Any) -> bool:
    return isinstance(member, Mapping) and member.get("deprecated") is True


def _nearest_foreign(written: str) -> tuple[str, float]:
    """Return the name of another API that is most similar to `written`, and how similar it is; 0 if none is similar enough."""
    close = difflib.get_close_matches(written[:_LONGEST], other_names.known_names(), n=1, cutoff=_TYPING_ERROR)
    return (close[0], likeness(written, close[0])) if close else ("", 0.0)
