"""One model for each group of models that share a schema of payloads, in every revision."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kling_contract.contract import Contract, revisions

__all__ = ["EACH_GROUP", "GROUPS"]


def _groups() -> Iterator[Contract]:
    for contract in map(Contract.load, revisions()):
        first = {model.request_document: model.id for model in reversed(list(contract.models.values()))}
        yield from map(contract.for_model, first.values())


def _name(contract: Contract) -> str:
    group = contract.request_document.removeprefix("models/").removesuffix(".schema.json")
    return f"{contract.revision.id}-{group}"


GROUPS = tuple(_groups())
"""The contracts for these models."""

EACH_GROUP = pytest.mark.parametrize("contract", [pytest.param(contract, id=_name(contract)) for contract in GROUPS])
