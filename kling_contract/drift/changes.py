"""What changed between two states of the API, and whom does it break? Compares two revisions, or any two OpenAPI documents."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from kling_contract.contract import Contract
from kling_contract.display import show
from kling_contract.drift.openapi import ApiDocument, Body, Endpoint, load_document
from kling_contract.drift.schema_changes import Difference, Verdict, differences

__all__ = ["VERDICTS", "Change", "Part", "Verdict", "breaks", "diff", "load_document"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""The verdicts, the worst first."""

Part = Literal["endpoint", "query", "request", "answer", "refusal"]

_NEAR = 0.6


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed.

    `operations` are the operations it is about, `part` which part of them, `pointer` where in that part ("" is the whole,
    "*" every item); `kind` the rule, or what happened; `was` and `now` what the documents say (None: nothing). `senders` and
    `readers` are the verdicts for those who send requests and those who read answers: None when it is not their concern,
    "breaking if strict" when only a server that refuses unknown fields, or does not coerce, makes it so. `sentence` says it
    all to a person. `witness` is a request that was fine before: it is refused now, or, renamed or removed fields being let
    through, loses its meaning.
    """

    operations: tuple[str, ...]
    part: Part
    pointer: str
    kind: str
    was: Any
    now: Any
    senders: Verdict | None
    readers: Verdict | None
    sentence: str
    witness: Any = None

    @property
    def where(self) -> str:
        """The operations and the part, in words."""
        return f"{', '.join(self.operations)} {self.part}"

    @property
    def worst(self) -> Verdict | None:
        """The graver of the two verdicts; None when there is none."""
        return next((each for each in VERDICTS if each in (self.senders, self.readers)), None)


def diff(old: Contract | ApiDocument, new: Contract | ApiDocument) -> list[Change]:
    """Return what changed from `old` to `new`, operation by operation, in the order of the old document.

    Operations are set against each other by their id, else by method and path or alias, else by the nearest path. A revision
    describes only its own operations: what else a document has is no change. Changes that two operations share are said once.
    Raise DocumentError for a document that cannot be compared.
    """
    before, after = (each if isinstance(each, ApiDocument) else ApiDocument.of(each) for each in (old, new))
    found: list[Change] = []
    for change in _changes(before, after):
        alike = [(i, each) for i, each in enumerate(found) if replace(each, operations=change.operations) == change]
        if alike:
            i, each = alike[0]
            found[i] = replace(each, operations=(*each.operations, *change.operations))
        else:
            found.append(change)
    return found


def breaks(changes: Iterable[Change]) -> bool:
    """Does any of these changes break somebody, whatever the server puts up with?"""
    return any(change.worst == "breaking" for change in changes)


def _changes(old: ApiDocument, new: ApiDocument) -> Iterator[Change]:
    pairs = _paired(old, new)
    for route in old.routes():
        if route in pairs:
            yield from _compare(old.endpoint(*route), new.endpoint(*pairs[route]), old, new)
        elif not new.is_revision:
            name = _name(old, route)
            yield _change(name, "endpoint", "removed", name, None, "breaking", None, "the operation is gone")
    for route in new.routes():
        if route not in pairs.values() and not old.is_revision:
            name = _name(new, route)
            yield _change(name, "endpoint", "added", None, name, "non-breaking", None, "the operation is new")


def _paired(old: ApiDocument, new: ApiDocument) -> dict[tuple[str, str], tuple[str, str]]:
    """Return which operation of `new`, by method and path, is which of `old`."""
    left, free = list(old.routes()), list(new.routes())
    pairs: dict[tuple[str, str], tuple[str, str]] = {}

    def same_id(one: tuple[str, str], other: tuple[str, str]) -> float:
        return float(bool(old.operation_id(*one)) and old.operation_id(*one) == new.operation_id(*other))

    def same_path(one: tuple[str, str], other: tuple[str, str]) -> float:
        return float(one[0] == other[0] and bool(set(old.paths(one[1])) & set(new.paths(other[1]))))

    def near_path(one: tuple[str, str], other: tuple[str, str]) -> float:
        return difflib.SequenceMatcher(None, one[1], other[1]).ratio() if one[0] == other[0] else 0.0

    for likeness in (same_id, same_path, near_path):
        for one in [each for each in left if each not in pairs]:
            scores = {other: likeness(one, other) for other in free}
            best = max(scores, key=lambda other: scores[other], default=None)
            if best is not None and scores[best] >= _NEAR:
                pairs[one] = best
                free.remove(best)
    return pairs


def _name(document: ApiDocument, route: tuple[str, str]) -> str:
    return document.operation_id(*route) or f"{route[0].upper()} {route[1]}"


def _compare(old: Endpoint, new: Endpoint, before: ApiDocument, after: ApiDocument) -> Iterator[Change]:
    name = str(old)
    yield from _compare_endpoints(name, old, new, before, after)
    for each in differences(old.query, new.query):
        yield _sent(name, "query", each)
    yield from _compare_requests(name, old.request, new.request, after)
    yield from _compare_answers(name, "answer", old.answer, new.answer)
    if old.refusals != new.refusals:
        added, gone = set(new.refusals) - set(old.refusals), set(old.refusals) - set(new.refusals)
        told = [
            f"{verb} {', '.join(map(str, sorted(codes)))}"
            for verb, codes in (("added", added), ("gone", gone))
            if codes
        ]
        sentence = f"the documented refusals are others: {'; '.join(told)}"
        yield _change(name, "refusal", "status", list(old.refusals), list(new.refusals), None, "non-breaking", sentence)
    yield from _compare_answers(name, "refusal", old.refusal, new.refusal)


def _compare_endpoints(
    name: str, old: Endpoint, new: Endpoint, before: ApiDocument, after: ApiDocument
) -> Iterator[Change]:
    if before.servers and after.servers and before.servers[0] not in after.servers:
        was, now = before.servers[0], after.servers[0]
        yield _change(name, "endpoint", "server", was, now, "breaking", None, f"the API moves from {was} to {now}")
    if old.method != new.method:
        yield _change(
            name, "endpoint", "method", old.method, new.method, "breaking", None, f"{old.method} becomes {new.method}"
        )
    # Aliases are what we know besides: that somebody else's document does not name them says nothing.
    known = old.paths if after.is_revision or not before.is_revision else old.paths[:1]
    gone = [path for path in known if path not in new.paths]
    if gone or old.paths[0] != new.paths[0]:
        fate = f"{', '.join(gone)} is gone" if gone else f"{old.paths[0]} is still served"
        sentence = f"the path is {new.paths[0]}; {fate}"
        verdict: Verdict = "breaking" if gone else "non-breaking"
        yield _change(name, "endpoint", "path", old.paths[0], new.paths[0], verdict, None, sentence)
    if old.secured != new.secured:
        sentence = "a key is needed now" if new.secured else "the document does not ask for a key any more"
        verdict = "breaking" if new.secured else "non-breaking"
        yield _change(name, "endpoint", "security", old.secured, new.secured, verdict, None, sentence)
    if old.successes != new.successes:
        grown = set(new.successes) - set(old.successes)
        was, now = (" or ".join(map(str, each.successes)) or "nothing" for each in (old, new))
        sentence = f"success is {now}, was {was}"
        verdict = "breaking" if grown else "non-breaking"
        yield _change(name, "answer", "status", list(old.successes), list(new.successes), None, verdict, sentence)


def _compare_requests(name: str, old: Body | None, new: Body | None, after: ApiDocument) -> Iterator[Change]:
    if old is None or new is None:
        if new is not None:
            yield _change(
                name, "request", "body", None, list(new.media_types), "breaking", None, "a body is needed now"
            )
        if old is not None:
            sentence = "no body is described any more"
            yield _change(name, "request", "body", list(old.media_types), None, "breaking if strict", None, sentence)
        return
    yield from _compare_media_types(name, "request", old, new)
    for each in differences(old.schema or {}, new.schema or {}, tolerated=after.tolerated):
        yield _sent(name, "request", each)


def _compare_answers(name: str, part: Part, old: Body | None, new: Body | None) -> Iterator[Change]:
    """Compare what is answered. What was only ever seen promises nothing, so a change of it has no verdict."""
    was, now = (each is not None and each.schema is not None and each.published for each in (old, new))
    if was != now:
        sentence = f"the body of the {part} is {'published now' if now else 'not published any more'}"
        verdict: Verdict = "non-breaking" if now else "breaking"
        yield _change(name, part, "published", was, now, None, verdict, sentence)
    elif old is not None and new is not None:
        for change in _compare_media_types(name, part, old, new):
            yield change if was else _unpromised(change)
        if old.schema is None or new.schema is None:
            return
        for each in differences(old.schema, new.schema, reading=True):
            change = _read(name, part, each)
            yield change if was else _unpromised(change)


def _compare_media_types(name: str, part: Part, old: Body, new: Body) -> Iterator[Change]:
    was, now = list(old.media_types), list(new.media_types)
    if was == now:
        return
    sending = part == "request"
    escaped = [each for each in (was if sending else now) if each not in (now if sending else was)]
    verdict: Verdict = "breaking" if escaped else "non-breaking"
    sentence = f"the media type of the {part} is {' or '.join(now) or 'not said'}, was {' or '.join(was) or 'not said'}"
    senders, readers = (verdict, None) if sending else (None, verdict)
    yield _change(name, part, "media type", was, now, senders, readers, sentence)


def _unpromised(change: Change) -> Change:
    return replace(change, readers=None, sentence=f"{change.sentence}. Seen, never published: nobody promised either")


def _change(
    name: str,
    part: Part,
    kind: str,
    was: Any,
    now: Any,
    senders: Verdict | None,
    readers: Verdict | None,
    sentence: str,
) -> Change:
    return Change((name,), part, "", kind, was, now, senders, readers, sentence)


def _sent(name: str, part: Part, found: Difference) -> Change:
    return Change(
        (name,),
        part,
        found.pointer,
        found.rule,
        found.was,
        found.now,
        found.verdict,
        None,
        _sentence(found),
        found.witness,
    )


def _read(name: str, part: Part, found: Difference) -> Change:
    return Change((name,), part, found.pointer, found.rule, found.was, found.now, None, found.verdict, _sentence(found))


def _sentence(found: Difference) -> str:
    place = found.pointer or "the whole"
    match found.rule:
        case "added":
            return f"{place} is new"
        case "added, required":
            return f"{place} is new, and required"
        case "removed":
            return f"{place} is gone"
        case "renamed":
            return f"{place} is called {found.now}"
        case "required":
            return f"{place} is {'required' if found.now else 'optional'} now"
        case "shape":
            return f"{place} could be anything, and has {', '.join(found.now)} now"
        case "deprecated":
            return f"{place} is {'deprecated' if found.now else 'not deprecated any more'}"
        case rule if found.was is None:
            return f"{place}: {rule} {show(found.now)} is new"
        case rule if found.now is None:
            return f"{place}: {rule} {show(found.was)} is gone"
        case rule:
            return f"{place}: {rule} {show(found.was)} becomes {show(found.now)}"
