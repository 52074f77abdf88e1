"""Restricted targets: on one no generation can be created, on the other exactly one."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kling_contract.checks.target import Creates, Target
from kling_contract.contract import Contract, revisions
from kling_contract.contract.operation import MODEL
from kling_contract.errors import InvalidJson
from kling_contract.jsontext.parser import parse

__all__ = ["MODEL", "ImpossibleCreates", "SingleCreate", "uncreatable"]

_NO_MODEL = "kling-contract/no-such-model"


class ImpossibleCreates(Creates):
    """Sends creates for an unknown model only, whatever else is wrong with them.

    A server may accept what the documents forbid, and bill it. With two things wrong it may refuse a create for either.
    """

    possible = False

    def send(self, post: Callable[[bytes], Any], body: bytes) -> Any:
        return post(_with_unknown_model(body))


class SingleCreate(Creates):
    """Sends the first create only, with a payload of its own, and returns its response to all later ones."""

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self.response: Any = None
        self._body = json.dumps(payload).encode()

    @property
    def accepted(self) -> bool:
        """Was the create sent and accepted?"""
        return self.response is not None and self.response.is_success

    def send(self, post: Callable[[bytes], Any], body: bytes) -> Any:
        if self.response is None:
            self.response = post(self._body)
        return self.response


def uncreatable(target: Target) -> Target:
    """Return a target like this one, on which no generation can be created."""
    payload = {**target.minimal_payload(), MODEL: _NO_MODEL}
    return replace(target, payload=payload, creates=ImpossibleCreates())


def _with_unknown_model(body: bytes) -> bytes:
    """Return a body that names no model of any revision; an object names one that is unknown."""
    for known in _known_models():
        body = body.replace(known, _NO_MODEL.encode())
    try:
        value = parse(body)
    except InvalidJson:
        return body
    if isinstance(value, dict) and value.get(MODEL) != _NO_MODEL:
        return json.dumps({**value, MODEL: _NO_MODEL}).encode()
    return body


@functools.cache
def _known_models() -> list[bytes]:
    """Return the models of all revisions, the longest first: one may be the beginning of another."""
    listed = {model for revision in revisions() for model in Contract.load(revision).models}
    return sorted((model.encode() for model in listed), key=len, reverse=True)
