"""Which rules of a schema changed, and does any value prove it? Compares two schemas for those who send, or those who read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import jsonschema_rs

from kling_contract.contract.history import renames
from kling_contract.contract.observed import Tolerated
from kling_contract.schema_values.boundaries import LIMITS, Place, base_object, candidates, minimal_or_none
from kling_contract.schema_values.rules import types

__all__ = ["Difference", "Verdict", "differences"]

Verdict = Literal["breaking", "breaking if strict", "non-breaking"]
Schema = dict[str, Any]

_HARMLESS: tuple[Verdict, Any] = ("non-breaking", None)


@dataclass(frozen=True, slots=True)
class Difference:
    """One rule that is not what it was.

    `pointer` is where in the value ("*" is every item); `rule` the keyword, or "added", "removed", "renamed", "shape",
    "alternatives"; `was` and `now` what it says (None: nothing); `witness` a whole value that was fine and is refused now
    (None: none is needed, or none was found).
    """

    pointer: str
    rule: str
    was: Any
    now: Any
    verdict: Verdict
    witness: Any = None


def differences(
    old: Schema, new: Schema, *, reading: bool = False, tolerated: Sequence[Tolerated] = ()
) -> list[Difference]:
    """Compare two schemas for whoever sends such values, or (`reading`) for whoever reads them, in the order of the old one.

    Senders are broken by what the old schema allows and the new one refuses, readers by what the new one allows and the
    old one did not. The schemas are as `ApiDocument` hands them out; `tolerated` is as in `observed.json`.
    """
    return list(_Comparison(old, new, reading, tolerated).run())


class _Comparison:
    """`giver` is the schema of whoever makes a value, `taker` that of whoever must put up with it."""

    def __init__(self, old: Schema, new: Schema, reading: bool, tolerated: Sequence[Tolerated]) -> None:
        self._old, self._new, self._reading = old, new, reading
        giver, taker = self._directed(old, new)
        self._giver, self._taker = _compiled(giver), _compiled(taker)
        self._tolerated = {each.pointer: each.schema for each in tolerated}

    def run(self) -> Iterator[Difference]:
        return self._compare(self._old, self._new, Place("", lambda value: value))

    def _directed(self, old: Schema, new: Schema) -> tuple[Schema, Schema]:
        return (new, old) if self._reading else (old, new)

    def _compare(self, old: Schema, new: Schema, at: Place) -> Iterator[Difference]:
        if old == new:
            return
        if "anyOf" in old or "anyOf" in new:
            yield from self._compare_alternatives(_alternatives(old), _alternatives(new), at)
        elif self._reading and _free(old) and "properties" in new:
            # What readers took from it before was never declared, and nothing says that it is still there.
            yield Difference(at.pointer, "shape", None, list(new["properties"]), "breaking")
        else:
            yield from self._compare_rules(old, new, at)

    def _compare_alternatives(self, olds: list[Schema], news: list[Schema], at: Place) -> Iterator[Difference]:
        """Set each alternative against the nearest of its type, one to one; what is left over is gone, or added."""
        gone, added = [each for each in olds if each not in news], [each for each in news if each not in olds]
        between = {
            (i, j): list(self._compare(old, new, at))
            for i, old in enumerate(gone)
            for j, new in enumerate(added)
            if set(types(old)) & set(types(new))
        }
        left, right = set(range(len(gone))), set(range(len(added)))
        for i, j in sorted(between, key=lambda pair: _distance(between[pair])):
            if i in left and j in right:
                left.remove(i)
                right.remove(j)
                yield from between[i, j]
        if left or right:
            over = [added[j] for j in right] if self._reading else [gone[i] for i in left]
            weighed = [self._weigh(each, olds if self._reading else news, at) for each in over]
            verdict, witness = min(weighed, key=lambda each: get_args(Verdict).index(each[0]), default=_HARMLESS)
            was, now = _names(olds), _names(news)
            if was != now:
                yield Difference(at.pointer, "type", was, now, verdict, witness)
            else:
                yield Difference(at.pointer, "alternatives", len(olds), len(news), verdict, witness)

    def _weigh(self, given: Schema, takers: list[Schema], at: Place) -> tuple[Verdict, Any]:
        """Return what one more alternative does: does one of the takers allow all that it allows?"""
        near = [
            list(self._compare(*self._directed(given, taker), at))
            for taker in takers
            if set(types(given)) & set(types(taker))
        ]
        if not near:
            return self._escape([minimal_or_none(given)], at)
        broken = [each for each in min(near, key=_distance) if each.verdict != "non-breaking"]
        return (broken[0].verdict, broken[0].witness) if broken else _HARMLESS

    def _compare_rules(self, old: Schema, new: Schema, at: Place) -> Iterator[Difference]:
        shared = set(types(old)) & set(types(new))
        if {"integer", "number"} <= {*types(old), *types(new)} or "integer" in shared:
            shared |= {"number"}
        limits = [rule for kind, limits in LIMITS.items() if kind in shared for rule in limits]
        for rule in ("type", "enum", *limits):
            if not _same(rule, old.get(rule), new.get(rule)):
                verdict, witness = self._judge(rule, old, new, at)
                yield Difference(at.pointer, rule, old.get(rule), new.get(rule), verdict, witness)
        for rule in sorted(name for name in {**old, **new} if name.startswith("x-")):
            if old.get(rule) != new.get(rule):  # a rule that cannot be weighed: nothing shows that it is harmless
                yield Difference(at.pointer, rule.removeprefix("x-"), old.get(rule), new.get(rule), "breaking")
        for rule in ("default", "deprecated"):
            if old.get(rule) != new.get(rule):
                yield Difference(at.pointer, rule, old.get(rule), new.get(rule), "non-breaking")
        if "object" in shared:
            yield from self._compare_members(old, new, at)
        if "array" in shared:
            item = at.item(self._directed(old, new)[0])
            yield from self._compare(old.get("items", {}), new.get("items", {}), item)

    def _compare_members(self, old: Schema, new: Schema, at: Place) -> Iterator[Difference]:
        olds, news = old.get("properties", {}), new.get("properties", {})
        other_name = renames(olds, news)
        was_required = {other_name.get(name, name) for name in old.get("required", ())}
        is_required = set(new.get("required", ()))
        others = base_object(*self._directed(old, new))
        for name, member in olds.items():
            now = other_name.get(name, name)
            spelt = now if self._reading else name
            if now not in news:
                yield self._removed(member, new, at.member(name, name, others))
                continue
            here = at.member(now, spelt, others)
            if (now in was_required) != (now in is_required):
                yield self._required(spelt, now in is_required, old, new, at, here)
            if now == name:
                yield from self._compare(member, news[now], here)
            else:
                yield from self._renamed(name, now, member, news[now], at.member(name, spelt, others), here)
        for name, member in news.items():
            if name not in olds and name not in other_name.values():
                yield self._added(member, name in is_required, old, new, at, at.member(name, name, others))
        for name in sorted((was_required ^ is_required) - set(olds) - set(news)):
            yield self._required(name, name in is_required, old, new, at, at.member(name, name, others))

    def _renamed(
        self, name: str, now: str, old: Schema, new: Schema, before: Place, after: Place
    ) -> Iterator[Difference]:
        witness = None if self._reading else self._witness(old, before)
        yield Difference(before.pointer, "renamed", name, now, "breaking", witness)
        for each in differences(
            old, new, reading=self._reading
        ):  # nobody sends these before having learnt the new name
            yield replace(each, pointer=after.pointer + each.pointer, witness=None)

    def _removed(self, member: Schema, new: Schema, here: Place) -> Difference:
        if self._reading:
            return Difference(here.pointer, "removed", member, None, "breaking")
        closed = new.get("additionalProperties") is False
        verdict: Verdict = "breaking" if closed else "breaking if strict"
        return Difference(here.pointer, "removed", member, None, verdict, self._witness(member, here))

    def _added(self, member: Schema, required: bool, old: Schema, new: Schema, at: Place, here: Place) -> Difference:
        verdict: Verdict = "non-breaking"
        witness = None
        if self._reading and old.get("additionalProperties") is False:
            verdict, witness = "breaking", self._witness(member, here)
        elif required and not self._reading:
            verdict, witness = self._escape([base_object(old, new)], at)
        return Difference(here.pointer, "added, required" if required else "added", None, member, verdict, witness)

    def _required(self, name: str, required: bool, old: Schema, new: Schema, at: Place, here: Place) -> Difference:
        verdict: Verdict = "non-breaking"
        witness = None
        if required is not self._reading:
            others = {key: value for key, value in base_object(*self._directed(old, new)).items() if key != name}
            verdict, witness = self._escape([others], at)
        return Difference(here.pointer, "required", not required, required, verdict, witness)

    def _judge(self, rule: str, old: Schema, new: Schema, at: Place) -> tuple[Verdict, Any]:
        """Return what one rule does by itself: is there a value that the giver's schema allows, but not with the taker's rule?"""
        giver, taker = self._directed(old, new)
        if rule not in taker:
            return _HARMLESS
        alone = {**giver, rule: taker[rule]}
        verdict, witness = self._escape(candidates(giver, taker), at, giver, alone)
        if rule == "pattern" and "enum" not in giver and verdict == "non-breaking":
            return "breaking", None  # that no example comes to mind proves nothing about a pattern
        if verdict == "breaking" and not self._reading and at.pointer in self._tolerated:
            taken = self._tolerated[at.pointer]
            lenient, shown = self._escape(taken.get("enum", [minimal_or_none(taken)]), at, giver, alone)
            if lenient == "breaking":
                return "breaking if strict", shown
        return verdict, witness

    def _escape(
        self, values: Iterable[Any], at: Place, giver: Schema | None = None, taker: Schema | None = None
    ) -> tuple[Verdict, Any]:
        """Look for a value that fits the giver's schema and not the taker's: here, when given, and as a whole."""
        verdict: Verdict = "non-breaking"
        here, there = _compiled(giver or {}), _compiled(taker or {})
        for value in values:
            if giver is not None and (not here.is_valid(value) or there.is_valid(value)):
                continue
            whole = at.whole(value)
            if not self._giver.is_valid(whole):
                verdict = "breaking"  # it breaks the rule here, though nothing could be built around it
            elif not self._taker.is_valid(whole):
                return "breaking", whole
        return verdict, None

    def _witness(self, member: Schema, here: Place) -> Any:
        whole = here.whole(minimal_or_none(member))
        return whole if self._giver.is_valid(whole) else None


def _compiled(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def _alternatives(schema: Schema) -> list[Schema]:
    """Return the alternatives of a schema, each of one type where it names several."""
    found: list[Schema] = []
    for each in schema.get("anyOf", [schema]):
        named = each.get("type")
        found.extend({**each, "type": kind} for kind in named) if isinstance(named, list) else found.append(each)
    return found


def _distance(found: list[Difference]) -> tuple[int, int]:
    return sum(each.verdict != "non-breaking" for each in found), len(found)


def _names(alternatives: list[Schema]) -> list[str]:
    names = ["any" if not {"type", "enum"} & set(each) else " or ".join(types(each)) for each in alternatives]
    return list(dict.fromkeys(names))


def _free(schema: Schema) -> bool:
    """Does a schema allow an object of which it says nothing?"""
    return "object" in types(schema) and not {"properties", "enum", "additionalProperties"} & set(schema)


def _same(rule: str, was: Any, now: Any) -> bool:
    if rule in ("type", "enum") and None not in (was, now):
        one, other = ([each] if isinstance(each, str) else each for each in (was, now))
        return all(value in other for value in one) and all(value in one for value in other)
    if rule == "additionalProperties":
        return (True if was in (None, {}) else was) == (True if now in (None, {}) else now)
    return bool(was == now)
