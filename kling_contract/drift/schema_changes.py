"""Comparison of two schemas: which rules changed, and for each break a value that proves it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import jsonschema_rs

from kling_contract.contract.history import renames
from kling_contract.contract.observed import Tolerated
from kling_contract.drift.difference import BREAKAGES, Breakage, Difference
from kling_contract.drift.normalise import Schema
from kling_contract.schema_values.boundaries import LIMITS, Place, base_object, candidates, minimal_or_none
from kling_contract.schema_values.rules import types

__all__ = ["differences"]

_NON_BREAKING: tuple[Breakage, Any] = ("non-breaking", None)


def differences(
    old: Schema, new: Schema, *, in_response: bool = False, tolerated: Sequence[Tolerated] = ()
) -> list[Difference]:
    """Compare two schemas of a request, or (`in_response`) of a response, in the order of the old one.

    A request breaks when the old schema allows it and the new one does not; a program that reads responses breaks when the
    new schema allows what the old one did not. The schemas are in the form of `normalise`; `tolerated` is as in
    `observed.json`.
    """
    return list(_Comparison(old, new, in_response, tolerated).run())


class _Comparison:
    """The producer writes a value, the consumer has to accept it: with responses, the new schema is the producer's."""

    def __init__(self, old: Schema, new: Schema, in_response: bool, tolerated: Sequence[Tolerated]) -> None:
        self._old, self._new, self._in_response = old, new, in_response
        producer, consumer = self._roles(old, new)
        self._producer, self._consumer = _compiled(producer), _compiled(consumer)
        self._tolerated = {deviation.pointer: deviation for deviation in tolerated}

    def run(self) -> Iterator[Difference]:
        return self._compare(self._old, self._new, Place("", lambda value: value))

    def _roles(self, old: Schema, new: Schema) -> tuple[Schema, Schema]:
        """Return the producer's schema and the consumer's."""
        return (new, old) if self._in_response else (old, new)

    def _compare(self, old: Schema, new: Schema, at: Place) -> Iterator[Difference]:
        if old == new:
            return
        if "anyOf" in old or "anyOf" in new:
            yield from self._compare_alternatives(_alternatives(old), _alternatives(new), at)
        elif self._in_response and _is_open_object(old) and "properties" in new:
            # Programs could only read members that were never declared, and nothing says that those are still there.
            yield Difference(at.pointer, "shape", None, list(new["properties"]), "breaking")
        else:
            yield from self._compare_rules(old, new, at)

    def _compare_alternatives(self, olds: list[Schema], news: list[Schema], at: Place) -> Iterator[Difference]:
        """Pair each alternative with the most similar one of its type; those without a partner were removed or added."""
        removed, added = [old for old in olds if old not in news], [new for new in news if new not in olds]
        between = {
            (i, j): list(self._compare(old, new, at))
            for i, old in enumerate(removed)
            for j, new in enumerate(added)
            if set(types(old)) & set(types(new))
        }
        left, right = set(range(len(removed))), set(range(len(added)))
        for i, j in sorted(between, key=lambda pair: _distance(between[pair])):
            if i in left and j in right:
                left.remove(i)
                right.remove(j)
                yield from between[i, j]
        if left or right:
            unpaired = [added[j] for j in right] if self._in_response else [removed[i] for i in left]
            consumers = olds if self._in_response else news
            compared = [self._compare_alternative(producer, consumers, at) for producer in unpaired]
            breakage, counterexample = min(compared, key=lambda pair: BREAKAGES.index(pair[0]), default=_NON_BREAKING)
            was, now = _names(olds), _names(news)
            changed: tuple[str, Any, Any] = ("type", was, now) if was != now else ("alternatives", len(olds), len(news))
            yield Difference(at.pointer, *changed, breakage, counterexample)

    def _compare_alternative(self, producer: Schema, consumers: list[Schema], at: Place) -> tuple[Breakage, Any]:
        """Return what an unpaired alternative breaks: nothing, if one of the consumer's allows all that it allows."""
        similar = [
            list(self._compare(*self._roles(producer, consumer), at))
            for consumer in consumers
            if set(types(producer)) & set(types(consumer))
        ]
        if not similar:
            return self._find_counterexample([minimal_or_none(producer)], at)
        breaks = [found for found in min(similar, key=_distance) if found.breakage != "non-breaking"]
        return (breaks[0].breakage, breaks[0].counterexample) if breaks else _NON_BREAKING

    def _compare_rules(self, old: Schema, new: Schema, at: Place) -> Iterator[Difference]:
        shared = set(types(old)) & set(types(new))
        if {"integer", "number"} <= {*types(old), *types(new)} or "integer" in shared:
            shared |= {"number"}
        limits = [rule for type_, limits in LIMITS.items() if type_ in shared for rule in limits]
        for rule in ("type", "enum", *limits):
            if not _same(rule, old.get(rule), new.get(rule)):
                breakage, counterexample = self._compare_rule(rule, old, new, at)
                yield Difference(at.pointer, rule, old.get(rule), new.get(rule), breakage, counterexample)
        for rule in sorted(name for name in {**old, **new} if name.startswith("x-")):
            if old.get(rule) != new.get(rule):  # its effect cannot be determined, so nothing shows that it is harmless
                yield Difference(at.pointer, rule.removeprefix("x-"), old.get(rule), new.get(rule), "breaking")
        for rule in ("default", "deprecated"):
            if old.get(rule) != new.get(rule):
                yield Difference(at.pointer, rule, old.get(rule), new.get(rule), "non-breaking")
        if "object" in shared:
            yield from self._compare_members(old, new, at)
        if "array" in shared:
            item = at.item(self._roles(old, new)[0])
            yield from self._compare(old.get("items", {}), new.get("items", {}), item)

    def _compare_rule(self, rule: str, old: Schema, new: Schema, at: Place) -> tuple[Breakage, Any]:
        """Return what one rule breaks: does the producer's schema allow a value that the consumer's rule does not?"""
        producer, consumer = self._roles(old, new)
        if rule not in consumer:
            return _NON_BREAKING
        with_rule = {**producer, rule: consumer[rule]}
        breakage, counterexample = self._find_counterexample(candidates(producer, consumer), at, producer, with_rule)
        if rule == "pattern" and "enum" not in producer and breakage == "non-breaking":
            return "breaking", None  # no counterexample found proves nothing about a pattern
        if breakage == "breaking" and not self._in_response and at.pointer in self._tolerated:
            return self._only_strict(self._tolerated[at.pointer], at, producer, consumer, with_rule)
        return breakage, counterexample

    def _only_strict(
        self, tolerated: Tolerated, at: Place, producer: Schema, consumer: Schema, with_rule: Schema
    ) -> tuple[Breakage, Any]:
        """Return what a rule breaks where the service tolerates some values: a request with any other one breaks everywhere."""
        values = list(candidates(producer, consumer))
        values += [str(value) for value in candidates(consumer, producer) if isinstance(value, (int, float))]
        accepted = [value for value in values if _is_tolerated(value, tolerated, consumer)]
        refused = [value for value in values if value not in accepted]
        breakage, counterexample = self._find_counterexample(refused, at, producer, with_rule)
        if breakage == "breaking":
            return breakage, counterexample
        return "breaking if strict", self._find_counterexample(accepted, at, producer, with_rule)[1]

    def _compare_members(self, old: Schema, new: Schema, at: Place) -> Iterator[Difference]:
        olds, news = old.get("properties", {}), new.get("properties", {})
        new_name = renames(olds, news)
        was_required = {new_name.get(name, name) for name in old.get("required", ())}
        is_required = set(new.get("required", ()))
        others = base_object(*self._roles(old, new))
        for name, member in olds.items():
            now = new_name.get(name, name)
            written = now if self._in_response else name
            if now not in news:
                yield self._removed(member, new, at.member(name, name, others))
                continue
            here = at.member(now, written, others)
            if (now in was_required) != (now in is_required):
                yield self._required(written, now in is_required, old, new, at, here)
            if now == name:
                yield from self._compare(member, news[now], here)
            else:
                yield from self._renamed(name, now, member, news[now], at.member(name, written, others), here)
        for name, member in news.items():
            if name not in olds and name not in new_name.values():
                yield self._added(member, name in is_required, old, new, at, at.member(name, name, others))
        for name in sorted((was_required ^ is_required) - set(olds) - set(news)):
            yield self._required(name, name in is_required, old, new, at, at.member(name, name, others))

    def _renamed(
        self, name: str, now: str, old: Schema, new: Schema, before: Place, after: Place
    ) -> Iterator[Difference]:
        counterexample = None if self._in_response else self._value_with(old, before)
        yield Difference(before.pointer, "renamed", name, now, "breaking", counterexample)
        # Only those who know the new name meet the other changes, and no request that was valid before has it.
        for found in differences(old, new, in_response=self._in_response):
            yield replace(found, pointer=after.pointer + found.pointer, counterexample=None)

    def _removed(self, member: Schema, new: Schema, here: Place) -> Difference:
        if self._in_response:
            return Difference(here.pointer, "removed", member, None, "breaking")
        breakage: Breakage = "breaking" if new.get("additionalProperties") is False else "breaking if strict"
        return Difference(here.pointer, "removed", member, None, breakage, self._value_with(member, here))

    def _added(self, member: Schema, required: bool, old: Schema, new: Schema, at: Place, here: Place) -> Difference:
        breakage, counterexample = _NON_BREAKING
        if self._in_response and old.get("additionalProperties") is False:
            breakage, counterexample = "breaking", self._value_with(member, here)
        elif required and not self._in_response:
            breakage, counterexample = self._find_counterexample([base_object(old, new)], at)
        rule = "added, required" if required else "added"
        return Difference(here.pointer, rule, None, member, breakage, counterexample)

    def _required(self, name: str, required: bool, old: Schema, new: Schema, at: Place, here: Place) -> Difference:
        breakage, counterexample = _NON_BREAKING
        if required is not self._in_response:
            others = {key: value for key, value in base_object(*self._roles(old, new)).items() if key != name}
            breakage, counterexample = self._find_counterexample([others], at)
        return Difference(here.pointer, "required", not required, required, breakage, counterexample)

    def _find_counterexample(
        self, values: Iterable[Any], at: Place, producer: Schema | None = None, consumer: Schema | None = None
    ) -> tuple[Breakage, Any]:
        """Search values for one that the producer's schema allows and the consumer's does not, as part of a whole value.

        With `producer` and `consumer`, which are of this place alone, the value itself must prove the same.
        """
        breakage: Breakage = "non-breaking"
        here, there = _compiled(producer or {}), _compiled(consumer or {})
        for value in values:
            if producer is not None and (not here.is_valid(value) or there.is_valid(value)):
                continue
            whole = at.embed(value)
            if not self._producer.is_valid(whole):
                breakage = "breaking"  # it breaks the rule here, though no valid whole value could be built around it
            elif not self._consumer.is_valid(whole):
                return "breaking", whole
        return breakage, None

    def _value_with(self, member: Schema, here: Place) -> Any:
        """Return a whole value that has this member, and that the producer's schema allows; None if none was found."""
        whole = here.embed(minimal_or_none(member))
        return whole if self._producer.is_valid(whole) else None


def _compiled(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def _is_tolerated(value: Any, tolerated: Tolerated, schema: Schema) -> bool:
    """Return whether a value that breaks the schema of its place is tolerated: one read as a number if the number is valid."""
    if not _compiled(tolerated.schema).is_valid(value):
        return False
    if tolerated.reads_as is None:
        return True
    number = tolerated.read(value)
    return number is not None and _compiled(schema).is_valid(number)


def _alternatives(schema: Schema) -> list[Schema]:
    """Return the alternatives of a schema, each of one type: one that names several types becomes several."""
    found: list[Schema] = []
    for alternative in schema.get("anyOf", [schema]):
        named = alternative.get("type")
        found += [{**alternative, "type": type_} for type_ in named] if isinstance(named, list) else [alternative]
    return found


def _distance(found: list[Difference]) -> tuple[int, int]:
    return sum(difference.breakage != "non-breaking" for difference in found), len(found)


def _names(alternatives: list[Schema]) -> list[str]:
    names = ["any" if not {"type", "enum"} & set(schema) else " or ".join(types(schema)) for schema in alternatives]
    return list(dict.fromkeys(names))


def _is_open_object(schema: Schema) -> bool:
    """Return whether a schema allows an object, and says nothing about its members."""
    return "object" in types(schema) and not {"properties", "enum", "additionalProperties"} & set(schema)


def _same(rule: str, was: Any, now: Any) -> bool:
    if rule in ("type", "enum") and None not in (was, now):
        one, other = ([value] if isinstance(value, str) else value for value in (was, now))
        return all(value in other for value in one) and all(value in one for value in other)
    if rule == "additionalProperties":
        return (True if was in (None, {}) else was) == (True if now in (None, {}) else now)
    return bool(was == now)
