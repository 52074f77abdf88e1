"""What may be sent, and what may be answered? Hypothesis strategies, built from the documents of a revision and nothing else."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from kling_contract.contract import Contract, Lifecycle, Step, Timeline, chosen
from kling_contract.mutations import Mutation, mutations
from kling_contract.schema_values.rules import is_valid, resolve
from kling_contract.strategies.drawing import _drawn, _members, _Named, matching

__all__ = ["error_bodies", "generations", "invalid_requests", "timelines", "valid_requests"]

_STATUS = "status"


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
    answers = contract.observed.answers
    shown = answers.get.get(status, answers.create)
    elsewhere = {name for shape in answers.get.values() for name in shape}
    schema = resolve(contract.generation_schema)
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
        elif is_valid(rules, None):
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


_SECONDS = st.floats(0.001, 7200.0)
