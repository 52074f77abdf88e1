"""The simulated service: answers creates, polls and downloads, and refuses requests that break the contract."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from fake_server.messages import Exchange, Reply, Request
from fake_server.scenario.scenario import Scenario
from fake_server.service import dummy, media
from fake_server.service.generation import FakeGeneration
from fake_server.service.generations import Generations
from fake_server.service.lists import ModelLists
from fake_server.service.responses import Responses
from kling_contract.contract import Contract, Operation, Timeline, family
from kling_contract.contract.catalogue import ModelList, catalogue
from kling_contract.contract.models import known_models
from kling_contract.contract.operation import MODEL
from kling_contract.errors import DocumentError
from kling_contract.validation.messages import CheckedCall, check_call, no_operation
from kling_contract.validation.unknown_model import served_models
from kling_contract.violation import Strictness, Violation

__all__ = ["Progression", "Service"]

Progression = Literal["time", "immediate", "polls"]

_DOWNLOAD = "download"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_WITHDRAWN = "model_withdrawn"
_RATIO_KEPT = 20  # characters of a ratio
_IMAGE_KEPT = 500  # characters of an image_url that a generation remembers: it may be a data URI of megabytes


class Service:
    """Answers requests of one revision with generations that behave as a scenario says. `FakeServer` describes the options.

    Raise DocumentError for a scenario that does not fit the contract.
    """

    def __init__(
        self,
        contract: Contract,
        generations: Generations,
        responses: Responses,
        scenario: Scenario,
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
        # Under "strict" the chosen revision stands alone; else its fake has every path of all of them.
        on_path = contract.paths if strictness == "strict" else family.paths(contract)
        self._on_path = {path: self._operations_of(there, path) for path, there in on_path.items()}
        self._responses_of: dict[Contract, Responses] = {}
        self._timelines: dict[Contract, Timeline] = {}
        # While a generation stays in a status its response stays the same, and it is often polled.
        self._polled = functools.lru_cache(maxsize=1024)(self._poll)
        self.play(scenario)

    def play(self, scenario: Scenario) -> None:
        """Let new generations take the course of a scenario, and all responses its shapes.

        Raise DocumentError, and change nothing, if it does not fit the contract.
        """
        timeline, reasons = scenario.timeline_under(self._contract), self._contract.observed.refusals.reasons
        for fault in scenario.faults:
            if fault.refusal is not None and fault.refusal not in reasons:
                raise DocumentError(
                    f"scenario {scenario.name}: {self._contract.revision} has no refusal {fault.refusal!r}; "
                    f"choose one of {', '.join(reasons)}"
                )
        lists = self._lists_under(scenario)
        self._responses.shape(scenario.answers)
        self._lists = lists
        self._scenario = scenario
        self._polled.cache_clear()
        self._first = timeline.steps[0].status
        self._responses_of = {self._contract: self._responses}
        self._timelines = {}

    def route(self, request: Request) -> tuple[str | None, Callable[[Request, float], Exchange]]:
        """Return the operation that a request calls ("download" for a video, None for no call), and what answers it.

        What answers takes the request and the time.
        """
        path, method = request.target.path, request.method.upper()
        on_path = self._on_path.get(path, {})
        if method in on_path:
            operation, serve = on_path[method]
            return operation.id, serve
        if request.method in ("GET", "HEAD") and self._generations.with_video_at(path) is not None:
            return _DOWNLOAD, self._serve_video
        if not on_path and (asked := self._lists.at(path)) is not None:
            return asked.id, functools.partial(self._list, asked=asked)
        return None, functools.partial(self._refuse_unknown, on_path=[operation for operation, _ in on_path.values()])

    def _operations_of(
        self, contract: Contract, path: str
    ) -> dict[str, tuple[Operation, Callable[[Request, float], Exchange]]]:
        """Return each operation on a path that a contract describes, and what answers it, by method."""
        serve = {contract.create.id: self._create, contract.get.id: self._get}
        return {
            operation.method: (operation, functools.partial(serve[operation.id], there=contract))
            for operation in contract.route(path)
        }

    def refuse(
        self,
        request: Request,
        now: float,
        reason: str,
        violations: Sequence[Violation],
        operation: str | None = None,
        *,
        contract: Contract | None = None,
        sent: Mapping[str, Any] = _NOTHING,
        explanation: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Exchange:
        """Refuse a request for a reason that `observed.json` lists, as `contract` does (None: the chosen one).

        The response names the errors among `violations` that have this reason, in the parts of the request that were
        `sent`, by name; `explanation` (None: those errors) is for the person who wonders.
        """
        errors = [violation for violation in violations if violation.severity == "error" and violation.reason == reason]
        reply = self._responses_under(contract or self._contract).refused(
            reason,
            method=request.method,
            path=request.target.path,
            now=now,
            explanation="; ".join(map(str, errors)) if explanation is None else explanation,
            violations=errors,
            sent=sent,
            headers=headers,
        )
        return Exchange(now, request, reply, operation, tuple(violations))

    def _refuse_unknown(self, request: Request, now: float, *, on_path: Sequence[Operation]) -> Exchange:
        unknown = no_operation(self._contract, request.method, request.target.path, on_path)
        headers = {"allow": ", ".join(operation.method for operation in on_path)} if on_path else None
        return self.refuse(request, now, unknown.reason or "unknown_path", [unknown], headers=headers)

    def _list(self, request: Request, now: float, *, asked: ModelList) -> Exchange:
        if request.method.upper() not in asked.methods:
            unknown = no_operation(self._contract, request.method, request.target.path, ())
            return self.refuse(
                request, now, "wrong_method", [unknown], asked.id, headers={"allow": ", ".join(asked.methods)}
            )
        reply = self._lists.reply(asked, request, now)
        if reply is None:
            unknown = Violation("", "path", f"there is no model {asked.model_at(request.target.path)}", part="path")
            return self.refuse(request, now, "unknown_path", [unknown], asked.id)
        return Exchange(now, request, reply, asked.id)

    def _lists_under(self, scenario: Scenario) -> ModelLists:
        """Return the lists as they are in a scenario. Raise DocumentError if it withdraws a model that nobody knows."""
        if scenario.withdrawn and _WITHDRAWN not in self._contract.observed.refusals.reasons:
            raise DocumentError(
                f"scenario {scenario.name}: {self._contract.revision} does not say how a withdrawn model is refused"
            )
        per_usd = self._contract.observed.price.per_usd
        return ModelLists(
            catalogue(), self._contract.models, known_models(), per_usd=per_usd, withdrawn=scenario.withdrawn
        )

    def _check(self, request: Request, operation: Operation) -> CheckedCall:
        """Check a call as `check_request` does, and its key and size as well."""
        target = request.target
        return check_call(
            self._contract,
            operation,
            target.path,
            target.query,
            request.headers,
            request.body,
            self._strictness,
            api_key=self._api_key,
            body_limit=self._body_limit,
        )

    def _create(self, request: Request, now: float, *, there: Contract) -> Exchange:
        """Answer a create on a path that `there` describes, as the contract does that validates its payload."""
        payload, query, violations, contract = self._check(request, there.create)
        violations = self._with_withdrawn(payload, violations, now)
        operation = contract.create
        if violations and (reason := _refusal(violations)):
            sent = {"body": payload, "query": query}
            return self.refuse(request, now, reason, violations, operation.id, contract=contract, sent=sent)
        if contract.is_dummy and (status := dummy.refused_with(payload)) is not None:
            why = "the payload of the dummy asks for this status"
            exchange = self.refuse(
                request, now, "internal_error", violations, operation.id, contract=contract, explanation=why
            )
            return replace(exchange, reply=replace(exchange.reply, status=status))
        generation = self._generation(payload, now, contract)
        if contract.is_dummy:
            generation = dummy.steered(generation, payload, contract)
        self._generations.put(generation)
        values = self._values(generation, self._first, self._origin(request), contract)
        reply = self._responses_under(contract).created(operation.success, values)
        return Exchange(now, request, reply, operation.id, tuple(violations), generation.id)

    def _with_withdrawn(self, payload: Any, violations: Sequence[Violation], now: float) -> Sequence[Violation]:
        """Return the violations of a create, with that of a withdrawn model before all others in the payload.

        Where no document says how such a create is refused, it is not.
        """
        model = payload.get(MODEL) if isinstance(payload, Mapping) else None
        if self._lists.serves(model, now) or _WITHDRAWN not in self._contract.observed.refusals.reasons:
            return violations
        served = [other for other in served_models(self._contract, payload) if self._lists.serves(other, now)]
        withdrawn = Violation(
            f"/{MODEL}",
            "withdrawn",
            f"{model} is withdrawn: the service does not have it any more",
            limit=served,
            schema={"type": "string", "enum": served},
        )
        before = [violation for violation in violations if violation.reason != "invalid_body"]
        return [*before, withdrawn, *violations[len(before) :]]

    def _get(self, request: Request, now: float, *, there: Contract) -> Exchange:
        """Answer a poll on a path that `there` describes, as the contract does that validated the create."""
        operation = there.get
        _, query, violations, _ = self._check(request, operation)
        if violations and (reason := _refusal(violations)):
            return self.refuse(request, now, reason, violations, operation.id, contract=there, sent={"query": query})
        (parameter,) = operation.query["required"]
        asked = query.get(parameter)  # "off" accepts a query without it
        generation = self._generations.by_id.get(asked) if isinstance(asked, str) else None
        if generation is None:
            unknown = Violation(f"/{parameter}", "unknown", "no generation has this id", part="query")
            return self.refuse(request, now, "unknown_generation", [*violations, unknown], operation.id, contract=there)
        reply = self._polled(generation.id, generation.status(now), self._origin(request))
        self._generations.count_poll(generation)
        return Exchange(now, request, reply, operation.id, tuple(violations), generation.id)

    def _serve_video(self, request: Request, now: float) -> Exchange:
        generation = self._generations.with_video_at(request.target.path)
        assert generation is not None  # it is why the request was routed here
        responses = self._responses_under(self._contract_of(generation))
        if not responses.shows_video(generation.status(now)):
            early = Violation("", "path", f"the video of {generation.id} is not finished", part="path")
            return self.refuse(request, now, "unknown_path", [early])
        reply = media.serve(request, self._video(generation), responses.video_content_type)
        return Exchange(now, request, reply, None, (), generation.id)

    def _video(self, generation: FakeGeneration) -> bytes:
        return media.video(generation.duration, generation.ratio)

    def _generation(self, payload: Mapping[str, Any], now: float, contract: Contract) -> FakeGeneration:
        model, ratio = str(payload.get(MODEL, contract.model)), payload.get("aspect_ratio")
        duration = contract.video_seconds(payload)
        responses = self._responses_under(contract)
        generation_id = responses.new_id(model)
        return FakeGeneration(
            id=generation_id,
            created_at=now,
            timeline=self._timeline_under(contract),
            revision=contract.revision.id,
            model=model,
            duration=duration,
            ratio=ratio[:_RATIO_KEPT] if isinstance(ratio, str) else None,
            price=contract.price(duration) if model == contract.model else None,
            video_url=responses.new_video_url({"id": generation_id, "model": model, "created_at": now}),
            image_url=str(payload.get("image_url", ""))[:_IMAGE_KEPT],
            polls=0 if self._progression == "polls" else None,
        )

    def _contract_of(self, generation: FakeGeneration) -> Contract:
        """Return the contract that validated the create of a generation."""
        chosen = self._contract
        if generation.revision != chosen.revision.id:
            chosen = Contract.load(generation.revision)
        return chosen.for_model(generation.model) if chosen.takes(generation.model) else chosen

    def _responses_under(self, contract: Contract) -> Responses:
        """Return what makes the responses that a contract describes."""
        found = self._responses_of.get(contract)
        if found is None:
            found = self._responses_of[contract] = self._responses.under(contract)
            found.shape(self._scenario.answers)
        return found

    def _timeline_under(self, contract: Contract) -> Timeline:
        """Return the timeline of a new generation that a contract describes."""
        found = self._timelines.get(contract)
        if found is None:
            found = self._scenario.timeline_under(contract)
            if self._progression == "immediate":
                found = Timeline((replace(found.final, at=0.0),))
            self._timelines[contract] = found
        return found

    def _poll(self, generation_id: str, status: str, origin: str | None) -> Reply:
        generation = self._generations.by_id[generation_id]
        contract = self._contract_of(generation)
        values = self._values(generation, status, origin, contract)
        return self._responses_under(contract).polled(contract.get.success, values)

    def _values(
        self, generation: FakeGeneration, status: str, origin: str | None, contract: Contract
    ) -> dict[str, Any]:
        return {
            "id": generation.id,
            "status": status,
            "model": generation.model,
            "image_url": generation.image_url,
            "video_url": generation.video_url_on(origin),
            "video_content_type": self._responses_under(contract).video_content_type,
            "video_size": len(self._video(generation)),
            "price": generation.price,
        }

    def _origin(self, request: Request) -> str | None:
        """Return the origin at which the client reaches this fake: None in process, at the documented host."""
        target = request.target
        return None if target.netloc == self._host else f"{target.scheme}://{target.netloc}"


def _refusal(violations: Sequence[Violation]) -> str | None:
    """Return the reason of the first error, None if there is no error."""
    return next((violation.reason for violation in violations if violation.severity == "error"), None)
