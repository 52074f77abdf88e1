"""In which states can a generation be, which may follow which, and in which is it after so many seconds? Pure functions of data."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Self

__all__ = ["Lifecycle", "Step", "Timeline"]


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The graph of states, as the generation schema's `status` declares it.

    `transitions` names for each status those that may be seen after it; `outcomes` says of each final status whether it is
    a "success" or a "failure".
    """

    initial: str
    transitions: Mapping[str, frozenset[str]]
    outcomes: Mapping[str, str]

    @classmethod
    def from_schema(cls, status: Mapping[str, Any]) -> Self:
        """Read the graph from the schema of `status`: its x-initial, x-transitions and x-outcomes."""
        return cls(
            initial=status["x-initial"],
            transitions=MappingProxyType({name: frozenset(then) for name, then in status["x-transitions"].items()}),
            outcomes=MappingProxyType(dict(status["x-outcomes"])),
        )

    @property
    def statuses(self) -> tuple[str, ...]:
        """Every declared status, in the order of the document."""
        return tuple(self.transitions)

    def knows(self, status: object) -> bool:
        """Is this one of the declared statuses?"""
        return isinstance(status, str) and status in self.transitions

    def is_final(self, status: str) -> bool:
        """Is nothing expected after `status`? An undeclared status is not final: nobody knows what follows."""
        return status in self.transitions and not self.transitions[status]

    def succeeded(self, status: str) -> bool:
        """Did a generation in this status end well?"""
        return self.outcomes.get(status) == "success"

    def failed(self, status: str) -> bool:
        """Did a generation in this status end badly?"""
        return self.outcomes.get(status) == "failure"

    def allows(self, earlier: str, later: str) -> bool:
        """May a reader who saw `earlier` see `later` next? Staying where one is, is always allowed."""
        return earlier == later or later in self.transitions.get(earlier, frozenset())


@dataclass(frozen=True, slots=True)
class Step:
    """From `at` seconds after its creation on, a generation is in `status`."""

    status: str
    at: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Which status a generation is in, as a function of the seconds since its creation.

    Steps begin at 0 and are in order of time; ValueError says so when they are not. Statuses may be outside the contract:
    a timeline can describe a service that breaks it.
    """

    steps: tuple[Step, ...]
    _starts: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = tuple(step.at for step in self.steps)
        if not starts or starts[0] != 0:
            raise ValueError("a timeline needs a first step at 0 seconds")
        if any(not later > earlier for earlier, later in pairwise(starts)):
            raise ValueError(
                f"the steps of a timeline must be in order of time, each later than the one before: {starts}"
            )
        object.__setattr__(self, "_starts", starts)

    @classmethod
    def from_steps(cls, steps: Iterable[Mapping[str, Any]]) -> Self:
        """Read a timeline from `[{"status": …, "at": seconds}, …]`."""
        return cls(tuple(Step(str(step["status"]), float(step["at"])) for step in steps))

    def status_at(self, elapsed: float) -> str:
        """Return the status `elapsed` seconds after creation. Before 0 it is the first one."""
        return self.steps[max(0, bisect_right(self._starts, elapsed) - 1)].status

    @property
    def final(self) -> Step:
        """The last step: the status that stays, and when it begins."""
        return self.steps[-1]
