"""What does the service do with a request, when all goes well? Creates, polls, videos, and the refusals it has reason for."""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from fake_server.messages import Exchange, Reply, Request
from fake_server.scenario.scenario import Scenario
from fake_server.service import media
from fake_server.service.generation import FakeGeneration
from fake_server.service.generations import Generations
from fake_server.service.responses import Responses
from kling_contract.contract import Contract, Operation, Timeline
from kling_contract.errors import DocumentError
from kling_contract.validation.messages import check_query, operation_of, same_media_type
from kling_contract.validation.validator import validator_for
from kling_contract.violation import Strictness, Violation, has_errors

__all__ = ["Progression", "Service"]

Progression = Literal["time", "immediate", "polls"]

_DOWNLOAD = "download"
_IMAGE_KEPT = 500  # characters of an image_url that a generation remembers: it may be a data URI of megabytes


class Service:
    """Answers requests of one revision, in a world of `generations`. See FakeServer for what the options mean."""

    def __init__(
        self,
        contract: Contract,
        generations: Generations,
        responses: Responses,
        *,
        strictness: Strictness,
        progression: Progression,
        api_key: str | None,
        body_limit: int,
    ) -> None:
        self._contract = contract
        self._generations = generations
        self._responses = responses
        self._strictness: Strictness = strictness
        self._progression = progression
        self._api_key = api_key
        self._body_limit = body_limit
        self._host = urlsplit(contract.base_url).netloc
        self._validator = validator_for(contract)
        self._operations = {
            (operation.method, path): operation.id
            for operation in contract.operations.values()
            for path in operation.paths
        }
        # While a generation stays in a status its answer stays the same, and it is asked for often.
        self._polled = functools.lru_cache(maxsize=1024)(self._poll)

    def play(self, scenario: Scenario) -> None:
        """Let new generations go, and all answers look, as a scenario has it.

        Raise DocumentError, and change nothing, when it does not fit the contract.
        """
        timeline, reasons = scenario.timeline_under(self._contract), self._contract.observed.refusals.reasons
        for fault in scenario.faults:
            if fault.refusal is not None and fault.refusal not in reasons:
                raise DocumentError(
                    f"scenario {scenario.name}: {self._contract.revision} does not refuse for {fault.refusal!r}; "
                    f"its reasons are {', '.join(reasons)}"
                )
        self._responses.shape(scenario.answers)
        self._polled.cache_clear()
        self._first = timeline.steps[0].status
        self._timeline = Timeline((replace(timeline.final, at=0.0),)) if self._progression == "immediate" else timeline

    def route(self, request: Request) -> tuple[str | None, Callable[[Request, float], Exchange]]:
        """Return which operation a request is a call of, "download" for a video's, and what answers it at a time."""
        path = request.target.path
        operation = self._operations.get((request.method.upper(), path))
        if operation is not None:
            return operation, self._create if operation == self._contract.create.id else self._get
        if request.method in ("GET", "HEAD") and self._generations.with_video_at(path) is not None:
            return _DOWNLOAD, self._serve_video
        return None, self._serve_nothing

    def refuse(
        self,
        request: Request,
        now: float,
        reason: str,
        violations: Sequence[Violation],
        operation: str | None = None,
        *,
        explanation: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Exchange:
        """Refuse a request for a reason that `observed.json` lists; `explanation` is by default what its errors say."""
        errors = [violation for violation in violations if violation.severity == "error"]
        reply = self._responses.refused(
            reason,
            method=request.method,
            path=request.target.path,
            now=now,
            explanation="; ".join(map(str, errors)) if explanation is None else explanation,
            violations=errors,
            headers=headers,
        )
        return Exchange(now, request, reply, operation, tuple(violations))

    def _serve_nothing(self, request: Request, now: float) -> Exchange:
        path = request.target.path
        wrong, _ = operation_of(self._contract, request.method, urlunsplit(("http", self._host, path, "", "")))
        known = self._contract.route(path)
        return self.refuse(
            request,
            now,
            "wrong_method" if known else "unknown_path",
            [wrong] if wrong else [],
            headers={"allow": ", ".join(each.method for each in known)} if known else {},
        )

    def _create(self, request: Request, now: float) -> Exchange:
        operation = self._contract.create
        if unfit := self._unauthorized(request) or self._unreadable(request, operation):
            return self.refuse(request, now, unfit[0], [unfit[1]], operation.id)
        payload, violations = self._validator.parse_and_validate(request.body, self._strictness)
        if has_errors(violations):
            return self.refuse(request, now, "invalid_body", violations, operation.id)
        generation = self._generation(payload, now)
        self._generations.put(generation)
        reply = self._responses.created(operation.success, self._values(generation, self._first, self._origin(request)))
        return Exchange(now, request, reply, operation.id, tuple(violations), generation.id)

    def _get(self, request: Request, now: float) -> Exchange:
        operation = self._contract.get
        if unfit := self._unauthorized(request):
            return self.refuse(request, now, unfit[0], [unfit[1]], operation.id)
        query, violations = check_query(self._contract, operation, request.target.query, self._strictness)
        if has_errors(violations):
            return self.refuse(request, now, "invalid_query", violations, operation.id)
        (parameter,) = operation.query["required"]
        asked = query.get(parameter)  # "off" lets a query without it through
        generation = self._generations.by_id.get(asked) if isinstance(asked, str) else None
        if generation is None:
            unknown = Violation(f"/{parameter}", "unknown", "no generation has this id", part="query")
            return self.refuse(request, now, "unknown_generation", [*violations, unknown], operation.id)
        reply = self._polled(generation.id, generation.status(now), self._origin(request))
        self._generations.count_poll(generation)
        return Exchange(now, request, reply, operation.id, tuple(violations), generation.id)

    def _serve_video(self, request: Request, now: float) -> Exchange:
        generation = self._generations.with_video_at(request.target.path)
        assert generation is not None  # it is why the request was routed here
        if not self._responses.shows_video(generation.status(now)):
            early = Violation("", "path", f"the video of {generation.id} is not finished", part="path")
            return self.refuse(request, now, "unknown_path", [early])
        reply = media.serve(request, self._video(generation), self._responses.video_content_type)
        return Exchange(now, request, reply, None, (), generation.id)

    def _video(self, generation: FakeGeneration) -> bytes:
        return media.video(generation.duration)

    def _generation(self, payload: Mapping[str, Any], now: float) -> FakeGeneration:
        model = str(payload.get("model", self._contract.request_schema["properties"]["model"]["enum"][0]))
        duration = self._contract.video_seconds(payload)
        generation_id = self._responses.new_id(model)
        return FakeGeneration(
            id=generation_id,
            created_at=now,
            timeline=self._timeline,
            model=model,
            duration=duration,
            price=self._contract.price(duration),
            video_url=self._responses.new_video_url({"id": generation_id, "model": model, "created_at": now}),
            image_url=str(payload.get("image_url", ""))[:_IMAGE_KEPT],
            polls=0 if self._progression == "polls" else None,
        )

    def _poll(self, generation_id: str, status: str, origin: str | None) -> Reply:
        operation = self._contract.get
        generation = self._generations.by_id[generation_id]
        return self._responses.polled(operation.success, self._values(generation, status, origin))

    def _values(self, generation: FakeGeneration, status: str, origin: str | None) -> dict[str, Any]:
        return {
            "id": generation.id,
            "status": status,
            "model": generation.model,
            "image_url": generation.image_url,
            "video_url": generation.video_url_on(origin),
            "video_content_type": self._responses.video_content_type,
            "video_size": len(media.video(generation.duration)),
            "price": generation.price,
        }

    def _origin(self, request: Request) -> str | None:
        """Return where whoever sent the request reaches this fake: None in process, where the documented hosts are caught."""
        target = request.target
        return None if target.netloc == self._host else f"{target.scheme}://{target.netloc}"

    def _unauthorized(self, request: Request) -> tuple[str, Violation] | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            message = "no bearer token was sent: Authorization: Bearer <key> is needed"
        elif self._api_key is not None and not hmac.compare_digest(_bytes(token.strip()), _bytes(self._api_key)):
            message = "the bearer token is not the key that this fake was started with"
        else:
            return None
        return "unauthorized", Violation("/authorization", "security", message, part="header")

    def _unreadable(self, request: Request, operation: Operation) -> tuple[str, Violation] | None:
        if len(request.body) > self._body_limit:
            message = f"the body has more than the {self._body_limit:,} bytes that this fake takes"
            return "too_large", Violation("", "size", message)
        sent = request.headers.get("content-type", "")
        if not same_media_type(sent, operation.media_type):
            message = f"the body must be {operation.media_type}, not {sent or 'untyped'}"
            return "wrong_media_type", Violation("/content-type", "mediaType", message, part="header")
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
