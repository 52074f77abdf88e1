"""What may be sent, and what may be answered? Hypothesis strategies, built from the documents of a revision and nothing else."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from kling_contract.contract import Contract, chosen
from kling_contract.formats import png_data_uri
from kling_contract.lifecycle import Lifecycle, Step, Timeline
from kling_contract.mutations import Mutation, mutations
from kling_contract.schema_walk import Rules, bounds, fits, kinds, options, plain

__all__ = ["error_bodies", "generations", "invalid_requests", "matching", "scenarios", "timelines", "valid_requests"]

_STATUS = "status"
_Named = list[tuple[str, SearchStrategy[Any]]]


def valid_requests(*, contract: Contract | None = None, revision: str | None = None) -> SearchStrategy[dict[str, Any]]:
    """Draw payloads of a create that keep the contract to the letter.

    Every optional member, enum value and bound comes up, and deprecated members, but none that is undeclared. Text is of
    all of Unicode; images are links, and small PNGs as data URIs. They shrink to the required members.
    """
    return _valid(chosen(contract, revision))


def invalid_requests(*, contract: Contract | None = None, revision: str | None = None) -> SearchStrategy[Mutation]:
    """Draw payloads of a create with exactly one violation, which they name: `payload`, and its `pointer` and `rule`.

    Each is one of `mutations()` done to one of `valid_requests()`. They shrink to a violation that still fails, in a payload
    with no more members than it needs. To meet each of them once, use `mutations()` itself.
    """
    return _invalid(chosen(contract, revision))


def generations(
    status: str | None = None, *, contract: Contract | None = None, revision: str | None = None
) -> SearchStrategy[dict[str, Any]]:
    """Draw answers about a generation in the given status, or (None) in any declared one.

    They keep the schema and what was observed: members of the answer printed for that status are there and not null,
    those of other statuses' answers absent or null. Raise ValueError for a status that is not declared.
    """
    known = chosen(contract, revision)
    statuses = known.lifecycle.statuses
    if status is not None and status not in statuses:
        raise ValueError(f"{status!r} is no status of {known.revision}; choose one of {', '.join(statuses)}")
    return st.one_of([_generations(known, each) for each in ([status] if status else statuses)])


def error_bodies(*, contract: Contract | None = None, revision: str | None = None) -> SearchStrategy[Any]:
    """Draw bodies of 4xx and 5xx answers."""
    return matching(chosen(contract, revision).error_schema)


def timelines(*, contract: Contract | None = None, revision: str | None = None) -> SearchStrategy[Timeline]:
    """Draw timelines along the edges of the contract's graph, from its first status to a final one, of up to some hours."""
    return _timelines(chosen(contract, revision).lifecycle)


def scenarios(*, contract: Contract | None = None, revision: str | None = None) -> SearchStrategy[dict[str, Any]]:
    """Draw scenarios in their JSON form: an observed or a drawn timeline, and up to three faults. Answers are the revision's."""
    from kling_contract.scenario_strategies import scenarios_of

    return scenarios_of(chosen(contract, revision))


def matching(schema: Any) -> SearchStrategy[Any]:
    """Draw what a JSON Schema describes. Raise DocumentError, with the place, for one that cannot be drawn from."""
    return _drawn(plain(schema))


@functools.lru_cache(maxsize=32)
def _valid(contract: Contract) -> SearchStrategy[dict[str, Any]]:
    return matching(contract.request_schema)


@functools.lru_cache(maxsize=32)
def _invalid(contract: Contract) -> SearchStrategy[Mutation]:
    by_rule: dict[str, list[Mutation]] = {}
    for mutation in mutations(contract=contract):
        by_rule.setdefault(mutation.rule, []).append(mutation)
    # Rules have equal chances: there are fifty times as many ways to send a wrong type as to pass a bound.
    one = st.one_of([st.sampled_from(group) for group in by_rule.values()])
    return st.builds(Mutation.onto, one, _valid(contract))


@functools.lru_cache(maxsize=128)
def _generations(contract: Contract, status: str) -> SearchStrategy[dict[str, Any]]:
    answers = contract.observed["answers"]
    shown = answers["get"].get(status, answers["create"])
    elsewhere = {name for shape in answers["get"].values() for name in shape}
    schema = plain(contract.generation_schema)
    always: _Named = []
    maybe: _Named = []
    for name, rules in schema["properties"].items():
        if name == _STATUS:
            always.append((name, st.just(status)))
        elif name in shown:
            always.append((name, _drawn(rules).filter(lambda value: value is not None)))
        elif name in schema["required"]:
            always.append((name, _drawn(rules)))
        elif name not in elsewhere:
            maybe.append((name, _drawn(rules)))
        elif fits(rules, None):
            maybe.append((name, st.none()))
    return _members(always, maybe)


@st.composite
def _timelines(draw: DrawFn, lifecycle: Lifecycle) -> Timeline:
    steps = [Step(lifecycle.initial, 0.0)]
    while not lifecycle.is_final(steps[-1].status):
        here = steps[-1]
        next_ones = [status for status in lifecycle.statuses if status in lifecycle.transitions[here.status]]
        seen = {step.status for step in steps}
        status = draw(st.sampled_from([each for each in next_ones if each not in seen] or next_ones))
        steps.append(Step(status, here.at + draw(_SECONDS)))
    return Timeline(tuple(steps))


def _drawn(rules: Rules) -> SearchStrategy[Any]:
    if not rules:
        return _ANYTHING
    if "anyOf" in rules:
        return st.one_of([_drawn(each) for each in rules["anyOf"]])
    if (listed := options(rules)) is not None:
        return st.sampled_from(listed)
    return st.one_of([_OF_KIND[kind](rules) for kind in kinds(rules)])


def _integers(rules: Rules) -> SearchStrategy[Any]:
    low, high = bounds(rules, "integer")
    ends = [end for end in (low, high) if end is not None]
    return st.integers(low, high) | st.sampled_from(ends) if ends else st.integers()


def _numbers(rules: Rules) -> SearchStrategy[Any]:
    low, high = bounds(rules, "number")
    drawn: list[SearchStrategy[float]] = [st.floats(low, high, allow_nan=False, allow_infinity=False)]
    least, most = None if low is None else math.ceil(low), None if high is None else math.floor(high)
    if least is None or most is None or least <= most:
        drawn.insert(0, st.integers(least, most))
    if ends := [end for end in (low, high) if end is not None]:
        drawn.append(st.sampled_from(ends))
    return st.one_of(drawn)


def _texts(rules: Rules) -> SearchStrategy[str]:
    least, most = rules.get("minLength", 0), rules.get("maxLength")
    if "format" in rules:
        in_format = _IN_FORMAT[rules["format"]]
        return in_format.filter(functools.partial(fits, rules)) if least or most is not None else in_format
    drawn = st.text(min_size=least, max_size=most)
    if most:
        drawn |= st.text(min_size=1, max_size=min(3, most)).map(lambda few: "".join(islice(cycle(few), most)))
    return drawn


def _arrays(rules: Rules) -> SearchStrategy[list[Any]]:
    """Draw short arrays, item by item, and long ones that repeat a few items, since each item drawn costs time."""
    item = _drawn(rules.get("items", {}))
    least = rules.get("minItems", 0)
    most = rules.get("maxItems", least + 20)
    short = st.lists(item, min_size=least, max_size=min(least + 3, most))
    if most <= least + 3:
        return short
    few = st.lists(item, min_size=1, max_size=2)
    return short | few.map(lambda items: [copy.deepcopy(each) for each in islice(cycle(items), most)])


def _objects(rules: Rules) -> SearchStrategy[dict[str, Any]]:
    if "properties" not in rules and "required" not in rules:
        return st.dictionaries(st.text(), _ANYTHING, max_size=3)
    members, required = rules.get("properties", {}), rules.get("required", ())
    return _members(
        [(name, _drawn(members.get(name, {}))) for name in required],
        [(name, _drawn(member)) for name, member in members.items() if name not in required],
    )


@st.composite
def _members(draw: DrawFn, always: _Named, maybe: _Named) -> dict[str, Any]:
    """Draw an object in document order: faster than `fixed_dictionaries`, which shuffles, and better to shrink."""
    members = {name: draw(member) for name, member in always}
    for name, member in maybe:
        if draw(_FLAGS):
            members[name] = draw(member)
    return members


_ORIGINS = (
    "https://example.com/",
    "http://example.org",
    "https://images.example.net:8443/",
    "https://someone@xn--ktzchen-5wa.example/",
    "http://192.0.2.1/?",
    "https://[2001:db8::1]/#",
    "HTTPS://EXAMPLE.COM/",
)
_LINKS = st.builds(
    lambda origin, text: origin + ("/" if origin[-1].isalpha() else "") + quote(text, safe="/?:@!$&'()*+,;=-._~"),
    st.sampled_from(_ORIGINS),
    st.text(),
)
_IMAGES = st.builds(
    lambda size, colour: png_data_uri(size[0], size[1], (colour >> 16, colour >> 8 & 255, colour & 255)),
    st.sampled_from([(1, 1), (1, 3), (4, 1), (4, 4)]),
    st.integers(0, 0xFFFFFF),
)
_TIMES = st.builds(
    lambda moment, zone: moment.isoformat() + zone,
    st.datetimes(),
    st.sampled_from(["Z", "+00:00", "-11:30", "+14:00"]),
)
_IN_FORMAT: dict[str, SearchStrategy[str]] = {"uri": _LINKS | _IMAGES, "date-time": _TIMES}
_FLAGS = st.booleans()
_SECONDS = st.floats(0.001, 7200.0)

_OF_KIND: dict[str, Callable[[Rules], SearchStrategy[Any]]] = {
    "null": lambda rules: st.none(),
    "boolean": lambda rules: st.booleans(),
    "integer": _integers,
    "number": _numbers,
    "string": _texts,
    "array": _arrays,
    "object": _objects,
}
_ANYTHING = st.recursive(
    st.none() | st.booleans() | _numbers({}) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
