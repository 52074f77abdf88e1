"""How is a server asked when asking must cost nothing, or no more than agreed? Targets whose creates are doomed, or made once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

from kling_contract.checks.target import Target
from kling_contract.contract import Contract, revisions
from kling_contract.errors import ContractBroken, InvalidJson
from kling_contract.jsontext.parser import parse

__all__ = ["RecordingTarget", "SingleCreateTarget", "UncreatableTarget"]

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


class UncreatableTarget(_Of):
    """A target that no generation can be created on: every create, whatever else is wrong with it, is for an unknown model.

    A server may accept what the documents forbid, and bill it. With two things wrong it may refuse for either of them.
    """

    __slots__ = ()

    def minimal_payload(self) -> dict[str, Any]:
        return {**Target.minimal_payload(self), _MODEL: _NO_MODEL}

    def create(
        self,
        payload: Any = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
    ) -> Any:
        content = json.dumps(self.minimal_payload() if payload is None else payload).encode() if body is None else body
        return Target.create(self, body=_doomed(content), headers=headers, path=path)

    def must_refuse(self, response: Any, reason: str, why: str = "") -> None:
        reasons = self.contract.observed.refusals.reasons
        created = response.request.method == self.creation.method
        if created and response.status_code == reasons["invalid_body"].status_code:
            return
        Target.must_refuse(self, response, reason, why)


class SingleCreateTarget(_Of):
    """A target on which all creates are one: the first is sent, with `payload`, and its answer is given ever after."""

    __slots__ = ("_answer", "payload")
    payload: Mapping[str, Any]
    _answer: Any

    @classmethod
    def of_payload(cls, target: Target, payload: Mapping[str, Any]) -> SingleCreateTarget:
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


class RecordingTarget(_Of):
    """A target that remembers in `seen` every broken promise, so that none is lost that does not come again."""

    __slots__ = ("seen",)
    seen: list[ContractBroken]

    @classmethod
    def of(cls, target: Target) -> RecordingTarget:
        """Return `target`, with nothing seen yet."""
        witnessed = super().of(target)
        object.__setattr__(witnessed, "seen", [])
        return witnessed

    def broken(self, response: Any, wrong: str, *, assumed: bool = False) -> ContractBroken:
        broken = Target.broken(self, response, wrong, assumed=assumed)
        self.seen.extend([] if assumed else [broken])
        return broken


def _doomed(body: bytes) -> bytes:
    """Return a body in which no model is one that any revision knows; an object names one that is unknown."""
    for known in _known_models():
        body = body.replace(known, _NO_MODEL.encode())
    try:
        value = parse(body)
    except InvalidJson:
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
