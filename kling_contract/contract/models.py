"""The entries of `models.json`: aliases, life span, price and processing time of a model, whatever the revision."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kling_contract.contract.documents import SCHEMAS, read_json

__all__ = ["aliases_of", "facts_about", "known_models"]


def aliases_of(model: str) -> list[str]:
    """Return the other ids of a model, in whatever revision."""
    return [alias["id"] for alias in facts_about(model).get("aliases", ())]


def facts_about(model: str) -> Mapping[str, Any]:
    """Return the entry of a model in `models.json`; empty for one that it does not have."""
    entry: Mapping[str, Any] = known_models().get(model, {})
    return entry


@functools.cache
def known_models() -> Mapping[str, Any]:
    """Return all entries of `models.json` by the id of the model. Treat them as read-only."""
    entries: Mapping[str, Any] = read_json(SCHEMAS / "models.json")
    return entries
