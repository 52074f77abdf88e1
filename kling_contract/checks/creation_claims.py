"""Claims about creating generations. The first ones show best on a server that has made none yet."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kling_contract.checks.claims import claim
from kling_contract.checks.places import CREATE, CREATE_REQUEST, GET, reason
from kling_contract.checks.target import Target
from kling_contract.schema_values.boundaries import candidates, minimal_or_none
from kling_contract.schema_values.rules import is_valid, resolve
from kling_contract.validation import validate

__all__: list[str] = []

_UNDECLARED = "x_undeclared"
_SEVERAL = 8  # generations, one after the other
_AT_ONCE = 8  # callers


@claim(place=GET)
def ids_are_their_own(target: Target) -> None:
    """No two generations have the same id, and a poll returns the generation that was asked for."""
    ids = [target.created(target.create()).id for _ in range(_SEVERAL)]
    for generation_id in ids:
        response = target.poll(generation_id)
        shown = target.generation(response, target.polling).id
        if shown != generation_id:
            raise target.broken(response, f"generation {generation_id}", problem=f"it is generation {shown}")
        if ids.count(generation_id) > 1:
            raise target.broken(response, "an id of its own", problem="two creates returned this id")


@claim(place=CREATE, on_paid=True)
def generations_are_created(target: Target) -> None:
    """A create with the minimal payload is accepted: the response fits its schema and shows the first status."""
    response = target.create()
    target.created(response)
    target.must_be_sound(response)


@claim(place=f"{CREATE_REQUEST}#/properties")
def valid_payloads_are_accepted(target: Target) -> None:
    """A payload that the schema allows is accepted: each optional member alone, at each of its limits, and all of them together."""
    # Not those that break a guideline: the pages forbid them in words, and a server may do so, too.
    minimal, rules = target.minimal_payload(), resolve(target.contract.request_schema)
    everything = minimal
    for name, member in rules["properties"].items():
        more = {**everything, name: minimal_or_none(member)}
        everything = everything if name in minimal or _breaks_guideline(target, more) else more
    target.created(target.create(everything))
    for name, member in rules["properties"].items():
        for value in candidates(member, member):
            payload = {**minimal, name: value}
            if is_valid(member, value) and not _breaks_guideline(target, payload):
                target.created(target.create(payload), f"{name} may have the value {json.dumps(value)[:80]}")


@claim(place=f"{CREATE_REQUEST}#")
def undeclared_members_are_taken(target: Target) -> None:
    """A member that the schema does not declare is accepted, since nothing forbids it."""
    target.created(target.create({**target.minimal_payload(), _UNDECLARED: 1}))


@claim(place=CREATE)
def media_type_may_have_parameters(target: Target) -> None:
    """The media type of a body may be written with parameters, and in capitals."""
    media_type = target.creation.media_type or ""
    for spelling in (f"{media_type}; charset=utf-8", media_type.upper()):
        target.created(target.create(headers={**target.authorization, "content-type": spelling}))


@claim(place=GET)
def every_path_leads_there(target: Target) -> None:
    """A generation that was created at one of the documented paths can be polled at each of them."""
    for create_path in target.creation.paths:
        made = target.created(target.create(path=create_path))
        for poll_path in target.polling.paths:
            target.generation(target.poll(made.id, path=poll_path), target.polling)


@claim(place=reason("unknown_generation"))
def ids_are_taken_whole(target: Target) -> None:
    """An id that is cut, extended or written in another case is another id."""
    made = target.created(target.create())
    for other in (made.id[:-1], f"{made.id}x", f" {made.id}", made.id.swapcase()):
        if other != made.id:
            target.must_refuse(target.poll(other), "unknown_generation")


@claim(place=GET)
def calls_at_once_do_not_mix(target: Target) -> None:
    """Creates and polls that come at the same time each return their own generation."""

    def create_and_poll(_: int) -> tuple[str, Any]:
        made = target.generation(target.create(), target.creation)
        response = target.poll(made.id)
        shown = target.generation(response, target.polling).id
        if shown != made.id:
            raise target.broken(response, f"generation {made.id}", problem=f"it is generation {shown}")
        return made.id, response

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        polled = list(pool.map(create_and_poll, range(2 * _AT_ONCE)))
    ids = [generation_id for generation_id, _ in polled]
    for generation_id, response in polled:
        if ids.count(generation_id) > 1:
            raise target.broken(
                response, "an id of its own", problem="two creates that came at the same time returned this id"
            )


def _breaks_guideline(target: Target, payload: Any) -> bool:
    return any(found.rule == "guideline" for found in validate(payload, contract=target.contract))
