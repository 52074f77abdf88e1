"""Replay: the service as it was recorded, with the recorded responses at the recorded times."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fake_server.journal import har
from fake_server.messages import Exchange, Reply, Request
from fake_server.service import media
from fake_server.service.generation import FakeGeneration
from fake_server.service.service import Service
from kling_contract import generation as shown
from kling_contract.contract import Contract, Step, Timeline, revisions
from kling_contract.errors import DocumentError, InvalidJson
from kling_contract.jsontext.parser import parse
from kling_contract.validation.messages import check_query, operation_of
from kling_contract.violation import Violation

__all__ = ["Recordings", "Replay"]

_UNAUTHORIZED = "unauthorized"  # a reason of observed.json
_LONGEST_STAND_IN = 64 * 2**20  # bytes


@dataclass(slots=True)
class _Recorded:
    """One recorded generation. The reply at each index is the response from the step of the timeline at that index on."""

    id: str
    created_at: float
    steps: list[Step]
    replies: list[Reply]
    video: shown.Video | None = None

    def add(self, at: float, reply: Reply, seen: shown.Generation | None) -> None:
        """Add the response to a poll. If it does not show the generation (`seen` is None), the status stays as it was."""
        last = self.steps[-1]
        elapsed = at - self.created_at
        if elapsed == last.at:
            self.steps.pop()
            self.replies.pop()
        self.steps.append(Step(last.status if seen is None else seen.status, elapsed))
        self.replies.append(reply)
        if seen is not None and seen.video is not None and media.path_of(seen.video.url):
            self.video = seen.video

    def timeline(self, *, at_once: bool = False) -> Timeline:
        """Return its timeline; with `at_once` only the last step, at once."""
        return Timeline((replace(self.steps[-1], at=0.0),) if at_once else tuple(self.steps))

    def has_timeline(self, timeline: Timeline) -> bool:
        """Return whether this is its timeline. It is not if the generation was rescheduled."""
        return timeline in (self.timeline(), self.timeline(at_once=True))

    def reply(self, generation: FakeGeneration, now: float) -> Reply:
        """Return the response to a poll at `now`."""
        if generation.timeline == self.timeline(at_once=True):
            return self.replies[-1]
        if generation.polls is not None:
            return self.replies[min(generation.polls, len(self.replies) - 1)]
        elapsed = now - generation.created_at
        return self.replies[max(0, bisect_right(self.steps, elapsed, key=lambda step: step.at) - 1)]


@dataclass(frozen=True, slots=True)
class _Create:
    """A recorded create: what was sent, its response, and the generation that it created (None: none)."""

    sent: object
    reply: Reply
    made: _Recorded | None


@dataclass(frozen=True, slots=True)
class Recordings:
    """The content of an HTTP Archive: creates in their order, generations by id, and videos by path."""

    creates: list[_Create] = field(default_factory=list)
    generations: dict[str, _Recorded] = field(default_factory=dict)
    videos: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def load(cls, archive: Mapping[str, Any] | Path | str, contract: Contract) -> Recordings:
        """Read an archive, decoded or as a file. Raise DocumentError if it has no create, or a response that cannot be
        repeated.
        """
        recordings = cls()
        exchanges = har.read(archive)
        name = "the archive" if isinstance(archive, Mapping) else archive
        for exchange in exchanges:
            try:
                recordings._add(exchange, contract)
            except DocumentError as unfit:
                raise DocumentError(f"{name}: {unfit}") from None
        if not recordings.creates:
            others = [each for each in revisions() if _has_creates(exchanges, Contract.load(each))]
            advice = f"; it has some of {', '.join(others)}: choose that revision" if others else ""
            raise DocumentError(f"{name}: there is no create of {contract.revision} to be repeated{advice}")
        paths = {media.path_of(each.video.url) for each in recordings.generations.values() if each.video is not None}
        for each in exchanges:
            path = each.request.target.path
            if each.request.method == "GET" and each.reply.status == 200 and each.arrived and path in paths:
                recordings.videos[path] = each.reply.body
        return recordings

    def _add(self, exchange: Exchange, contract: Contract) -> None:
        request, reply = exchange.request, replace(exchange.reply, delay=0.0)
        _, operation = operation_of(contract, request.method, request.url)
        if operation is None:
            return
        if exchange.reply.status and not 200 <= exchange.reply.status <= 599:
            raise DocumentError(
                f"{exchange.request.method} {exchange.request.target.path} was answered by status {exchange.reply.status}, "
                "which cannot be repeated: an answer has a status from 200 to 599"
            )
        seen = _seen(exchange) if 200 <= reply.status < 300 else None
        if operation.id == contract.create.id:
            made = None
            if seen is not None:
                # Until the first poll only the response to the create is known, and it has the schema of a poll's.
                first = replace(reply, status=contract.get.success)
                made = self.generations[seen.id] = _Recorded(seen.id, exchange.at, [Step(seen.status, 0.0)], [first])
            self.creates.append(_Create(_content(request), reply, made))
        else:
            recorded = self.generations.get(_asked_for(contract, request) or "")
            if recorded is not None:
                recorded.add(exchange.at, reply, seen)


class Replay(Service):
    """The service as it was recorded.

    A create gets the response of a recorded create: the first not yet repeated with the same body, or else the first not
    yet repeated; after the last one it starts over. Violations of a create are in the journal, but it is not refused. A poll
    of a generation created so gets the response that was the latest after the same time; delays are not repeated. URLs of
    videos lead to this fake, and if no download was recorded it serves a video of the announced size. Everything else is as
    in any service.
    """

    def __init__(self, recordings: Recordings, *service: Any, **options: Any) -> None:
        super().__init__(*service, **options)
        self._recordings = recordings
        self._ahead: list[_Create] = []

    def _create(self, request: Request, now: float, *, there: Contract) -> Exchange:
        operation = there.create
        _, _, wrong, contract = self._check(request, operation)
        violations = tuple(wrong)
        if self._is_unauthorized(violations):
            return self.refuse(request, now, _UNAUTHORIZED, violations, operation.id, contract=contract)
        payload = _content(request)
        create = self._next(payload)
        if (recorded := create.made) is None:
            return Exchange(now, request, create.reply, operation.id, violations)
        made = self._generation(payload if isinstance(payload, Mapping) else {}, now, contract)
        generation = replace(
            made,
            id=recorded.id,
            timeline=recorded.timeline(at_once=self._progression == "immediate"),
            video_url=made.video_url if recorded.video is None else _moved(recorded.video.url, made.video_url),
        )
        self._generations.put(generation)
        return Exchange(now, request, create.reply, operation.id, violations, generation.id)

    def _get(self, request: Request, now: float, *, there: Contract) -> Exchange:
        asked = _asked_for(there, request) or ""
        generation, recorded = self._generations.by_id.get(asked), self._recordings.generations.get(asked)
        if generation is None or recorded is None or not recorded.has_timeline(generation.timeline):
            return super()._get(request, now, there=there)
        operation = there.get
        violations = tuple(self._check(request, operation).violations)
        if self._is_unauthorized(violations):
            return self.refuse(request, now, _UNAUTHORIZED, violations, operation.id, contract=there)
        reply = recorded.reply(generation, now)
        if recorded.video is not None and reply.cut is None:
            theirs, ours = recorded.video.url, generation.video_url_on(self._origin(request))
            reply = replace(reply, body=reply.body.replace(_in_json(theirs), _in_json(ours)))
        self._generations.count_poll(generation)
        return Exchange(now, request, reply, operation.id, violations, generation.id)

    def _is_unauthorized(self, violations: Sequence[Violation]) -> bool:
        """Return whether a call lacks the key that this fake requires. Without an `api_key` it requires none."""
        return self._api_key is not None and any(violation.reason == _UNAUTHORIZED for violation in violations)

    def _video(self, generation: FakeGeneration) -> bytes:
        recorded = self._recordings.generations.get(generation.id)
        if recorded is None or recorded.video is None:
            return super()._video(generation)
        found = self._recordings.videos.get(media.path_of(recorded.video.url))
        if found is not None:
            return found
        film = super()._video(generation)
        missing = (recorded.video.file_size or 0) - len(film)
        if not 8 <= missing <= _LONGEST_STAND_IN:
            return film
        return film + missing.to_bytes(4, "big") + b"free" + bytes(missing - 8)  # a box that players pass over

    def _next(self, sent: object) -> _Create:
        ahead = self._ahead = self._ahead or list(self._recordings.creates)
        return ahead.pop(next((number for number, each in enumerate(ahead) if each.sent == sent), 0))


def _content(request: Request) -> object:
    """Return the JSON value of the body, or its bytes if it is not JSON."""
    try:
        return parse(request.body)
    except InvalidJson:
        return request.body


def _seen(exchange: Exchange) -> shown.Generation | None:
    """Return the generation that a response shows, None if it shows none."""
    try:
        return shown.Generation.from_body(parse(exchange.reply.body)) if exchange.arrived else None
    except (InvalidJson, ValueError):
        return None


def _asked_for(contract: Contract, request: Request) -> str | None:
    operation = contract.get
    (parameter,) = operation.query["required"]
    asked = check_query(contract, operation, request.target.query)[0].get(parameter)
    return asked if isinstance(asked, str) else None


def _has_creates(exchanges: list[Exchange], contract: Contract) -> bool:
    found = (operation_of(contract, each.request.method, each.request.url)[1] for each in exchanges)
    return any(operation is not None and operation.id == contract.create.id for operation in found)


def _moved(url: str | None, host_of: str) -> str:
    """Return a URL as it is on another host."""
    there, here = urlsplit(url or ""), urlsplit(host_of)
    return there._replace(scheme=here.scheme, netloc=here.netloc, fragment="").geturl()


def _in_json(url: str | None) -> bytes:
    return json.dumps(url, ensure_ascii=False).encode()
