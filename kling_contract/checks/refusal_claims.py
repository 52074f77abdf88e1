"""What must a server refuse, and how? One function a claim: it raises ContractBroken when the server does not keep it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from kling_contract.checks.guard import UnexpectedCreation
from kling_contract.checks.restricted import _MODEL
from kling_contract.checks.target import Target
from kling_contract.errors import ContractBroken
from kling_contract.mutations import Mutation, mutations
from kling_contract.schema_values.rules import minimal_value, resolve
from kling_contract.validation import validate
from kling_contract.violation import has_errors

__all__ = [
    "InvalidPayloadAccepted",
    "broken_payloads",
    "claim_bad_json_is_refused",
    "claim_broken_payloads_are_refused",
    "claim_key_is_needed",
    "claim_media_type_is_needed",
    "claim_other_keys_are_refused",
    "claim_other_methods_are_refused",
    "claim_other_paths_are_unknown",
    "claim_polls_need_an_id",
    "claim_refusals_are_well_formed",
    "claim_refusals_cost_nothing",
    "claim_unknown_ids_are_refused",
    "faulty_payloads_are_refused",
]

_UNDECLARED = "x_undeclared"
_STRANGE_IDS = ("nobody", "0", "a b", "../..", "%", "\0", "\U0001f408", "a" * 2000)
_NO_PAYLOADS = (
    *(b"", b"{", b"prompt=a+cat", b"null", b"[]", b'"a cat"', b"1", b"{}", b"{}{}", b"\xff", b"[" * 5000 + b"]" * 5000),
)
_OTHER_METHODS = ("PUT", "PATCH", "DELETE", "POST", "GET")
_UNDOCUMENTED = {"HEAD", "OPTIONS"}  # which servers have of themselves


def claim_key_is_needed(target: Target) -> None:
    """Without a bearer token both operations refuse."""
    _refuses(target, "", "Bearer", f"Basic {target.key}", target.key)


def claim_other_keys_are_refused(target: Target) -> None:
    """With a key that nobody was given both operations refuse."""
    _refuses(target, f"Bearer {target.key}x", f"Bearer {target.key[1:]}", f"Bearer {target.key.swapcase()}0")


def claim_broken_payloads_are_refused(target: Target) -> None:
    """A payload that breaks a rule of the schema, whichever and wherever, is refused, unless the service is known to take it."""
    for mutation, payload in broken_payloads(target):
        response = target.create(body=json.dumps(payload).encode())
        target.must_refuse(response, "invalid_body", f"{mutation.id} is broken")


def claim_bad_json_is_refused(target: Target) -> None:
    """A body that is no JSON object, or holds what JSON has no place for, is refused."""
    least = json.dumps(target.minimal_payload())
    name, value = next(iter(target.minimal_payload().items()))
    twice = f"{least[:-1]}, {json.dumps(name)}: {json.dumps(value)}}}"
    for text in ("NaN", "Infinity", "-Infinity", "01", "'a'", '"\\x"', "9" * 5000):
        target.must_refuse(target.create(body=f'{least[:-1]}, "{_UNDECLARED}": {text}}}'.encode()), "invalid_body")
    for body in (*_NO_PAYLOADS, twice.encode(), least.encode("utf-16"), least.encode() + b"]"):
        target.must_refuse(target.create(body=body), "invalid_body")


def claim_media_type_is_needed(target: Target) -> None:
    """A body that is not declared to be of the documented media type is refused."""
    for value in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        headers = target.authorization | ({"content-type": value} if value else {})
        target.must_refuse(target.create(headers=headers), "wrong_media_type")


def claim_unknown_ids_are_refused(target: Target) -> None:
    """A poll for an id that nobody was given is refused, whatever it looks like."""
    for strange in _STRANGE_IDS:
        target.must_refuse(target.poll(strange), "unknown_generation")


def claim_polls_need_an_id(target: Target) -> None:
    """A poll that names no generation is refused."""
    target.must_refuse(target.poll(None), "invalid_query")


def claim_other_paths_are_unknown(target: Target) -> None:
    """A path that is not in the document is refused."""
    path = target.polling.path
    # Neither the root nor other spellings: what is there, and whether case and a last slash count, no document says.
    for other in (f"{path}/some-id", f"{path}/status/some-id", f"{path}x"):
        target.must_refuse(target.send(target.polling.method, other), "unknown_path")


def claim_other_methods_are_refused(target: Target) -> None:
    """A method that a path does not have is refused, and told which methods it has."""
    for path in {each: None for operation in target.contract.operations.values() for each in operation.paths}:
        allowed = {operation.method for operation in target.contract.route(path)}
        for method in _OTHER_METHODS:
            if method not in allowed:
                response = target.send(method, path)
                target.must_refuse(response, "wrong_method")
                named = {each.strip() for each in response.headers.get("allow", "").split(",")}
                if (
                    response.status_code == HTTPStatus.METHOD_NOT_ALLOWED
                    and named - _UNDOCUMENTED != allowed - _UNDOCUMENTED
                ):
                    raise target.broken(response, f"its Allow must name {', '.join(sorted(allowed))}")


def claim_refusals_are_well_formed(target: Target) -> None:
    """Every refusal has the documented envelope and media type, speaks of its own status, and does not repeat the key."""
    key = target.key
    for response in (
        target.create(headers={"authorization": f"Basic {key}"}),
        target.create({}),
        target.create(body=b"{"),
        target.create(headers=target.authorization),
        target.poll(None),
        target.poll("nobody"),
        target.send(target.polling.method, "/nowhere"),
        target.send("DELETE", target.polling.path),
    ):
        target.must_be_sound(response)


def claim_refusals_cost_nothing(target: Target) -> None:
    """Nothing is booked for what is refused."""
    assert target.spent is not None
    target.clock.sleep(target.contract.observed.polling.timeout)  # what was made before is booked by then
    before = target.spent()
    for response in (target.create({}), target.create(body=b"{"), target.create(headers={}), target.poll("nobody")):
        target.clock.sleep(target.contract.observed.polling.timeout)
        if target.spent() != before:
            raise target.broken(response, f"it must cost nothing, and cost {target.spent() - before}")


def _refuses(target: Target, *authorizations: str) -> None:
    for value in authorizations:
        headers = {"authorization": value} if value else {}
        media_type = {"content-type": target.creation.media_type or ""}
        target.must_refuse(target.create(headers={**media_type, **headers}), "unauthorized")
        target.must_refuse(target.poll("nobody", headers=headers), "unauthorized")


def broken_payloads(target: Target) -> Iterator[tuple[Mutation, Any]]:
    """Yield every mutation with a payload that it makes, and that the service is not known to take."""
    for mutation in mutations(contract=target.contract):
        for payload in (mutation.payload, *_further_back(target, mutation)):
            if has_errors(validate(payload, contract=target.contract)):
                yield mutation, payload


def _further_back(target: Target, mutation: Mutation) -> Iterator[Any]:
    """Yield the same violation in the second item of an array, behind a good one."""
    for name, rules in resolve(target.contract.request_schema)["properties"].items():
        if mutation.pointer.startswith(f"/{name}/0"):
            yield {**mutation.payload, name: [minimal_value(rules.get("items", {})), *mutation.payload[name]]}


class InvalidPayloadAccepted(ContractBroken):
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
    """Send payloads with one violation each, and raise an ExceptionGroup of a InvalidPayloadAccepted for each rule broken.

    With `chance` one is drawn for each rule at each place, and none that is about the model; without, all are sent.
    """
    taken: dict[tuple[str, str], list[tuple[ContractBroken, Mutation, Any]]] = {}
    for mutation, payload in broken_payloads(target) if chance is None else _drawn(target, chance):
        violation = next(each for each in validate(payload, contract=target.contract) if each.severity == "error")
        try:
            response = target.create(body=json.dumps(payload).encode())
            target.must_refuse(response, "invalid_body", str(violation))
            target.must_be_sound(response)
        except UnexpectedCreation:
            raise
        except ContractBroken as broken:
            taken.setdefault((mutation.pointer, mutation.rule), []).append((broken, mutation, payload))
    if taken:
        found = [InvalidPayloadAccepted(*each[0], others=len(each) - 1) for each in taken.values()]
        raise ExceptionGroup(f"{len(found)} rules are not kept", found)


def _drawn(target: Target, chance: random.Random) -> Iterator[tuple[Mutation, Any]]:
    variants: dict[tuple[str, str], list[tuple[Mutation, Any]]] = {}
    for mutation, payload in broken_payloads(target):
        if mutation.pointer != f"/{_MODEL}":
            variants.setdefault((mutation.pointer, mutation.rule), []).append((mutation, payload))
    return (chance.choice(each) for each in variants.values())
