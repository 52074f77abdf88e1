"""The violations of a create whose model is missing, or is one that no revision knows: which models there are."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from kling_contract.contract import Contract, family
from kling_contract.contract.models import aliases_of, facts_about
from kling_contract.contract.nearest_model import misfit, nearest_models
from kling_contract.contract.operation import MODEL
from kling_contract.display import show
from kling_contract.violation import Violation

__all__ = ["about_all_models", "served_models"]

_POINTER = f"/{MODEL}"
_LONGEST = 100  # characters of an id that are compared


def about_all_models(violation: Violation, payload: Any, contract: Contract) -> Violation:
    """Return the violation of a payload's model, if `contract` was chosen, with what holds for all models.

    The schema of a payload allows the one model that it is for. The message, the hint and the allowed values that are returned
    are those for a payload that may have any model. A violation of anything else is returned as it is.
    """
    if violation.pointer != _POINTER or not isinstance(payload, Mapping):
        return violation
    asked, fields = payload.get(MODEL), _fields(contract, payload)
    served = served_models(contract, payload)
    schema = {**(violation.schema or {}), "enum": served}
    hint, message = violation.hint, violation.message
    if violation.rule == "enum":
        message = f"{show(asked)} is not a {_kind_of_model(contract)}"
    if isinstance(asked, str):
        hint = _nearest(contract, asked[:_LONGEST], fields) or _fitting_hint(contract, fields)
    elif violation.rule != "required" or hint is None:  # a name that stands in for the model is the better hint
        hint = _fitting_hint(contract, fields)
    limit = served if violation.rule == "enum" else violation.limit
    return replace(violation, message=message, hint=hint, limit=limit, schema=schema)


def served_models(contract: Contract, payload: Mapping[str, Any]) -> list[str]:
    """Return the ids that the service lists when it refuses the model of a payload.

    They are all ids of the revision where an issue about the model has a shape of its own; otherwise they are those of the
    models that make a video of the same kind of thing as the model that fits the payload best.
    """
    models = list(contract.models)
    if _POINTER in contract.observed.refusals.issues.shapes:
        return models
    kind = _kind(_fitting(contract, _fields(contract, payload)))
    return [model for model in models if _kind(model) == kind]


def _fields(contract: Contract, payload: Mapping[str, Any]) -> frozenset[str]:
    """Return the fields of a payload that any model takes, but for the model itself."""
    return frozenset(payload.keys() & _known_fields(contract) - {MODEL})


def _kind_of_model(contract: Contract) -> str:
    return "Kling model of any revision" if contract.is_shipped else f"model of {contract.revision}"


@functools.lru_cache(maxsize=256)
def _nearest(contract: Contract, asked: str, fields: frozenset[str]) -> str | None:
    """Ask for the models that a wrong id was probably meant to be, by name; None if nothing is near."""
    models = _all_models(contract)
    near = nearest_models(
        asked,
        models,
        fields={MODEL, *fields},
        schema_of=lambda model: models[model].request_schema,
        aliases_of=aliases_of,
    )
    return f"did you mean {', or '.join(_in(contract, model) for model in near)}?" if near else None


def _in(contract: Contract, model: str) -> str:
    """Return the id of a model in the chosen revision; its own id, and when the service had it, if that is none of them."""
    if model in contract.models:
        return model
    alias = next((alias for alias in aliases_of(model) if alias in contract.models), None)
    if alias is not None:
        return alias
    known = family.revisions_of(model)
    when = f"since {known[0]}" if known[0] > contract.revision.id else f"until {known[-1]}"
    return f"{model} ({when})"


def _fitting_hint(contract: Contract, fields: frozenset[str]) -> str:
    model = _fitting(contract, fields)
    takes = fields & contract.for_model(model).request_schema["properties"].keys() - {MODEL}
    return f"{model} takes {_these(takes)}" if takes else f"one of them is {model}"


def _these(fields: frozenset[str]) -> str:
    first, *others = sorted(fields)
    return "such a payload" if others else first


@functools.lru_cache(maxsize=256)
def _fitting(contract: Contract, fields: frozenset[str]) -> str:
    """Return the model of a revision that takes most of these fields; the contract's own one if that fits as well."""
    schemas = {model: contract.for_model(model).request_schema for model in (contract.model, *contract.models)}
    if not any(fields & schema["properties"].keys() for schema in schemas.values()):
        return contract.model
    return min(schemas, key=lambda model: misfit({MODEL, *fields}, schemas[model]))


@functools.lru_cache(maxsize=64)
def _all_models(contract: Contract) -> Mapping[str, Contract]:
    """Return every model, those of the chosen revision first, each with the contract that validates its creates."""
    return MappingProxyType(
        {
            model: found
            for model in family.models(contract)
            if (found := family.contract_for(contract, model)) is not None
        }
    )


@functools.lru_cache(maxsize=64)
def _known_fields(contract: Contract) -> frozenset[str]:
    """Return all fields that any model takes."""
    return frozenset(field for known in _all_models(contract).values() for field in known.request_schema["properties"])


def _kind(model: str) -> Any:
    return facts_about(model).get("kind")
