"""Hypothesis strategies for requests, responses and timelines, built from the documents of a revision and nothing else."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from kling_contract.contract import Contract, Lifecycle, Step, Timeline, chosen
from kling_contract.mutations import Mutation, mutations
from kling_contract.schema_values.rules import is_valid, resolve
from kling_contract.strategies.drawing import Members, from_rules, matching, object_of

__all__ = ["error_bodies", "generations", "invalid_requests", "timelines", "valid_requests"]

_STATUS = "status"


def valid_requests(
    *, contract: Contract | None = None, revision: str | None = None, model: str | None = None
) -> SearchStrategy[dict[str, Any]]:
    """Draw payloads of a create of `model` (None: the contract's) that are valid to the letter of the contract.

    They have every optional member, enum value and bound at times, and deprecated members, but no undeclared ones. Text
    is of all of Unicode; images are links, or small PNGs as data URIs. They shrink to the required members.
    """
    return _valid(chosen(contract, revision, model))


def invalid_requests(
    *, contract: Contract | None = None, revision: str | None = None, model: str | None = None
) -> SearchStrategy[Mutation]:
    """Draw payloads of a create with exactly one violation: a `payload`, and the `pointer` and `rule` of the violation.

    Each is one of `mutations()`, applied to one of `valid_requests()`. They shrink to a violation that still fails, in a
    payload with no more members than it needs. To get each violation once, use `mutations()` itself.
    """
    return _invalid(chosen(contract, revision, model))


def generations(
    status: str | None = None,
    *,
    contract: Contract | None = None,
    revision: str | None = None,
    model: str | None = None,
) -> SearchStrategy[dict[str, Any]]:
    """Draw response bodies that show a generation in the given status, or (None) in any declared one.

    They are valid, and as observed: members of the response recorded for that status are present and not null, those of
    the responses for other statuses are absent or null. Raise ValueError for a status that is not declared.
    """
    known = chosen(contract, revision, model)
    statuses = known.lifecycle.statuses
    if status is not None and status not in statuses:
        raise ValueError(f"{status!r} is not a status of {known.revision}; use one of {', '.join(statuses)}")
    return st.one_of([_generations(known, name) for name in ([status] if status else statuses)])


def error_bodies(
    *, contract: Contract | None = None, revision: str | None = None, model: str | None = None
) -> SearchStrategy[Any]:
    """Draw bodies of 4xx and 5xx responses."""
    return matching(chosen(contract, revision, model).error_schema)


def timelines(
    *, contract: Contract | None = None, revision: str | None = None, model: str | None = None
) -> SearchStrategy[Timeline]:
    """Draw timelines along the transitions of the contract's lifecycle, from its first status to a final one."""
    return _timelines(chosen(contract, revision, model).lifecycle)


@functools.lru_cache(maxsize=32)
def _valid(contract: Contract) -> SearchStrategy[dict[str, Any]]:
    return matching(contract.request_schema)


@functools.lru_cache(maxsize=32)
def _invalid(contract: Contract) -> SearchStrategy[Mutation]:
    by_rule: dict[str, list[Mutation]] = {}
    for mutation in mutations(contract=contract):
        by_rule.setdefault(mutation.rule, []).append(mutation)
    # Each rule is equally likely: there are fifty times as many wrong types as values beyond a bound.
    one = st.one_of([st.sampled_from(group) for group in by_rule.values()])
    return st.builds(Mutation.onto, one, _valid(contract))


@functools.lru_cache(maxsize=128)
def _generations(contract: Contract, status: str) -> SearchStrategy[dict[str, Any]]:
    observed = contract.observed.answers
    shown = observed.get.get(status, observed.create)
    elsewhere = {name for shape in observed.get.values() for name in shape}
    schema = resolve(contract.generation_schema)
    required: Members = []
    optional: Members = []
    for name, rules in schema["properties"].items():
        if name == _STATUS:
            required.append((name, st.just(status)))
        elif name in shown:
            required.append((name, from_rules(rules).filter(lambda value: value is not None)))
        elif name in schema["required"]:
            required.append((name, from_rules(rules)))
        elif name not in elsewhere:
            optional.append((name, from_rules(rules)))
        elif is_valid(rules, None):
            optional.append((name, st.none()))
    return object_of(required, optional)


@st.composite
def _timelines(draw: DrawFn, lifecycle: Lifecycle) -> Timeline:
    steps = [Step(lifecycle.initial, 0.0)]
    while not lifecycle.is_final(steps[-1].status):
        here = steps[-1]
        following = [status for status in lifecycle.statuses if status in lifecycle.transitions[here.status]]
        seen = {step.status for step in steps}
        status = draw(st.sampled_from([name for name in following if name not in seen] or following))
        steps.append(Step(status, here.at + draw(_SECONDS)))
    return Timeline(tuple(steps))


_SECONDS = st.floats(0.001, 7200.0)
