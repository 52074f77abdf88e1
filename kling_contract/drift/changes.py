"""Changes between two revisions, or any two OpenAPI documents, and what each of them breaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from kling_contract.contract import Contract
from kling_contract.drift.difference import BREAKAGES, Breakage, Difference
from kling_contract.drift.openapi import ApiDocument, Body, Endpoint, Route
from kling_contract.drift.pairing import pair_operations
from kling_contract.drift.schema_changes import differences

__all__ = ["OBSERVED_ONLY", "Change", "Part", "breaks", "diff"]

OBSERVED_ONLY = " (observed only, never published)"
"""How the description of a change ends that breaks nothing, since nobody promised what changed."""

Part = Literal["endpoint", "query", "request", "response", "refusal"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed.

    `operations` are the operations it affects, `part` which part of them, `pointer` where in that part ("" is the whole,
    "*" every item); `kind` the rule, or what happened; `was` and `now` what the documents say (None: nothing).
    `requests` is what the change does to requests that were valid, `responses` what it does to programs that read
    responses: None when it does not concern them. `description` is the change in words. `counterexample` is a request that
    was valid before and is refused now, or that has a field which was renamed or removed.
    """

    operations: tuple[str, ...]
    part: Part
    pointer: str
    kind: str
    was: Any
    now: Any
    requests: Breakage | None
    responses: Breakage | None
    description: str
    counterexample: Any = None

    @property
    def where(self) -> str:
        """The operations and the part, in words."""
        return f"{', '.join(self.operations)} {self.part}"

    @property
    def worst(self) -> Breakage | None:
        """The worse of `requests` and `responses`; None when both are None."""
        return next((breakage for breakage in BREAKAGES if breakage in (self.requests, self.responses)), None)


def diff(old: Contract | ApiDocument, new: Contract | ApiDocument, *, model: str | None = None) -> list[Change]:
    """Return what changed from `old` to `new`, operation by operation, in the order of the old document.

    Documents are compared as they describe `model`. None means the model of a contract, if one of the two is a contract, and
    otherwise all models at once; `diff_family` compares model by model. A document that names other models, but not that of the
    contract, is compared as it is.

    Operations are paired by their id, else by method and path or alias, else by the most similar path. A revision describes
    only its own operations: what else a document has is not a change. A change that two operations share is listed once.
    Raise DocumentError for a document that cannot be compared, and UnknownModel if one of the two has no such `model`.
    """
    before, after = (_as_document(state, model, other) for state, other in ((old, new), (new, old)))
    merged: list[Change] = []
    for change in _changes(before, after):
        for position, same in enumerate(merged):
            if replace(same, operations=change.operations) == change:
                merged[position] = replace(same, operations=(*same.operations, *change.operations))
                break
        else:
            merged.append(change)
    return merged


def breaks(changes: Iterable[Change]) -> bool:
    """Return whether any of the changes is breaking on every server, strict or not."""
    return any(change.worst == "breaking" for change in changes)


def _as_document(state: Contract | ApiDocument, model: str | None, other: Contract | ApiDocument) -> ApiDocument:
    """Return what is compared with `other`: the document for `model`, or if that is None for the model of a contract."""
    if isinstance(state, Contract):
        return ApiDocument.of(state if model is None else state.for_model(model))
    if model is None and isinstance(other, Contract) and other.model in state.models:
        model = other.model
    return state if model is None else state.for_model(model)


def _changes(old: ApiDocument, new: ApiDocument) -> Iterator[Change]:
    pairs = pair_operations(old, new)
    for route in old.routes():
        if route in pairs:
            yield from _compare(old.endpoint(*route), new.endpoint(*pairs[route]), old, new)
        elif not new.is_revision:
            name = _name(old, route)
            yield _of_endpoint(name, "removed", name, None, "breaking", "the operation was removed")
    for route in new.routes():
        if route not in pairs.values() and not old.is_revision:
            name = _name(new, route)
            yield _of_endpoint(name, "added", None, name, "non-breaking", "the operation was added")


def _name(document: ApiDocument, route: Route) -> str:
    return document.operation_id(*route) or f"{route[0].upper()} {route[1]}"


def _compare(old: Endpoint, new: Endpoint, before: ApiDocument, after: ApiDocument) -> Iterator[Change]:
    name = str(old)
    yield from _compare_endpoints(name, old, new, before, after)
    for found in differences(old.query, new.query):
        yield _of_request(name, "query", found)
    yield from _compare_requests(name, old.request, new.request, after)
    yield from _compare_successes(name, old.successes, new.successes)
    yield from _compare_responses(name, "response", old.response, new.response)
    yield from _compare_refusals(name, old.refusals, new.refusals)
    yield from _compare_responses(name, "refusal", old.refusal, new.refusal)


def _compare_endpoints(
    name: str, old: Endpoint, new: Endpoint, before: ApiDocument, after: ApiDocument
) -> Iterator[Change]:
    if before.servers and after.servers and before.servers[0] not in after.servers:
        was, now = before.servers[0], after.servers[0]
        yield _of_endpoint(name, "server", was, now, "breaking", f"the API moved from {was} to {now}")
    if old.method != new.method:
        description = f"the method changed from {old.method} to {new.method}"
        yield _of_endpoint(name, "method", old.method, new.method, "breaking", description)
    # Aliases are known from observation: a document of somebody else that does not name them does not remove them.
    known = old.paths if after.is_revision or not before.is_revision else old.paths[:1]
    removed = [path for path in known if path not in new.paths]
    if removed or old.paths[0] != new.paths[0]:
        fate = f"{', '.join(removed)} was removed" if removed else f"{old.paths[0]} is still served"
        description = f"the path is {new.paths[0]}; {fate}"
        breakage: Breakage = "breaking" if removed else "non-breaking"
        yield _of_endpoint(name, "path", old.paths[0], new.paths[0], breakage, description)
    if old.secured != new.secured:
        description = f"a key is {'now' if new.secured else 'no longer'} required"
        breakage = "breaking" if new.secured else "non-breaking"
        yield _of_endpoint(name, "security", old.secured, new.secured, breakage, description)


def _compare_successes(name: str, old: tuple[int, ...], new: tuple[int, ...]) -> Iterator[Change]:
    if old != new:
        was, now = (" or ".join(map(str, statuses)) or "nothing" for statuses in (old, new))
        breakage: Breakage = "breaking" if set(new) - set(old) else "non-breaking"
        description = f"the status of success changed from {was} to {now}"
        yield Change((name,), "response", "", "status", list(old), list(new), None, breakage, description)


def _compare_refusals(name: str, old: tuple[int, ...], new: tuple[int, ...]) -> Iterator[Change]:
    if old != new:
        edits = [
            f"{', '.join(map(str, sorted(statuses)))} {verb}"
            for verb, statuses in (("added", set(new) - set(old)), ("removed", set(old) - set(new)))
            if statuses
        ]
        description = f"the documented refusals changed: {'; '.join(edits)}"
        yield Change((name,), "refusal", "", "status", list(old), list(new), None, "non-breaking", description)


def _compare_requests(name: str, old: Body | None, new: Body | None, after: ApiDocument) -> Iterator[Change]:
    if old is not None and new is not None:
        yield from _compare_media_types(name, "request", old, new)
        for found in differences(old.schema or {}, new.schema or {}, tolerated=after.tolerated):
            yield _of_request(name, "request", found)
        return
    breakage: Breakage
    if new is not None:
        breakage, description = "breaking", "a body is now required"
    elif old is not None:
        breakage, description = "breaking if strict", "a body is no longer documented"
    else:
        return
    was, now = (None if body is None else list(body.media_types) for body in (old, new))
    yield Change((name,), "request", "", "body", was, now, breakage, None, description)


def _compare_responses(name: str, part: Part, old: Body | None, new: Body | None) -> Iterator[Change]:
    """Compare the bodies of responses. A shape that was only observed promises nothing, so a change of it breaks nothing."""
    was, now = (body is not None and body.schema is not None and body.published for body in (old, new))
    if was != now:
        description = f"the body of the {part} is {'now' if now else 'no longer'} published"
        breakage: Breakage = "non-breaking" if now else "breaking"
        yield Change((name,), part, "", "published", was, now, None, breakage, description)
    elif old is not None and new is not None:
        changes = [*_compare_media_types(name, part, old, new)]
        if old.schema is not None and new.schema is not None:
            changes += [
                _of_response(name, part, found) for found in differences(old.schema, new.schema, in_response=True)
            ]
        for change in changes:
            yield change if was else _only_observed(change)


def _compare_media_types(name: str, part: Part, old: Body, new: Body) -> Iterator[Change]:
    was, now = list(old.media_types), list(new.media_types)
    if was == now:
        return
    producer, consumer = (was, now) if part == "request" else (now, was)
    breakage: Breakage = "breaking" if set(producer) - set(consumer) else "non-breaking"
    names = [" or ".join(types) or "nothing" for types in (was, now)]
    description = f"the media type of the {part} changed from {names[0]} to {names[1]}"
    requests, responses = (breakage, None) if part == "request" else (None, breakage)
    yield Change((name,), part, "", "media type", was, now, requests, responses, description)


def _only_observed(change: Change) -> Change:
    return replace(change, responses=None, description=change.description + OBSERVED_ONLY)


def _of_endpoint(name: str, kind: str, was: Any, now: Any, requests: Breakage, description: str) -> Change:
    return Change((name,), "endpoint", "", kind, was, now, requests, None, description)


def _of_request(name: str, part: Part, found: Difference) -> Change:
    return Change(
        (name,),
        part,
        found.pointer,
        found.rule,
        found.was,
        found.now,
        found.breakage,
        None,
        found.description,
        found.counterexample,
    )


def _of_response(name: str, part: Part, found: Difference) -> Change:
    return Change(
        (name,), part, found.pointer, found.rule, found.was, found.now, None, found.breakage, found.description
    )
