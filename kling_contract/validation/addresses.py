"""Hints for a request to a path that does not exist, and the search for ids that were never filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kling_contract.contract import Contract, revisions
from kling_contract.display import nearest

__all__ = ["better_path", "is_unfilled"]

_UNFILLED = re.compile(
    r"undefined|null|none|nil|nan|\[object \w+\]|\$?\{\{?.*\}?\}|<.*>|%7b.*%7d|:[a-z_]+", flags=re.IGNORECASE
)


def better_path(contract: Contract, method: str, path: str) -> str:
    """Say where a request should have been sent instead of to `path`, which is not a path of the contract."""
    known = list(_paths(contract))
    trimmed = re.sub(r"/+", "/", path).rstrip("/")
    if trimmed in known and path.startswith(trimmed):
        return f"leave out the slash at the end: {trimmed}"
    if trimmed in known:
        return f"did you mean {trimmed}?"
    poll = _poll(contract)
    if poll and any(path.startswith(f"{prefix}/") for prefix in known):
        return f"poll with {poll}, not with the id in the path"
    elsewhere = _revision_with(contract, trimmed)
    if elsewhere:
        return elsewhere
    if poll and method.upper() in ("GET", "HEAD"):
        return f"poll with {poll}"
    return f"did you mean {(nearest(path, known) or known)[0]}?"


def is_unfilled(value: object) -> bool:
    """Return whether a text stands where an id should be, because a variable or a placeholder was never filled in."""
    return isinstance(value, str) and _UNFILLED.fullmatch(value.strip()) is not None


def _paths(contract: Contract) -> Iterator[str]:
    for operation in (contract.create, contract.get):
        yield from operation.paths


def _poll(contract: Contract) -> str | None:
    """Return how a generation is asked for: path and query; None if that needs no query."""
    names = contract.get.query["required"]
    return f"{contract.get.path}?{names[0]}=<id>" if names else None


def _revision_with(contract: Contract, path: str) -> str | None:
    """Say in which revisions a path, or one that is a prefix of it, is one; None if it is one in none."""
    having = [
        revision
        for revision in revisions()
        if any(path == known or path.startswith(f"{known}/") for known in _paths(Contract.load(revision)))
    ]
    later = [revision for revision in having if revision > contract.revision.id]
    earlier = [revision for revision in having if revision < contract.revision.id]
    if later:
        return f"it is a path since {later[0]}; to use it, choose that revision: --revision {later[0]}"
    if earlier:
        return f"it was a path until {earlier[-1]}; to use it, choose that revision: --revision {earlier[-1]}"
    return None
