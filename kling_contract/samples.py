"""Which payloads, with which verdicts, can programs in other languages be tested with? Valid and invalid ones, as plain data."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

from kling_contract.contract import Contract, chosen
from kling_contract.mutations import mutations
from kling_contract.payloads import example

__all__ = ["samples"]


def samples(
    valid: int, invalid: int, seed: int = 0, *, contract: Contract | None = None, revision: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield so many valid samples, then so many invalid ones; always the same ones for a seed and a version.

    Each is `{"payload": …, "valid": true or false, "violation": null or {"id", "pointer", "rule"}}`. Invalid ones go through the
    whole of `mutations()`, in an order that the seed decides, before one comes again in another payload.
    """
    known = chosen(contract, revision)
    chance = random.Random(seed)
    for _ in range(valid):
        yield {"payload": example(chance.getrandbits(64), contract=known), "valid": True, "violation": None}
    catalogue = mutations(contract=known)
    rounds = chain.from_iterable(chance.sample(catalogue, len(catalogue)) for _ in repeat(None))
    for mutation, _ in zip(rounds, range(invalid), strict=False):
        broken = mutation.onto(example(chance.getrandbits(64), contract=known))
        violation = {"id": broken.id, "pointer": broken.pointer, "rule": broken.rule}
        yield {"payload": broken.payload, "valid": False, "violation": violation}
