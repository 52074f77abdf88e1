"""Scenarios as data: how generations go, what responses look like, and what goes wrong."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from fake_server.scenario.faults import Fault
from fake_server.scenario.rules import problems_in
from kling_contract.contract import Contract, Timeline
from kling_contract.contract.documents import FIXTURES, read_json
from kling_contract.errors import DocumentError

__all__ = ["Scenario", "scenarios"]

_FOLDER = FIXTURES / "scenarios"


@dataclass(frozen=True, slots=True)
class Scenario:
    """How a fake behaves.

    `purpose` says in one line what happens in it. `timeline` is a Timeline, or the name of one in the revision's
    `observed.json` ("timeline", "failure"). `answers` are bodies of successful responses that replace the revision's own, in
    the form of `observed.json`: {"create": body, "get": {status: body}}. If several `faults` cover a call, the first one hits
    it. `withdrawn` has the ids of models that the service does not have any more ("*": every one).
    """

    name: str = "unnamed"
    purpose: str = ""
    timeline: Timeline | str = "timeline"
    answers: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    withdrawn: tuple[str, ...] = ()

    @classmethod
    def load(cls, scenario: Scenario | Mapping[str, Any] | Path | str, *, folder: Path | None = None) -> Scenario:
        """Return a scenario, given as one, as data, as a JSON file, or as the name of a shipped one.

        A text that ends in .json is the path of a file; a relative path starts at `folder` (None: the working directory).
        Raise DocumentError, which says what is wrong with the data or the file, or names the nearest shipped scenario.
        """
        if isinstance(scenario, Scenario):
            return scenario
        if isinstance(scenario, Mapping):
            return cls.from_data(scenario)
        if isinstance(scenario, str) and not scenario.endswith(".json"):
            return cls.shipped(scenario)
        path = Path(folder or "", scenario)
        try:
            return cls.from_data(read_json(path))
        except FileNotFoundError as missing:
            raise DocumentError(f"there is no file {path}{_advice(path.stem)}") from missing
        except (OSError, ValueError, DocumentError) as error:
            raise DocumentError(f"{path} cannot be used: {error}") from error

    @classmethod
    def shipped(cls, name: str) -> Self:
        """Return the shipped scenario of this name. Raise DocumentError, which names the nearest, if there is none."""
        if name not in scenarios():
            raise DocumentError(f"there is no scenario {name!r}{_advice(name)}")
        return cls.from_data(read_json(_FOLDER / f"{name}.json"))

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read a scenario from its JSON form (`schemas/scenario.schema.json`). Raise DocumentError if it is invalid."""
        if problems := problems_in(data, "scenario"):
            raise DocumentError(f"invalid scenario: {problems}")
        read = {name: value for name, value in data.items() if name != "$schema"}
        read["withdrawn"] = tuple(data.get("withdrawn", ()))
        read["faults"] = tuple(Fault.from_data(fault) for fault in data.get("faults", ()))
        if not isinstance(data.get("timeline", ""), str):
            try:
                read["timeline"] = Timeline.from_steps(data["timeline"])
            except ValueError as error:
                raise DocumentError(f"invalid scenario: timeline: {error}") from error
        return cls(**read)

    def data(self) -> dict[str, Any]:
        """Return the JSON form."""
        steps = [] if isinstance(self.timeline, str) else [asdict(step) for step in self.timeline.steps]
        return {
            "name": self.name,
            "purpose": self.purpose,
            "timeline": steps or self.timeline,
            "answers": dict(self.answers),
            "faults": [fault.data() for fault in self.faults],
            "withdrawn": list(self.withdrawn),
        }

    def timeline_under(self, contract: Contract) -> Timeline:
        """Return the timeline of a generation under `contract`. Raise DocumentError if that has none of this name."""
        if isinstance(self.timeline, Timeline):
            return self.timeline
        known = contract.observed.timelines
        if self.timeline not in known:
            raise DocumentError(f"there is no timeline {self.timeline!r}; choose one of {', '.join(known)}")
        return known[self.timeline]


def _advice(name: str) -> str:
    near = difflib.get_close_matches(name[:100].lower(), scenarios(), n=1)
    meant = f" (did you mean the scenario {near[0]}?)" if near else ""
    return f"{meant}; choose one of {', '.join(scenarios())}"


def scenarios() -> tuple[str, ...]:
    """Return the names of the shipped scenarios, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))
