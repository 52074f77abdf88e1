"""Pairing of operations: which operation of one document is which of another."""

from __future__ import annotations

import difflib

from kling_contract.drift.openapi import ApiDocument, Route

__all__ = ["pair_operations"]

_SIMILAR = 0.6


def pair_operations(old: ApiDocument, new: ApiDocument) -> dict[Route, Route]:
    """Return which operation of `new` each of `old` is: the one with its id, its method and path or alias, or a similar path."""
    routes, free = list(old.routes()), list(new.routes())
    pairs: dict[Route, Route] = {}

    def same_id(one: Route, other: Route) -> float:
        return float(bool(old.operation_id(*one)) and old.operation_id(*one) == new.operation_id(*other))

    def same_path(one: Route, other: Route) -> float:
        return float(one[0] == other[0] and bool(set(old.paths(one[1])) & set(new.paths(other[1]))))

    def similar_path(one: Route, other: Route) -> float:
        return difflib.SequenceMatcher(None, one[1], other[1]).ratio() if one[0] == other[0] else 0.0

    for likeness in (same_id, same_path, similar_path):
        for one in [route for route in routes if route not in pairs]:
            scores = {other: likeness(one, other) for other in free}
            best = max(scores, key=lambda other: scores[other], default=None)
            if best is not None and scores[best] >= _SIMILAR:
                pairs[one] = best
                free.remove(best)
    return pairs
