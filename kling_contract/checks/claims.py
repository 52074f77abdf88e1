"""The register of claims: `@claim` turns a function into a promise of the contract that a server can be checked for.

A claim is entered in one place only, by its decorator. `plan.py` puts the modules with claims in order.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from kling_contract.checks.target import Target

__all__ = ["Claim", "Need", "claim", "claims_of"]

Need = Literal["spent", "price", "play", "hypothesis", "schemathesis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One promise of the contract. Call it with a target: it raises ContractBroken, or a group of them, if that breaks it.

    `place` is where the documents say so, as in `place_of`. `free` claims can be checked without creating anything;
    `on_paid` ones can be checked on one generation that somebody pays for. `needs` is a member that the target must have,
    "price" (`spent`, and a price that is known), or a package that must be installed (None: nothing).
    `hint` says what to do about a finding ("": nothing special).
    """

    name: str
    description: str
    place: str
    verify: Callable[[Target], None]
    free: bool = False
    on_paid: bool = False
    needs: Need | None = None
    hint: str = ""

    def __call__(self, target: Target) -> None:
        self.verify(target)

    def why_skipped(self, target: Target) -> str | None:
        """Return why this cannot be checked on a target; None if it can."""
        match self.needs:
            case "spent" | "price" if target.spent is None:
                return "it is not known what the server has billed"
            case "price" if target.contract.observed.price.per_second is None:
                return f"nobody has published what a video of {target.contract.model} costs"
            case "play" if target.play is None:
                return "the server cannot be told to let a generation fail"
            case "hypothesis" | "schemathesis" as package if importlib.util.find_spec(package) is None:
                return f'{package} is not installed: pip install "kling-contract[testing]"'
        return None


def claim(
    *, place: str, free: bool = False, on_paid: bool = False, needs: Need | None = None, hint: str = ""
) -> Callable[[Callable[[Target], None]], Claim]:
    """Turn a function into a Claim. Its name becomes the claim's name, its docstring, one sentence, the description."""

    def enter(verify: Callable[[Target], None]) -> Claim:
        return Claim(
            name=verify.__name__.replace("_", "-"),
            description=verify.__doc__ or "",
            place=place,
            verify=verify,
            free=free,
            on_paid=on_paid,
            needs=needs,
            hint=hint,
        )

    return enter


def claims_of(module: ModuleType) -> tuple[Claim, ...]:
    """Return the claims that a module defines, in the order of their definition."""
    found = [value for value in vars(module).values() if isinstance(value, Claim)]
    return tuple(each for each in found if each.verify.__module__ == module.__name__)
