"""Claims about creating generations."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kling_contract.checks.lifecycle_claims import _first
from kling_contract.checks.restricted import _CROWD
from kling_contract.checks.target import Target
from kling_contract.schema_values.boundaries import candidates, minimal_or_none
from kling_contract.schema_values.rules import is_valid, resolve

__all__ = [
    "claim_calls_at_once_do_not_mix",
    "claim_every_path_leads_there",
    "claim_generations_are_created",
    "claim_ids_are_taken_whole",
    "claim_ids_are_their_own",
    "claim_media_type_may_have_parameters",
    "claim_undeclared_members_are_taken",
    "claim_valid_payloads_are_accepted",
]


_UNDECLARED = "x_undeclared"


def claim_generations_are_created(target: Target) -> None:
    """The least payload is accepted: the answer fits its schema and shows the first status."""
    response = target.create()
    _first(target, response)
    target.must_be_sound(response)


def claim_valid_payloads_are_accepted(target: Target) -> None:
    """A payload that the schema allows is accepted: each optional member alone, at each of its limits, and all of them together."""
    least, rules = target.minimal_payload(), resolve(target.contract.request_schema)
    _first(
        target,
        target.create({**least, **{name: minimal_or_none(member) for name, member in rules["properties"].items()}}),
    )
    for name, member in rules["properties"].items():
        for value in (each for each in candidates(member, member) if is_valid(member, each)):
            _first(target, target.create({**least, name: value}), f"{name} may be {json.dumps(value)[:80]}")


def claim_undeclared_members_are_taken(target: Target) -> None:
    """A member that the schema does not declare is not refused, since nothing forbids it."""
    _first(target, target.create({**target.minimal_payload(), _UNDECLARED: 1}))


def claim_media_type_may_have_parameters(target: Target) -> None:
    """The media type of a body may be written with parameters, and in capitals."""
    media_type = target.creation.media_type or ""
    for spelt in (f"{media_type}; charset=utf-8", media_type.upper()):
        _first(target, target.create(headers={**target.authorization, "content-type": spelt}))


def claim_every_path_leads_there(target: Target) -> None:
    """A generation that was created through one of the documented paths can be polled through each of them."""
    for path in target.creation.paths:
        made = _first(target, target.create(path=path))
        for other in target.polling.paths:
            target.generation(target.poll(made.id, path=other), target.polling)


def claim_ids_are_their_own(target: Target) -> None:
    """No two generations have the same id, and a poll is answered with the id that it asked for."""
    ids = [_first(target, target.create()).id for _ in range(_CROWD)]
    for each in ids:
        response = target.poll(each)
        if target.generation(response, target.polling).id != each:
            raise target.broken(response, "it must show the generation that was asked for")
        if ids.count(each) > 1:
            raise target.broken(response, "two creates were answered with this id")


def claim_ids_are_taken_whole(target: Target) -> None:
    """An id that is cut, extended or spelt in another case is not the id."""
    made = _first(target, target.create())
    for other in {made.id[:-1], f"{made.id}x", f" {made.id}", made.id.swapcase()} - {made.id}:
        target.must_refuse(target.poll(other), "unknown_generation")


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
