"""The ledger: what the generations would have cost. Each has one charge, booked when the service would book it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from fake_server.service.generation import FakeGeneration
from kling_contract.contract import Contract

__all__ = ["Charge", "Ledger"]


@dataclass(frozen=True, slots=True)
class Charge:
    """What one generation costs: "pending" until the service books it, "void" if it never will.

    It is "unknown", and its `amount` None, where nobody knows the price of the model.
    """

    generation_id: str
    model: str
    created_at: float
    amount: float | None
    state: Literal["pending", "booked", "void", "unknown"]


class Ledger:
    """The charges of a fake, as they stand now. Amounts are in `unit`, as `observed.json` gives the price."""

    def __init__(self, contract: Contract, generations: Collection[FakeGeneration], now: Callable[[], float]) -> None:
        self._contract = contract
        self._generations = generations
        self._now = now
        self.unit: str = contract.observed.price.unit

    @property
    def charges(self) -> tuple[Charge, ...]:
        """Every charge, in the order of creation."""
        now = self._now()
        return tuple(self._charge(generation, now) for generation in tuple(self._generations))

    @property
    def booked(self) -> float:
        """The sum of what has been booked so far."""
        return sum(charge.amount or 0 for charge in self.charges if charge.state == "booked")

    @property
    def pending(self) -> float:
        """The sum of what may still be booked."""
        return sum(charge.amount or 0 for charge in self.charges if charge.state == "pending")

    @property
    def unknown(self) -> tuple[Charge, ...]:
        """The charges of models whose price nobody knows: they are in no sum."""
        return tuple(charge for charge in self.charges if charge.state == "unknown")

    def _charge(self, generation: FakeGeneration, now: float) -> Charge:
        when, lifecycle = self._contract.observed.price.booked, self._contract.lifecycle
        state: Literal["pending", "booked", "void", "unknown"] = "pending"
        if generation.price is None:
            state = "unknown"
        elif generation.booked(now, lifecycle, when):
            state = "booked"
        elif generation.void(now, lifecycle, when):
            state = "void"
        return Charge(generation.id, generation.model, generation.created_at, generation.price, state)

    def __repr__(self) -> str:
        unknown = f", {len(self.unknown)} of unknown price" if self.unknown else ""
        return f"<Ledger: {self.booked:,.0f} {self.unit} booked, {self.pending:,.0f} pending{unknown}>"
