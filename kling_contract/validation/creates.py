"""Validation of the payload of a create: by which revision, and what is wrong with it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from kling_contract.contract import Contract, chosen
from kling_contract.contract.family import contract_for, revisions_of
from kling_contract.contract.operation import MODEL
from kling_contract.errors import InvalidJson
from kling_contract.jsontext.parser import parse
from kling_contract.validation.guidelines import guidelines_on
from kling_contract.validation.unknown_model import about_all_models
from kling_contract.validation.validator import Validator, not_json, with_places
from kling_contract.violation import Strictness, Violation, check_strictness

__all__ = ["CheckedCreate", "check_payload", "check_payload_text", "other_revision", "validate", "validator_for"]

_MODEL_POINTER = f"/{MODEL}"


class CheckedCreate(NamedTuple):
    """A payload, what is wrong with it, and the contract that validated it: that of its own model and revision.

    `payload` is the decoded value (None: it is not JSON).
    """

    payload: Any
    violations: Sequence[Violation]
    contract: Contract


def validate(
    payload: Any,
    *,
    contract: Contract | None = None,
    revision: str | None = None,
    strictness: Strictness = "lax",
) -> list[Violation]:
    """Return everything that is wrong with the payload of a create, in document order; empty if nothing is.

    `payload` is a decoded JSON value, or JSON text as bytes or str: then each violation has its line and column. It is
    validated by the schema of the model that it names. Only violations of severity "error" make the API refuse it. Under
    "strict" any deviation from the revision is an error; under "lax" what the live service is known to accept is a warning,
    and so is a model of another revision, which is then the one that validates; under "off" all is a warning but what is no
    JSON object. Raise UnknownRevision for an unknown revision, and ValueError for an unknown strictness.
    """
    known = chosen(contract, revision)
    if isinstance(payload, (bytes, bytearray, str)):
        text = payload if isinstance(payload, str) else bytes(payload)
        return list(check_payload_text(text, known, None, strictness).violations)
    return list(check_payload(payload, known, None, strictness).violations)


def check_payload_text(
    text: bytes | str, contract: Contract, path: str | None, strictness: Strictness
) -> CheckedCreate:
    """Check JSON text that is sent to `path` (None: wherever the model is created) if `contract` was chosen.

    Text that is not JSON has one violation, of the rule "json".
    """
    check_strictness(strictness)
    try:
        value = parse(text)
    except InvalidJson as bad:
        return CheckedCreate(None, [not_json(bad)], contract)
    checked = check_payload(value, contract, path, strictness)
    return checked._replace(violations=with_places(checked.violations, text)) if checked.violations else checked


def check_payload(value: Any, contract: Contract, path: str | None, strictness: Strictness) -> CheckedCreate:
    """Check a decoded JSON value that is sent to `path`, as `check_payload_text` does."""
    check_strictness(strictness)
    model = value.get(MODEL) if isinstance(value, Mapping) else None
    validating = contract_for(contract, model, path) if isinstance(model, str) else None
    if validating is None:  # there is no model whose rules could be broken, except that there must be one
        return CheckedCreate(value, _of_the_model(value, contract, strictness), contract)
    elsewhere = other_revision(contract, validating, path, strictness)
    if elsewhere is None:
        return CheckedCreate(value, validator_for(validating).validate_value(value, strictness), validating)
    if strictness == "strict":
        return CheckedCreate(value, [elsewhere], contract)
    return CheckedCreate(value, [elsewhere, *validator_for(validating).validate_value(value, strictness)], validating)


def other_revision(
    contract: Contract, validating: Contract, path: str | None, strictness: Strictness
) -> Violation | None:
    """Return the violation that a create is validated by another revision than the chosen one; None if it is not."""
    if validating.revision.id == contract.revision.id and (path is None or path in validating.create.paths):
        return None
    found = _other_revision(contract, validating, path)
    return found if strictness == "strict" else replace(found, severity="warning")


@functools.lru_cache(maxsize=256)
def _other_revision(contract: Contract, validating: Contract, path: str | None) -> Violation:
    here, there, model = contract.revision.id, validating.revision.id, validating.model
    latest = Contract.load("latest")
    at_path = path is not None and contract.takes(model)
    also = " or latest" if there <= latest.revision.id and latest.takes(model, path) else ""
    hint = f"choose --revision {there}{also}"
    if path is not None and not validating.takes(model, path):  # no revision documents the pair
        message = f"no revision documents {model} on {path}; its path is {validating.create.path}"
        hint = f"send it to {validating.create.path}"
        return Violation("", "revision", message, hint=hint, part="path")
    what = f"{path} takes {model}" if at_path else f"{model} is a model"
    if there > here:
        message = f"{what} since {there}, not yet in {here}{_named_before(contract, model)}"
    else:
        message = f"{what} until {there}, no longer in {here}"
    since = next(iter(revisions_of(model, path if at_path else None)), None)
    if at_path or (path is not None and path not in contract.paths):
        return Violation("", "revision", message, hint=hint, since=since, part="path")
    return Violation(_MODEL_POINTER, "revision", message, hint=hint, since=since)


def _named_before(contract: Contract, model: str) -> str:
    """Say that the service's own document named a model that had no page yet; "" if it did not."""
    named = contract.openapi.get("x-also-named", {})
    return (
        f", though the service's own document named it then ({named['source']})"
        if model in named.get("ids", ())
        else ""
    )


def _of_the_model(value: Any, contract: Contract, strictness: Strictness) -> list[Violation]:
    """Return what is wrong with a payload whose model no revision knows: that alone, since the rest depends on the model."""
    found = validator_for(contract).validate_value(value, strictness)
    return [
        about_all_models(violation, value, contract) for violation in found if violation.pointer in ("", _MODEL_POINTER)
    ]


@functools.lru_cache(maxsize=512)
def validator_for(contract: Contract) -> Validator:
    """Return the validator of payloads of a create of the contract's model."""
    return Validator(
        contract.request_schema,
        contract=contract,
        tolerated=contract.observed.tolerated,
        guidelines=guidelines_on(contract.model, contract.revision.id),
    )
