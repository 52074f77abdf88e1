"""The graph of statuses, and timelines through it."""

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
    """The graph of statuses, as `status` in the schema of a generation declares it.

    `transitions` maps each status to those that may be seen after it; `outcomes` maps each final status to "success" or
    "failure".
    """

    initial: str
    transitions: Mapping[str, frozenset[str]]
    outcomes: Mapping[str, str]

    @classmethod
    def from_schema(cls, status: Mapping[str, Any]) -> Self:
        """Read the graph from x-initial, x-transitions and x-outcomes in the schema of `status`."""
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
        """Return whether this is one of the declared statuses."""
        return isinstance(status, str) and status in self.transitions

    def is_final(self, status: str) -> bool:
        """Return whether no other status follows. An undeclared status is not final, since nobody knows what follows it."""
        return status in self.transitions and not self.transitions[status]

    def succeeded(self, status: str) -> bool:
        """Return whether a generation in this status has ended in success."""
        return self.outcomes.get(status) == "success"

    def failed(self, status: str) -> bool:
        """Return whether a generation in this status has ended in failure."""
        return self.outcomes.get(status) == "failure"

    def allows(self, earlier: str, later: str) -> bool:
        """Return whether `later` may be seen after `earlier`. The same status may always be seen again."""
        return earlier == later or later in self.transitions.get(earlier, frozenset())


@dataclass(frozen=True, slots=True)
class Step:
    """A status, and when it begins: `at` seconds after the creation of the generation."""

    status: str
    at: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The statuses of a generation, by the seconds since its creation.

    Raise ValueError unless the first step is at 0 and each is later than the one before. The statuses may be undeclared: a
    timeline can describe a service that breaks the contract.
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
        """Return the status `elapsed` seconds after creation. Before 0 it is that of the first step."""
        return self.steps[max(0, bisect_right(self._starts, elapsed) - 1)].status

    @property
    def final(self) -> Step:
        """The last step: the status that stays, and when it begins."""
        return self.steps[-1]
