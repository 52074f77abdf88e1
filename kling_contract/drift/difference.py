"""One difference between two schemas, and what it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from kling_contract.display import show

__all__ = ["BREAKAGES", "Breakage", "Difference"]

Breakage = Literal["breaking", "breaking if strict", "non-breaking"]
"""What a change does. "breaking if strict" breaks only on a server that refuses unknown fields or converts no types."""

BREAKAGES: tuple[Breakage, ...] = get_args(Breakage)
"""All kinds of breakage, the worst first."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One rule that changed.

    `pointer` is where in the value ("*" is every item); `rule` the keyword, or "added", "removed", "renamed", "shape",
    "alternatives"; `was` and `now` what it says (None: nothing); `counterexample` a whole value that was valid and is not
    any more (None: none is needed, or none was found).
    """

    pointer: str
    rule: str
    was: Any
    now: Any
    breakage: Breakage
    counterexample: Any = None

    @property
    def description(self) -> str:
        """The change in words."""
        place = self.pointer or "the whole value"
        match self.rule:
            case "added":
                return f"{place} was added"
            case "added, required":
                return f"{place} was added, and is required"
            case "removed":
                return f"{place} was removed"
            case "renamed":
                return f"{place} was renamed to {self.now}"
            case "required":
                return f"{place} is now {'required' if self.now else 'optional'}"
            case "shape":
                return f"{place} could be anything, and now has {', '.join(self.now)}"
            case "deprecated":
                return f"{place} is {'now' if self.now else 'no longer'} deprecated"
            case rule if self.was is None:
                return f"{place}: {rule} {show(self.now)} was added"
            case rule if self.now is None:
                return f"{place}: {rule} {show(self.was)} was removed"
            case rule:
                return f"{place}: {rule} changed from {show(self.was)} to {show(self.now)}"
