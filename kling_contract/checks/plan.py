"""The plan of a check: which claims are checked when so many generations may be created."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx

from kling_contract.checks import creation_claims, exploration_claims, lifecycle_claims, refusal_claims
from kling_contract.checks.claims import Claim, claims_of
from kling_contract.checks.deadline import DeadlineExceeded
from kling_contract.checks.places import STATUS
from kling_contract.checks.restricted import SingleCreate
from kling_contract.checks.target import Target
from kling_contract.client.images import data_uri
from kling_contract.contract import Contract
from kling_contract.contract.documents import FIXTURES
from kling_contract.errors import ContractBroken
from kling_contract.schema_values.rules import minimal_value, resolve

__all__ = ["CLAIMS", "EXPLORATIONS", "claims_for", "photo_payload"]

_PHOTOGRAPH = FIXTURES / "images" / "cat.jpg"

CLAIMS = (*claims_of(refusal_claims), *claims_of(creation_claims), *claims_of(lifecycle_claims))
"""All claims of this project's own, in the order in which they are checked."""

EXPLORATIONS = claims_of(exploration_claims)
"""The claims that other programs check; they come last."""


def claims_for(*, creations: int | None = 0) -> list[Claim]:
    """Return the claims to check, in order, if so many generations may be created (None: any number)."""
    if creations is None:
        return [*CLAIMS, *EXPLORATIONS]
    return [*(claim for claim in CLAIMS if claim.free), *map(_paid_generation, range(1, creations + 1))]


def photo_payload(contract: Contract) -> dict[str, Any]:
    """Return a payload worth paying for: a real photograph, and the shortest video that there is."""
    minimal = minimal_value(resolve(contract.request_schema))
    durations = contract.request_schema["properties"].get("duration", {}).get("enum")
    picture = {"image_url": data_uri(_PHOTOGRAPH), "prompt": "The cat blinks slowly and turns its head to the window."}
    return {**minimal, **picture, **({"duration": min(durations)} if durations else {})}


def _paid_generation(number: int) -> Claim:
    description = "A generation that is paid for is created, moves forward, ends, and its video can be downloaded."
    return Claim(
        name=f"paid-generation-{number}", description=description, place=STATUS, verify=_verify_on_one_generation
    )


def _verify_on_one_generation(target: Target) -> None:
    """Create one generation, and check every claim on it that can be."""
    creates = SingleCreate(photo_payload(target.contract))
    target = replace(target, creates=creates)
    found: dict[tuple[str, str, str], ContractBroken] = {}
    for claim in CLAIMS:
        if not claim.on_paid:
            continue
        try:
            claim(target)
        except ContractBroken as broken:
            found.setdefault((broken.expected, broken.actual, broken.problem), broken)
            if not creates.accepted:
                break
        except (DeadlineExceeded, httpx.RequestError) as silent:
            if not creates.accepted:
                raise
            why = "the time limit is over" if isinstance(silent, DeadlineExceeded) else f"no response came ({silent!r})"
            problem = f"{why}: this generation goes on unwatched, and may be billed"
            left = target.broken(creates.response, "a generation that can be followed to its end", problem=problem)
            raise ExceptionGroup("a generation that was paid for", [*found.values(), left]) from None
    if found:
        raise ExceptionGroup("a generation that was paid for", list(found.values()))
