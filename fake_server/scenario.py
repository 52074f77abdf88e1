"""How does a fake behave? Scenarios as data: a name, what it is for, and how a generation goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kling_contract.contract import Contract
from kling_contract.documents import FIXTURES, read_json
from kling_contract.errors import DocumentError
from kling_contract.lifecycle import Timeline

__all__ = ["Scenario", "scenarios"]

_FOLDER = FIXTURES / "scenarios"


@dataclass(frozen=True, slots=True)
class Scenario:
    """How a fake behaves: `timeline` is a Timeline, or the name of one that the revision has observed ("timeline", "failure").

    `purpose` says in one line what the scenario is good for.
    """

    name: str = "happy"
    purpose: str = ""
    timeline: Timeline | str = "timeline"

    @classmethod
    def load(cls, scenario: Scenario | Mapping[str, Any] | Path | str) -> Scenario:
        """Return a scenario from itself, its data, the JSON file that holds it, or the name of a shipped one.

        Raise DocumentError, which lists the shipped ones, when there is none of that name or the file cannot be used.
        """
        if isinstance(scenario, Scenario):
            return scenario
        if isinstance(scenario, Mapping):
            return cls.from_data(scenario)
        path = scenario if isinstance(scenario, Path) else _FOLDER / f"{scenario}.json"
        if isinstance(scenario, str) and scenario not in scenarios():
            raise DocumentError(f"there is no scenario {scenario!r}; choose one of {', '.join(scenarios())}")
        try:
            return cls.from_data(read_json(path))
        except (OSError, ValueError, TypeError, KeyError) as unfit:
            raise DocumentError(f"{path} holds no scenario: {unfit}") from unfit

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read a scenario from its JSON form: {"name", "purpose", "timeline": name or list of {"status", "at"}}."""
        if not isinstance(data, Mapping):
            raise TypeError("it is not a JSON object")
        timeline = data.get("timeline", "timeline")
        return cls(
            name=data["name"],
            purpose=data.get("purpose", ""),
            timeline=timeline if isinstance(timeline, str) else Timeline.from_steps(timeline),
        )

    def timeline_under(self, contract: Contract) -> Timeline:
        """Return how a generation goes under `contract`."""
        if isinstance(self.timeline, Timeline):
            return self.timeline
        return Timeline.from_steps(contract.observed[self.timeline]["steps"])


def scenarios() -> tuple[str, ...]:
    """Return the names of the scenarios that are shipped."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))
