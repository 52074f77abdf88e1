"""How must generations be made, go their way and end? One function a claim: it raises ContractBroken when it is not kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kling_contract.checks.target import Target
from kling_contract.errors import ContractBroken
from kling_contract.generation import Generation
from kling_contract.validation.messages import same_media_type

__all__ = [
    "check_video",
    "claim_answers_fit",
    "claim_failures_are_told",
    "claim_generations_are_independent",
    "claim_reading_changes_nothing",
    "claim_refusals_change_nothing",
    "claim_statuses_go_forward",
    "claim_success_costs_its_price",
    "claim_videos_can_be_had",
]

_CROWD = 5  # generations that are under way at once


def claim_statuses_go_forward(target: Target) -> None:
    """A generation moves along the graph of states only, ends within the time observed, and stays as it ended."""
    for _ in _watched(target, _first(target, target.create())):
        pass


def claim_answers_fit(target: Target) -> None:
    """Every answer to a poll fits its schema, and shows what the status of the generation entails, and nothing else."""
    shapes: Mapping[str, Mapping[str, Any]] = target.contract.observed.answers.get
    for response, generation in _watched(target, _first(target, target.create())):
        target.must_be_sound(response)
        for name in dict.fromkeys(name for shape in shapes.values() for name in shape):
            shown = generation.raw.get(name) is not None
            if shown != (name in shapes[generation.status]):
                raise target.broken(
                    response, f"{name} must {'not ' if shown else ''}be shown in status {generation.status}"
                )


def claim_reading_changes_nothing(target: Target) -> None:
    """Two polls at the same time show the same, and a later one what may follow."""
    for response, generation in _watched(target, _first(target, target.create())):
        before = target.clock.now()
        again = target.poll(generation.id)
        if target.clock.now() == before and again.content != response.content:
            raise target.broken(again, f"a moment ago it was answered {target.shown(response)}")


def claim_refusals_change_nothing(target: Target) -> None:
    """What is refused leaves the generations as they are."""
    for _, generation in _watched(target, _first(target, target.create())):
        for _ in (
            target.create({}),
            target.create(headers={}),
            target.poll("nobody"),
            target.send("DELETE", target.polling.path),
        ):
            again = target.poll(generation.id)
            if not target.contract.lifecycle.allows(generation.status, target.generation(again, target.polling).status):
                raise target.broken(again, f"before a refusal its status was {generation.status}")


def claim_generations_are_independent(target: Target) -> None:
    """Several generations at once go each its own way, and a later one begins anew."""
    early = [_first(target, target.create()) for _ in range(_CROWD)]
    *_, (_, ended) = _watched(target, early[0])
    began = target.clock.now()
    late = _first(target, target.create())
    response = target.poll(late.id)
    if target.generation(response, target.polling).status != late.status and target.clock.now() == began:
        raise target.broken(response, f"it was created just now, in status {late.status}")
    for made in early:
        response = target.poll(made.id)
        if not target.contract.lifecycle.allows(ended.status, target.generation(response, target.polling).status):
            raise target.broken(response, f"it must be {ended.status}: it began with one that ended so")


def claim_videos_can_be_had(target: Target) -> None:
    """A generation that succeeds has a video, which downloads without a key and has the size and the type that were announced."""
    for seconds in _durations(target):
        *_, (response, ended) = _watched(target, _first(target, target.create({**target.minimal_payload(), **seconds})))
        if target.contract.lifecycle.succeeded(ended.status):
            check_video(target, response, ended)


def claim_success_costs_its_price(target: Target) -> None:
    """A generation that succeeds costs what a video of its length does, once."""
    assert target.spent is not None
    target.clock.sleep(target.contract.observed.polling.timeout)  # what was made before is booked by then
    for seconds in _durations(target):
        before, payload = target.spent(), {**target.minimal_payload(), **seconds}
        for response, generation in _watched(target, _first(target, target.create(payload))):
            price = target.contract.price(target.contract.video_seconds(payload))
            early = 0 if target.contract.observed.price.booked == "on success" else price
            due = price if target.contract.lifecycle.succeeded(generation.status) else early
            if target.spent() - before != due:
                raise target.broken(response, f"by now it must have cost {due}, and it cost {target.spent() - before}")


def claim_failures_are_told(target: Target) -> None:
    """A generation that fails says so in a final status and why."""
    assert target.play is not None
    target.play({"timeline": "failure"})
    try:
        *_, (response, ended) = _watched(target, _first(target, target.create()))
        target.must_be_sound(response)
        if not target.contract.lifecycle.failed(ended.status):
            raise target.broken(response, "it must have failed: the scenario has it so")
        missing = [name for name in target.contract.observed.answers.get[ended.status] if ended.raw.get(name) is None]
        if missing:
            raise target.broken(response, f"it must show {', '.join(missing)}")
    finally:
        target.play({})


def check_video(target: Target, response: Any, generation: Generation) -> None:
    """Download the videos of a generation that `response` showed; raise ContractBroken when they are not what it says."""
    if not generation.videos:
        raise target.broken(response, "it must show a video")
    for video in generation.videos:
        if video.url is None:
            raise target.broken(response, "its video must have a URL")
        file = target.send("GET", video.url, headers={})
        kind = file.headers.get("content-type", "")
        wanted = video.content_type or target.contract.observed.answers.video_content_type
        if file.status_code != 200:
            raise target.broken(response, f"its video is answered {file.status_code}")
        if video.file_size is not None and len(file.content) != video.file_size:
            raise target.broken(response, f"its video has {len(file.content)} bytes")
        if not file.content or not same_media_type(kind, wanted):
            raise target.broken(
                response, f"its video has {len(file.content)} bytes of {kind or 'no media type'}, not of {wanted}"
            )


def _first(target: Target, response: Any, why: str = "") -> Generation:
    """Read the answer to a create that must have been accepted."""
    try:
        made = target.generation(response, target.creation)
    except ContractBroken as broken:
        if not why:
            raise
        raise target.broken(response, f"{broken.wrong}: {why}") from None
    if made.status != target.contract.lifecycle.initial:
        raise target.broken(response, f"its status must be {target.contract.lifecycle.initial} at first")
    return made


def _watched(target: Target, made: Generation) -> Iterator[tuple[Any, Generation]]:
    """Poll a generation until it ends and then once more, long after, and hold its statuses against the graph."""
    lifecycle, pace = target.contract.lifecycle, target.contract.observed.polling
    last, waited, late = made.status, 0.0, False
    while True:
        response = target.poll(made.id)
        seen = target.generation(response, target.polling)
        if not lifecycle.knows(seen.status) or not lifecycle.allows(last, seen.status):
            raise target.broken(response, f"its status was {last} before, after which this may not come")
        yield response, seen
        if late:
            return
        last, late = seen.status, lifecycle.is_final(seen.status)
        if waited > pace.timeout:
            raise target.broken(response, f"it must have ended within {pace.timeout} seconds")
        pause = pace.timeout if late else pace.interval
        target.clock.sleep(pause)
        waited += 0 if late else pause


def _durations(target: Target) -> list[dict[str, Any]]:
    """Return each way to ask for a length of video, as members of a payload."""
    member = target.contract.request_schema["properties"].get("duration", {})
    return [{}, *({"duration": seconds} for seconds in member.get("enum", ()))]
