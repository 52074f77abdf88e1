"""Fields that a model does not take, and another model of the same revision does."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from kling_contract.contract import Contract
from kling_contract.contract.models import facts_about
from kling_contract.contract.nearest_model import nearest_models
from kling_contract.contract.other_names import meaning_of

__all__ = ["kind_of_model", "model_that_takes"]


def kind_of_model(contract: Contract) -> str:
    """Return what the model of a contract is, such as "text-to-video model"; "model" if nobody knows."""
    return f"{facts_about(contract.model).get('kind', '')} model".lstrip()


def model_that_takes(name: str, contract: Contract) -> tuple[str, str] | None:
    """Return a field that another model of the revision takes under this name, and the id of the one nearest to `contract`'s.

    The field is `name` itself, or what other APIs call so. None if no model takes it, or if the model of `contract` does.
    """
    takers, own = _takers_of_revision(contract), contract.request_schema["properties"]
    if name in own:
        return None
    if name in takers:
        return name, _nearest(contract, name)
    meaning = meaning_of(name)
    fields = meaning.fields if meaning else ()
    field = next((field for field in fields if field in takers), None)
    return None if field is None or any(other in own for other in fields) else (field, _nearest(contract, field))


@functools.lru_cache(maxsize=1024)
def _nearest(contract: Contract, field: str) -> str:
    takers = _takers_of_revision(contract)[field]
    return next(iter(nearest_models(contract.model, takers)), takers[0])


def _takers_of_revision(contract: Contract) -> Mapping[str, list[str]]:
    """Return the ids of the models that take a field, by the field: the same for every model of a revision."""
    return _takers(contract.for_model(next(iter(contract.models))))


@functools.lru_cache(maxsize=64)
def _takers(contract: Contract) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for model in contract.models:
        for field, schema in contract.for_model(model).request_schema["properties"].items():
            if not schema.get("deprecated"):
                found.setdefault(field, []).append(model)
    return found
