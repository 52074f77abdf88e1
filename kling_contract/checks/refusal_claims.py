"""Claims about what a server must refuse, and how. They are free: a server that keeps them creates nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from kling_contract.checks.claims import claim
from kling_contract.checks.guard import UnexpectedCreation
from kling_contract.checks.places import CREATE_REQUEST, reason
from kling_contract.checks.restricted import MODEL
from kling_contract.checks.target import Target
from kling_contract.errors import ContractBroken
from kling_contract.mutations import Mutation, mutations
from kling_contract.schema_values.rules import minimal_value, resolve
from kling_contract.validation import validate
from kling_contract.violation import has_errors

__all__ = ["InvalidPayloadAccepted"]

_UNDECLARED = "x_undeclared"
_STRANGE_IDS = ("nobody", "0", "a b", "../..", "%", "\0", "\U0001f408", "a" * 2000)
_NO_PAYLOADS = (
    *(b"", b"{", b"prompt=a+cat", b"null", b"[]", b'"a cat"', b"1", b"{}", b"{}{}", b"\xff", b"[" * 5000 + b"]" * 5000),
)
_METHODS = ("PUT", "PATCH", "DELETE", "POST", "GET")
_UNDOCUMENTED = {"HEAD", "OPTIONS"}  # servers answer them by themselves
_ANY_KEY = (
    "kling-contract's own fake takes any key unless it is started with --api-key KEY; "
    "give check the same key in AIMLAPI_KEY"
)


@claim(place=reason("unauthorized"), free=True)
def key_is_needed(target: Target) -> None:
    """Without a bearer token both operations refuse."""
    _must_refuse_keys(target, "", "Bearer", f"Basic {target.key}", target.key)


@claim(place=reason("unauthorized"), free=True, hint=_ANY_KEY)
def other_keys_are_refused(target: Target) -> None:
    """With a key that nobody was given both operations refuse."""
    _must_refuse_keys(target, f"Bearer {target.key}x", f"Bearer {target.key[1:]}", f"Bearer {target.key.swapcase()}0")


class InvalidPayloadAccepted(ContractBroken):
    """A payload with one violation was not refused as it must be.

    `mutation` is the kind of violation, `others` how many other payloads broke the same rule at the same place.
    """

    def __init__(self, broken: ContractBroken, mutation: Mutation, payload: Any, others: int) -> None:
        super().__init__(
            str(broken),
            request=broken.request,
            expected=broken.expected,
            actual=broken.actual,
            problem=broken.problem,
            assumed=broken.assumed,
        )
        self.mutation = mutation
        self.payload = payload
        self.others = others


@claim(place=f"{CREATE_REQUEST}#", free=True)
def invalid_payloads_are_refused(target: Target) -> None:
    """A payload that breaks a rule of the schema, whichever and wherever, is refused, unless the service is known to take it."""
    # Raises a group, with one InvalidPayloadAccepted for each rule at each place, and the smallest payload that shows it.
    accepted: dict[tuple[str, str], list[tuple[ContractBroken, Mutation, Any]]] = {}
    for mutation, payload in _invalid_payloads(target) if target.creates.possible else _one_of_each(target):
        violation = next(each for each in validate(payload, contract=target.contract) if each.severity == "error")
        try:
            response = target.create(body=json.dumps(payload).encode())
            target.must_refuse(response, "invalid_body", str(violation))
            target.must_be_sound(response)
        except UnexpectedCreation:
            raise
        except ContractBroken as broken:
            accepted.setdefault((mutation.pointer, mutation.rule), []).append((broken, mutation, payload))
    if accepted:
        found = [InvalidPayloadAccepted(*payloads[0], others=len(payloads) - 1) for payloads in accepted.values()]
        raise ExceptionGroup(f"{len(found)} rules are not checked", found)


@claim(place=reason("invalid_body"), free=True)
def invalid_json_is_refused(target: Target) -> None:
    """A body that is not a JSON object, or holds what JSON has no place for, is refused."""
    minimal = json.dumps(target.minimal_payload())
    name, value = next(iter(target.minimal_payload().items()))
    twice = f"{minimal[:-1]}, {json.dumps(name)}: {json.dumps(value)}}}"
    for text in ("NaN", "Infinity", "-Infinity", "01", "'a'", '"\\x"', "9" * 5000):
        target.must_refuse(target.create(body=f'{minimal[:-1]}, "{_UNDECLARED}": {text}}}'.encode()), "invalid_body")
    for body in (*_NO_PAYLOADS, twice.encode(), minimal.encode("utf-16"), minimal.encode() + b"]"):
        target.must_refuse(target.create(body=body), "invalid_body")


@claim(place=reason("wrong_media_type"), free=True)
def media_type_is_needed(target: Target) -> None:
    """A body that is not declared to be of the documented media type is refused."""
    for value in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        headers = target.authorization | ({"content-type": value} if value else {})
        target.must_refuse(target.create(headers=headers), "wrong_media_type")


@claim(place=reason("unknown_generation"), free=True)
def unknown_ids_are_refused(target: Target) -> None:
    """A poll for an id that nobody was given is refused, whatever it looks like."""
    for strange in _STRANGE_IDS:
        target.must_refuse(target.poll(strange), "unknown_generation")


@claim(place=reason("invalid_query"), free=True)
def polls_need_an_id(target: Target) -> None:
    """A poll that names no generation is refused."""
    target.must_refuse(target.poll(None), "invalid_query")


@claim(place=reason("unknown_path"), free=True)
def other_paths_are_unknown(target: Target) -> None:
    """A path that is not in the document is refused."""
    path = target.polling.path
    # Not the root, and not other spellings: no document says what is there, and whether case and a last slash count.
    for other in (f"{path}/some-id", f"{path}/status/some-id", f"{path}x"):
        target.must_refuse(target.send(target.polling.method, other), "unknown_path")


@claim(place=reason("wrong_method"), free=True)
def other_methods_are_refused(target: Target) -> None:
    """A method that a path does not have is refused, and the response names the methods that it has."""
    paths = dict.fromkeys(path for operation in target.contract.operations.values() for path in operation.paths)
    for path in paths:
        allowed = {operation.method for operation in target.contract.route(path)}
        for method in _METHODS:
            if method not in allowed:
                response = target.send(method, path)
                target.must_refuse(response, "wrong_method")
                allow = response.headers.get("allow", "")
                named = {name.strip() for name in allow.split(",")} - _UNDOCUMENTED
                if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED and named != allowed - _UNDOCUMENTED:
                    problem = f"Allow is {allow!r}" if allow else "Allow is missing"
                    raise target.broken(response, f"Allow: {', '.join(sorted(allowed))}", problem=problem)


@claim(place="error.schema.json#", free=True)
def refusals_are_well_formed(target: Target) -> None:
    """Every refusal has the documented envelope and media type, names its own status, and does not repeat the key."""
    for response in (
        target.create(headers={"authorization": f"Basic {target.key}"}),
        target.create({}),
        target.create(body=b"{"),
        target.create(headers=target.authorization),
        target.poll(None),
        target.poll("nobody"),
        target.send(target.polling.method, "/nowhere"),
        target.send("DELETE", target.polling.path),
    ):
        target.must_be_sound(response)


@claim(place="observed.json#/price", free=True, needs="spent")
def refusals_cost_nothing(target: Target) -> None:
    """A request that is refused costs nothing."""
    assert target.spent is not None
    target.clock.sleep(target.contract.observed.polling.timeout)  # what was made before is billed by then
    before = target.spent()
    for response in (target.create({}), target.create(body=b"{"), target.create(headers={}), target.poll("nobody")):
        target.clock.sleep(target.contract.observed.polling.timeout)
        if target.spent() != before:
            raise target.broken(response, "no cost", problem=f"it has cost {target.spent() - before}")


def _must_refuse_keys(target: Target, *authorizations: str) -> None:
    for value in authorizations:
        headers = {"authorization": value} if value else {}
        media_type = {"content-type": target.creation.media_type or ""}
        target.must_refuse(target.create(headers={**media_type, **headers}), "unauthorized")
        target.must_refuse(target.poll("nobody", headers=headers), "unauthorized")


def _invalid_payloads(target: Target) -> Iterator[tuple[Mutation, Any]]:
    """Yield every mutation with a payload that it makes, and that the service is not known to take."""
    for mutation in mutations(contract=target.contract):
        for payload in (mutation.payload, *_in_second_item(target, mutation)):
            if has_errors(validate(payload, contract=target.contract)):
                yield mutation, payload


def _in_second_item(target: Target, mutation: Mutation) -> Iterator[Any]:
    """Yield the same violation in the second item of an array, behind a good one."""
    for name, rules in resolve(target.contract.request_schema)["properties"].items():
        if mutation.pointer.startswith(f"/{name}/0"):
            yield {**mutation.payload, name: [minimal_value(rules.get("items", {})), *mutation.payload[name]]}


def _one_of_each(target: Target) -> Iterator[tuple[Mutation, Any]]:
    """Yield one payload, drawn by the target's seed, for each rule at each place.

    Where every create names an unknown model and is refused for that, more would show no more, and none of the model's own.
    """
    chance = random.Random(target.seed)
    variants: dict[tuple[str, str], list[tuple[Mutation, Any]]] = {}
    for mutation, payload in _invalid_payloads(target):
        if mutation.pointer != f"/{MODEL}":
            variants.setdefault((mutation.pointer, mutation.rule), []).append((mutation, payload))
    return (chance.choice(alternatives) for alternatives in variants.values())
