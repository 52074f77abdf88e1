"""Claims about how generations move from status to status, end, and are billed.

The order matters where one paid generation is looked at by several claims: `responses_fit` watches it on its way, and those
after it find it ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kling_contract.checks.claims import claim
from kling_contract.checks.places import STATUS
from kling_contract.checks.target import Target
from kling_contract.generation import Generation
from kling_contract.validation.messages import same_media_type

__all__ = ["check_video"]

_SEVERAL = 5  # generations that are under way at once


@claim(place="observed.json#/answers/get", on_paid=True)
def responses_fit(target: Target) -> None:
    """Every response to a poll fits its schema, and shows what the status of the generation entails, and nothing else."""
    shapes: Mapping[str, Mapping[str, Any]] = target.contract.observed.answers.get
    members = dict.fromkeys(name for shape in shapes.values() for name in shape)
    for response, generation in _watched(target, target.created(target.create())):
        target.must_be_sound(response)
        for name in members:
            shown = generation.raw.get(name) is not None
            if shown != (name in shapes[generation.status]):
                expected = f"{'no ' if shown else ''}{name} in status {generation.status}"
                raise target.broken(response, expected, problem=f"{name} is {'' if shown else 'not '}there")


@claim(place=STATUS, on_paid=True)
def statuses_go_forward(target: Target) -> None:
    """A generation moves along the graph of statuses only, ends within the time observed, and stays as it ended."""
    for _ in _watched(target, target.created(target.create())):
        pass


@claim(place=STATUS, on_paid=True)
def reading_changes_nothing(target: Target) -> None:
    """Two polls at the same time return the same, and a later one what may follow."""
    for response, generation in _watched(target, target.created(target.create())):
        before = target.clock.now()
        again = target.poll(generation.id)
        if target.clock.now() == before and again.content != response.content:
            raise target.broken(again, "the same response as a moment ago", problem=f"it was {target.shown(response)}")


@claim(place=STATUS)
def refusals_change_nothing(target: Target) -> None:
    """A request that is refused leaves the generations as they are."""
    for _, generation in _watched(target, target.created(target.create())):
        for _ in (
            target.create({}),
            target.create(headers={}),
            target.poll("nobody"),
            target.send("DELETE", target.polling.path),
        ):
            again = target.poll(generation.id)
            status = target.generation(again, target.polling).status
            if not target.contract.lifecycle.allows(generation.status, status):
                expected = f"status {generation.status}, or one after it"
                raise target.broken(again, expected, problem="a request was refused just before")


@claim(place=STATUS)
def generations_are_independent(target: Target) -> None:
    """Several generations at once each go their own way, and a later one begins anew."""
    early = [target.created(target.create()) for _ in range(_SEVERAL)]
    *_, (_, ended) = _watched(target, early[0])
    began = target.clock.now()
    late = target.created(target.create())
    response = target.poll(late.id)
    if target.generation(response, target.polling).status != late.status and target.clock.now() == began:
        raise target.broken(response, f"status {late.status}", problem="it was created just now")
    for made in early:
        response = target.poll(made.id)
        if not target.contract.lifecycle.allows(ended.status, target.generation(response, target.polling).status):
            problem = "it was created together with one that has ended so"
            raise target.broken(response, f"status {ended.status}", problem=problem)


@claim(place="observed.json#/answers", on_paid=True)
def videos_can_be_had(target: Target) -> None:
    """A generation that succeeds has a video, which downloads without a key and has the announced size and type."""
    for seconds in _durations(target):
        payload = {**target.minimal_payload(), **seconds}
        *_, (response, ended) = _watched(target, target.created(target.create(payload)))
        if target.contract.lifecycle.succeeded(ended.status):
            check_video(target, response, ended)


@claim(place="observed.json#/price", needs="price")
def success_costs_its_price(target: Target) -> None:
    """A generation that succeeds costs what a video of its length does, once."""
    assert target.spent is not None
    target.clock.sleep(target.contract.observed.polling.timeout)  # what was made before is billed by then
    for seconds in _durations(target):
        before, payload = target.spent(), {**target.minimal_payload(), **seconds}
        for response, generation in _watched(target, target.created(target.create(payload))):
            price = target.contract.price(target.contract.video_seconds(payload))
            early = 0 if target.contract.observed.price.booked == "on success" else price
            due = price if target.contract.lifecycle.succeeded(generation.status) else early
            cost = target.spent() - before
            if cost != due:
                raise target.broken(response, f"a cost of {due} so far", problem=f"it has cost {cost}")


@claim(place="observed.json#/failure", needs="play")
def failures_say_why(target: Target) -> None:
    """A generation that fails says so in a final status, and says why."""
    assert target.play is not None
    target.play({"timeline": "failure"})
    try:
        *_, (response, ended) = _watched(target, target.created(target.create()))
        target.must_be_sound(response)
        if not target.contract.lifecycle.failed(ended.status):
            raise target.broken(response, "a failure", problem="the scenario lets this generation fail")
        missing = [name for name in target.contract.observed.answers.get[ended.status] if ended.raw.get(name) is None]
        if missing:
            raise target.broken(response, ", ".join(missing), problem=f"missing: {', '.join(missing)}")
    finally:
        target.play({})


def check_video(target: Target, response: Any, generation: Generation) -> None:
    """Download the videos of a generation that `response` showed. Raise ContractBroken if they are not what it says."""
    if not generation.videos:
        raise target.broken(response, "a video")
    for video in generation.videos:
        if video.url is None:
            raise target.broken(response, "a video with a URL")
        file = target.send("GET", video.url, headers={})
        size, kind = len(file.content), file.headers.get("content-type", "")
        wanted = video.content_type or target.contract.observed.answers.video_content_type
        if file.status_code != 200:
            raise target.broken(response, "a link to its video", problem=f"the link returns {file.status_code}")
        if video.file_size is not None and size != video.file_size:
            expected = f"a video of {video.file_size} bytes"
            raise target.broken(response, expected, problem=f"its video has {size} bytes")
        if not file.content or not same_media_type(kind, wanted):
            problem = f"its video has {size} bytes of {kind or 'no media type'}"
            raise target.broken(response, f"a video of type {wanted}", problem=problem)


def _watched(target: Target, made: Generation) -> Iterator[tuple[Any, Generation]]:
    """Poll a generation until it ends, and once more long after. Check each status against the graph."""
    lifecycle, pace = target.contract.lifecycle, target.contract.observed.polling
    last, waited, late = made.status, 0.0, False
    while True:
        response = target.poll(made.id)
        seen = target.generation(response, target.polling)
        if not lifecycle.knows(seen.status) or not lifecycle.allows(last, seen.status):
            raise target.broken(response, f"a status that may follow {last}", problem=f"it is {seen.status}")
        yield response, seen
        if late:
            return
        last, late = seen.status, lifecycle.is_final(seen.status)
        if waited > pace.timeout:
            raise target.broken(response, f"an end within {pace.timeout} seconds")
        pause = pace.timeout if late else pace.interval
        target.clock.sleep(pause)
        waited += 0 if late else pause


def _durations(target: Target) -> list[dict[str, Any]]:
    """Return each way to ask for a length of video, as members of a payload."""
    member = target.contract.request_schema["properties"].get("duration", {})
    return [{}, *({"duration": seconds} for seconds in member.get("enum", ()))]
