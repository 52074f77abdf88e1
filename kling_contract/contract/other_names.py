"""Names that other APIs use for our fields, as `other-names.json` lists them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kling_contract.contract.documents import SCHEMAS, read_json

__all__ = ["Meaning", "is_of_another_frame", "known_names", "meaning_of", "plain"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of some names of other APIs.

    `fields` are our fields for it, the best one first; `advice` is what to say if none of them can be proposed (None:
    nothing); `words` are the words in a name that show that it means this.
    """

    fields: tuple[str, ...]
    advice: str | None
    words: frozenset[str]


def meaning_of(name: str) -> Meaning | None:
    """Return what a name means in other APIs, however it is written; None if it is not known."""
    return known_names().get(plain(name))


def plain(name: str) -> str:
    """Return a name in lower case, without dashes and underscores, so that "imageUrl" and "image_url" are the same."""
    return name.lower().replace("-", "").replace("_", "")


def is_of_another_frame(name: str, field: str) -> bool:
    """Return whether a word in `name` says that it is another frame than `field`, such as "end_picture" for image_url."""
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    frames = {meaning for meaning in known_names().values() if meaning.words}
    named = {frame for frame in frames if frame.words & words}
    own = {frame for frame in frames if field in frame.fields}
    return bool(named and own) and not named & own


@functools.cache
def known_names() -> Mapping[str, Meaning]:
    """Return the meaning of each known name, by the name as `plain` returns it."""
    by_name: dict[str, Meaning] = {}
    for entry in read_json(SCHEMAS / "other-names.json")["meanings"]:
        fields, words = tuple(entry.get("fields", ())), frozenset(entry.get("words", ()))
        by_name |= dict.fromkeys(map(plain, entry["names"]), Meaning(fields, entry.get("advice"), words))
    return by_name
