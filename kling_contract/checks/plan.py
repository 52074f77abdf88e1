"""The plan of a check: which claims are checked when so many generations may be created."""

from __future__ import annotations

import base64
import io
import itertools
import math
import wave
from collections.abc import Callable, Mapping
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
from kling_contract.schema_values.purposes import Purpose, purpose
from kling_contract.schema_values.rules import ResolvedSchema, enum_values, minimal_value, resolve, types
from kling_contract.validation import validate

__all__ = ["CLAIMS", "EXPLORATIONS", "claims_for", "photo_payload"]

_PHOTOGRAPH = FIXTURES / "images" / "cat.jpg"
_VIDEO = FIXTURES / "media" / "kling-5s-16x9.mp4"
_RATE = 8000  # samples per second of a sound
_WANTED = ("prompt", "duration")  # members that are worth giving although they may be left out

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
    """Return a payload worth paying for: a real photograph, a prompt, and the shortest video that there is.

    Sounds and films that the model needs are real, too. It breaks no guideline if any of the listed values allows that.
    """
    rules = resolve(contract.request_schema, keep=("description",))
    members, required = rules["properties"], rules["required"]
    wanted = [name for name in members if name in required or name in _WANTED]
    choices = [sorted(listed) if (listed := enum_values(members[name])) else [_real(members[name])] for name in wanted]
    payloads = [dict(zip(wanted, values, strict=True)) for values in itertools.product(*choices)]
    return next((payload for payload in payloads if not validate(payload, contract=contract)), payloads[0])


def _real(rules: ResolvedSchema) -> Any:
    """Return a value that a model can make a video of."""
    if "anyOf" in rules:
        return _real(rules["anyOf"][0])
    match types(rules)[0]:
        case "array":
            return [_real(rules["items"]) for _ in range(rules.get("minItems", 1))]
        case "string":
            return _REAL_TEXTS[purpose(rules)]()
        case _:
            return minimal_value(rules)


def _film() -> str:
    return f"data:video/mp4;base64,{base64.b64encode(_VIDEO.read_bytes()).decode()}"


def _sound() -> str:
    """Return a sound file that is made here: a hum of three seconds."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(_RATE)
        sound.writeframes(bytes(round(128 + 60 * math.sin(i * math.tau * 220 / _RATE)) for i in range(3 * _RATE)))
    return f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"


_REAL_TEXTS: Mapping[Purpose, Callable[[], str]] = {
    "picture": lambda: data_uri(_PHOTOGRAPH),
    "film": _film,
    "sound": _sound,
    "name": lambda: "cat",
    "negative_prompt": lambda: "blur",
    "scene": lambda: "The cat blinks slowly and turns its head to the window.",
}


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
