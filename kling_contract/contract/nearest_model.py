"""The model that a wrong model id was probably meant to be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

__all__ = ["misfit", "nearest_models"]

_SYNONYMS = {"std": "standard", "i2v": "image", "t2v": "text", "image2video": "image", "text2video": "text"}
_SAY_NOTHING = frozenset({"kling", "klingai", "kwaivgi", "fal", "ai", "video", "to", "generate"})
_MOST = 2  # ids that are proposed


def nearest_models(
    asked: str,
    known: Iterable[str],
    *,
    fields: Collection[str] = (),
    schema_of: Callable[[str], Mapping[str, Any]] | None = None,
    aliases_of: Callable[[str], Collection[str]] | None = None,
) -> list[str]:
    """Return the ids among `known` that `asked` was probably meant to be, the best one first; at most two, perhaps none.

    Ids are compared by their words, such as v1.6, pro and image, in whatever order and spelling. Of ids that are equally
    near, those are taken whose payload, by `schema_of`, fits the `fields` of the one at hand best (None: all of them).
    `aliases_of` returns the other ids of a model, of which only one is returned (None: there are none).
    """
    words = _words(asked)
    scores = {model: _score(words, _words(model)) for model in known}
    best = max(scores.values(), default=0.0)
    if best == 0.0:
        return []
    nearest = [model for model, score in scores.items() if score == best]
    misfits = {model: misfit(fields, schema_of(model)) if schema_of else 0 for model in nearest}
    fitting = [model for model in nearest if misfits[model] == min(misfits.values())]
    chosen: list[str] = []
    for model in sorted(fitting, key=lambda model: -_likeness(asked, model)):
        if not aliases_of or not set(aliases_of(model)) & set(chosen):
            chosen.append(model)
    return chosen[:_MOST]


def misfit(fields: Collection[str], schema: Mapping[str, Any]) -> int:
    """Return how many of the fields the schema does not declare, and how many it requires that are not among them."""
    return len(set(fields) - set(schema["properties"])) + len(set(schema.get("required", ())) - set(fields))


def _likeness(asked: str, model: str) -> float:
    return difflib.SequenceMatcher(None, asked[:100].lower(), model).ratio()


def _words(model: str) -> frozenset[str]:
    """Return the words of an id that tell models apart: "kling-v1-6-std" has v1.6 and standard."""
    text = re.sub(r"(?<=v\d)[-_](?=\d(?!\d))", ".", model[:100].lower())
    found = (_SYNONYMS.get(word, word) for word in re.findall(r"[a-z0-9.]+", text))
    return frozenset(found) - _SAY_NOTHING


def _score(asked: frozenset[str], model: frozenset[str]) -> float:
    """Return how much of both the words have in common, 0 to 1; a word with a typing error counts for half."""
    common = asked & model
    close = sum(1 for word in asked - model if difflib.get_close_matches(word, model - common, n=1, cutoff=0.75))
    together = len(asked | model) - close
    return (len(common) + close / 2) / together if together else 0.0
