"""The provider's own dummy model: its payload says how the generation goes. What its members do is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fake_server.service.generation import FakeGeneration
from kling_contract.contract import Contract, Step, Timeline

__all__ = ["refused_with", "steered"]

_TEST = "test"
_MOST_POLLS = 10_000
_MOST_SECONDS = 365 * 86_400.0


def refused_with(payload: Mapping[str, Any]) -> int | None:
    """Return the HTTP status with which the create is to be refused; None if it is to be accepted."""
    status = _number(payload, "submitErrorStatus")
    return int(status) if status is not None and 400 <= status < 600 else None


def steered(generation: FakeGeneration, payload: Mapping[str, Any], contract: Contract) -> FakeGeneration:
    """Return a generation with the timeline that its payload asks for.

    `runningPolls` is how many polls show that it goes on, `delay` for how many seconds it goes on, of which the polls come
    first; with `errorStatus` it ends in failure. What is absent is as for any generation.
    """
    begun, *_, completed = contract.observed.timeline.steps
    failed = _number(payload, "errorStatus") is not None
    end = contract.observed.failure.final.status if failed else completed.status
    running = next(step.status for step in contract.observed.timeline.steps[1:])
    if (polls := _number(payload, "runningPolls")) is not None:
        statuses = [*[running] * int(min(max(polls, 0), _MOST_POLLS)), end]
        steps = tuple(Step(status, float(number)) for number, status in enumerate(statuses))
        return replace(generation, timeline=Timeline(steps), polls=0)
    if (delay := _number(payload, "delay")) is not None:
        at = min(max(delay, 0.0), _MOST_SECONDS)
        return replace(
            generation, timeline=Timeline((replace(begun, at=0.0), Step(end, at)) if at else (Step(end, 0.0),))
        )
    if failed:
        return replace(generation, timeline=contract.observed.failure)
    return generation


def _number(payload: Mapping[str, Any], name: str) -> float | None:
    test = payload.get(_TEST)
    value = test.get(name) if isinstance(test, Mapping) else None
    return (
        float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 else None
    )
