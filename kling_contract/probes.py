"""How is a server asked when asking must cost nothing, or no more than agreed? Targets whose creates are doomed, or made once."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any, Self

from kling_contract.contract import Contract, revisions
from kling_contract.errors import ContractBroken
from kling_contract.jsontext import BadJson, parse
from kling_contract.mutations import Mutation
from kling_contract.refusal_claims import broken_payloads
from kling_contract.target import Target
from kling_contract.validation import validate
from kling_contract.wire import Accepted

__all__ = [
    "Doomed",
    "Once",
    "PayloadTaken",
    "Witnessed",
    "claim_calls_at_once_do_not_mix",
    "faulty_payloads_are_refused",
]

_MODEL = "model"
_NO_MODEL = "kling-contract/no-such-model"
_CROWD = 8  # callers at a time


class _Of(Target):
    """A target that behaves otherwise, made of one as it is."""

    __slots__ = ()

    @classmethod
    def of(cls, target: Target) -> Self:
        """Return `target`, changed."""
        return cls(**{each.name: getattr(target, each.name) for each in fields(Target)})


class Doomed(_Of):
    """A target that no generation can be created on: every create, whatever else is wrong with it, is for an unknown model.

    A server may accept what the documents forbid, and bill it. With two things wrong it may refuse for either of them.
    """

    __slots__ = ()

    def least_payload(self) -> dict[str, Any]:
        return {**Target.least_payload(self), _MODEL: _NO_MODEL}

    def create(
        self,
        payload: Any = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
    ) -> Any:
        content = json.dumps(self.least_payload() if payload is None else payload).encode() if body is None else body
        return Target.create(self, body=_doomed(content), headers=headers, path=path)

    def must_refuse(self, response: Any, reason: str, why: str = "") -> None:
        reasons = self.contract.observed["refusals"]["reasons"]
        created = response.request.method == self.creation.method
        if created and response.status_code == reasons["invalid_body"]["status_code"]:
            return
        Target.must_refuse(self, response, reason, why)


class Once(_Of):
    """A target on which all creates are one: the first is sent, with `payload`, and its answer is given ever after."""

    __slots__ = ("_answer", "payload")
    payload: Mapping[str, Any]
    _answer: Any

    @classmethod
    def of_payload(cls, target: Target, payload: Mapping[str, Any]) -> Once:
        """Return a target whose one create sends `payload`."""
        once = cls.of(target)
        object.__setattr__(once, "payload", payload)
        object.__setattr__(once, "_answer", None)
        return once

    @property
    def made(self) -> bool:
        """Was the create accepted?"""
        return self._answer is not None and self._answer.is_success

    def create(self, payload: Any = None, **changed: Any) -> Any:
        if self._answer is None:
            object.__setattr__(self, "_answer", Target.create(self, self.payload))
        return self._answer


class Witnessed(_Of):
    """A target that remembers in `seen` every broken promise, so that none is lost that does not come again."""

    __slots__ = ("seen",)
    seen: list[ContractBroken]

    @classmethod
    def of(cls, target: Target) -> Witnessed:
        """Return `target`, with nothing seen yet."""
        witnessed = super().of(target)
        object.__setattr__(witnessed, "seen", [])
        return witnessed

    def broken(self, response: Any, wrong: str, *, assumed: bool = False) -> ContractBroken:
        broken = Target.broken(self, response, wrong, assumed=assumed)
        self.seen.extend([] if assumed else [broken])
        return broken


class PayloadTaken(ContractBroken):
    """A payload with one violation was not refused as it must be. `mutation` is the kind of violation."""

    def __init__(self, broken: ContractBroken, mutation: Mutation, payload: Any, others: int) -> None:
        more = f"; so were {others} more payloads with this rule broken there" if others else ""
        wrong = f"{broken.wrong}{more}"
        super().__init__(
            f"{broken}{more}", request=broken.request, came=broken.came, wrong=wrong, assumed=broken.assumed
        )
        self.mutation = mutation
        self.payload = payload


def faulty_payloads_are_refused(target: Target, *, chance: random.Random | None) -> None:
    """Send payloads with one violation each, and raise an ExceptionGroup of a PayloadTaken for each rule that is not kept.

    With `chance` one is drawn for each rule at each place, and none that is about the model; without, all are sent.
    """
    taken: dict[tuple[str, str], list[tuple[ContractBroken, Mutation, Any]]] = {}
    for mutation, payload in broken_payloads(target) if chance is None else _drawn(target, chance):
        violation = next(each for each in validate(payload, contract=target.contract) if each.severity == "error")
        try:
            response = target.create(body=json.dumps(payload).encode())
            target.must_refuse(response, "invalid_body", str(violation))
            target.must_be_sound(response)
        except Accepted:
            raise
        except ContractBroken as broken:
            taken.setdefault((mutation.pointer, mutation.rule), []).append((broken, mutation, payload))
    if taken:
        found = [PayloadTaken(*each[0], others=len(each) - 1) for each in taken.values()]
        raise ExceptionGroup(f"{len(found)} rules are not kept", found)


def claim_calls_at_once_do_not_mix(target: Target) -> None:
    """Creates and polls that come at the same time are each answered with their own generation."""

    def life(_: int) -> tuple[str, Any]:
        made = target.generation(target.create(), target.creation)
        response = target.poll(made.id)
        if target.generation(response, target.polling).id != made.id:
            raise target.broken(response, "it must show the generation that was asked for")
        return made.id, response

    with ThreadPoolExecutor(_CROWD) as pool:
        lives = list(pool.map(life, range(2 * _CROWD)))
    ids = [generation_id for generation_id, _ in lives]
    for generation_id, response in lives:
        if ids.count(generation_id) > 1:
            raise target.broken(response, "two creates at the same time were answered with this id")


def _drawn(target: Target, chance: random.Random) -> Iterator[tuple[Mutation, Any]]:
    variants: dict[tuple[str, str], list[tuple[Mutation, Any]]] = {}
    for mutation, payload in broken_payloads(target):
        if mutation.pointer != f"/{_MODEL}":
            variants.setdefault((mutation.pointer, mutation.rule), []).append((mutation, payload))
    return (chance.choice(each) for each in variants.values())


def _doomed(body: bytes) -> bytes:
    """Return a body in which no model is one that any revision knows; an object names one that is unknown."""
    for known in _known_models():
        body = body.replace(known, _NO_MODEL.encode())
    try:
        value = parse(body)
    except BadJson:
        return body
    if isinstance(value, dict) and value.get(_MODEL) != _NO_MODEL:
        return json.dumps({**value, _MODEL: _NO_MODEL}).encode()
    return body


def _known_models() -> list[bytes]:
    listed = {
        model
        for revision in revisions()
        for model in Contract.load(revision).request_schema["properties"][_MODEL].get("enum", ())
    }
    return sorted((model.encode() for model in listed), key=len, reverse=True)
