"""The fake Kling server: one door, `FakeServer.handle`, without I/O. Its generations' states follow the clock."""

from __future__ import annotations

import functools
import hmac
import random
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fake_server import media
from fake_server.answers import Answers
from fake_server.generation import Generation
from fake_server.journal import Exchange, Journal, without_secrets
from fake_server.ledger import Ledger
from fake_server.messages import Reply, Request
from fake_server.scenario import Scenario
from kling_contract.clock import Clock, VirtualClock
from kling_contract.contract import Contract, Operation
from kling_contract.exchanges import check_query, operation_of, same_media_type
from kling_contract.validation import Strictness, Violation, judge_for, refuses

if TYPE_CHECKING:
    import httpx
    import respx

__all__ = ["FakeServer"]

_IMAGE_KEPT = 500  # characters of an image_url that a generation remembers: it may be a data URI of megabytes


class FakeServer:
    """A Kling service that costs nothing.

    `contract` or `revision` says which one it speaks; `scenario` (a Scenario, its data, a file, or a shipped name) how its
    generations go; `strictness` what it refuses (see `validate`); `clock` its time (None: a VirtualClock of its own);
    `api_key` the key it takes (None: any); `seed` what its ids are drawn from; `body_limit` how many bytes a request may
    have; `generation_limit` how many generations it remembers, the oldest going first.

    `journal`, `ledger` and `generations` tell afterwards what happened. Nothing is shared between two fakes, and one fake
    may be used from several threads.
    """

    def __init__(
        self,
        *,
        revision: str | None = None,
        contract: Contract | None = None,
        scenario: Scenario | Mapping[str, Any] | Path | str = "happy",
        strictness: Strictness = "lax",
        clock: Clock | None = None,
        api_key: str | None = None,
        seed: int = 0,
        body_limit: int = 32 * 2**20,
        generation_limit: int = 100_000,
    ) -> None:
        self.contract = contract or Contract.load(revision)
        self.scenario = Scenario.load(scenario)
        self.strictness: Strictness = strictness
        self.clock: Clock = clock or VirtualClock()
        self.body_limit = body_limit
        self.journal = Journal()
        self._api_key = api_key
        self._seed = seed
        self._generation_limit = generation_limit
        self._generations: OrderedDict[str, Generation] = OrderedDict()
        self._videos: dict[str, Generation] = {}
        self._lock = threading.RLock()
        self._host = urlsplit(self.contract.base_url).netloc
        self._judge = judge_for(self.contract)
        self._timeline = self.scenario.timeline_under(self.contract)
        # While a generation stays in a status its answer stays the same, and it is asked for often.
        self._polled = functools.lru_cache(maxsize=1024)(self._poll)
        self._start()

    @property
    def generations(self) -> Mapping[str, Generation]:
        """Every generation that is remembered, by id, oldest first."""
        return MappingProxyType(self._generations)

    @property
    def ledger(self) -> Ledger:
        """What was created and what of it has been booked by now."""
        return Ledger(self.contract, self._generations.values(), self.clock.now)

    def reset(self) -> None:
        """Forget every generation and exchange, and draw ids from the seed again. The clock goes on."""
        with self._lock:
            self._generations.clear()
            self._videos.clear()
            self.journal.clear()
            self._start()

    def handle(self, request: Request) -> Reply:
        """Answer one request. Never raises for anything that a request may hold."""
        with self._lock:
            now = self.clock.now()
            exchange = self._answer(request, now)
            self.journal.add(exchange)
            return exchange.reply

    def transport(self) -> httpx.MockTransport:
        """Return an httpx transport, sync and async, that ends in this fake."""
        from fake_server import intercept

        return intercept.transport(self)

    def mount(self, router: respx.Router) -> None:
        """Add routes to a respx router that lead the API's host and the media host into this fake."""
        from fake_server import intercept

        intercept.mount(self, router)

    def intercept(self) -> AbstractContextManager[FakeServer]:
        """Catch calls of this process to the API's host and the media host, while the context lasts."""
        from fake_server import intercept

        return intercept.intercept(self)

    def live(self, *, host: str = "127.0.0.1", port: int = 0) -> AbstractContextManager[str]:
        """Serve on a real port while the context lasts, and give the base URL. Port 0 takes any free one."""
        from fake_server import live

        return live.live(self, host=host, port=port)

    def __repr__(self) -> str:
        return f"<FakeServer {self.contract.revision}, {self.scenario.name}, {len(self._generations)} generations>"

    def _start(self) -> None:
        self._polled.cache_clear()
        self._answers = Answers(self.contract, random.Random(self._seed))

    def _answer(self, request: Request, now: float) -> Exchange:
        target = request.target
        filmed = self._videos.get(target.path)
        if filmed is not None and request.method in ("GET", "HEAD"):
            return self._serve_video(request, filmed, now)
        wrong, operation = operation_of(self.contract, request.method, request.url)
        if operation is None:
            known = self.contract.route(target.path)
            allow = {"allow": ", ".join(each.method for each in known)} if known else {}
            return self._refuse(
                request,
                now,
                "wrong_method" if known else "unknown_path",
                [wrong] if wrong else [],
                headers=allow,
            )
        if unauthorized := self._unauthorized(request):
            violation = Violation("/authorization", "security", unauthorized, part="header")
            return self._refuse(request, now, "unauthorized", [violation], operation)
        return (self._create if operation.request is not None else self._get)(request, operation, now)

    def _create(self, request: Request, operation: Operation, now: float) -> Exchange:
        if len(request.body) > self.body_limit:
            size = Violation("", "size", f"the body has more than the {self.body_limit:,} bytes that this fake takes")
            return self._refuse(request, now, "too_large", [size], operation)
        sent = request.headers.get("content-type", "")
        if not same_media_type(sent, operation.media_type):
            wrong = Violation(
                "/content-type",
                "mediaType",
                f"the body must be {operation.media_type}, not {sent or 'untyped'}",
                part="header",
            )
            return self._refuse(request, now, "wrong_media_type", [wrong], operation)
        payload, violations = self._judge.parsed(request.body, self.strictness)
        if refuses(violations):
            return self._refuse(request, now, "invalid_body", violations, operation)
        generation = self._generate(payload, now)
        values = self._values(generation, generation.status(now), self._origin(request))
        reply = self._answers.created(operation.success, values)
        return Exchange(now, without_secrets(request), reply, operation.id, tuple(violations), generation.id)

    def _get(self, request: Request, operation: Operation, now: float) -> Exchange:
        query, violations = check_query(self.contract, operation, request.target.query, self.strictness)
        if refuses(violations):
            return self._refuse(request, now, "invalid_query", violations, operation)
        (parameter,) = operation.query["required"]
        asked = query[parameter]
        generation = self._generations.get(asked) if isinstance(asked, str) else None
        if generation is None:
            unknown = Violation(f"/{parameter}", "unknown", "no generation has this id", part="query")
            return self._refuse(request, now, "unknown_generation", [*violations, unknown], operation)
        reply = self._polled(generation, generation.status(now), self._origin(request))
        return Exchange(now, without_secrets(request), reply, operation.id, tuple(violations), generation.id)

    def _generate(self, payload: Mapping[str, Any], now: float) -> Generation:
        model = str(payload.get("model", self.contract.request_schema["properties"]["model"]["enum"][0]))
        duration = self.contract.video_seconds(payload)
        generation_id = self._answers.new_id(model)
        generation = Generation(
            id=generation_id,
            created_at=now,
            timeline=self._timeline,
            model=model,
            duration=duration,
            price=self.contract.price(duration),
            video_url=self._answers.new_video_url({"id": generation_id, "model": model, "created_at": now}),
            image_url=str(payload.get("image_url", ""))[:_IMAGE_KEPT],
        )
        self._generations[generation.id] = generation
        self._videos[generation.video_path] = generation
        while len(self._generations) > self._generation_limit:
            _, oldest = self._generations.popitem(last=False)
            del self._videos[oldest.video_path]
        return generation

    def _poll(self, generation: Generation, status: str, origin: str | None) -> Reply:
        operation = self.contract.operations["getGeneration"]
        return self._answers.polled(operation.success, self._values(generation, status, origin))

    def _values(self, generation: Generation, status: str, origin: str | None) -> dict[str, Any]:
        return {
            "id": generation.id,
            "status": status,
            "model": generation.model,
            "image_url": generation.image_url,
            "video_url": generation.video_url_on(origin),
            "video_content_type": self._answers.video_content_type,
            "video_size": len(media.video(generation.duration)),
            "price": generation.price,
        }

    def _origin(self, request: Request) -> str | None:
        """Return where whoever sent the request reaches this fake: None in process, where the documented hosts are caught."""
        target = request.target
        return None if target.netloc == self._host else f"{target.scheme}://{target.netloc}"

    def _serve_video(self, request: Request, generation: Generation, now: float) -> Exchange:
        if not self.contract.lifecycle.succeeded(generation.status(now)):
            early = Violation("", "path", f"the video of {generation.id} is not finished", part="path")
            return self._refuse(request, now, "unknown_path", [early])
        reply = media.serve(request, media.video(generation.duration), self._answers.video_content_type)
        return Exchange(now, without_secrets(request), reply, None, (), generation.id)

    def _unauthorized(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return "no bearer token was sent: Authorization: Bearer <key> is needed"
        if self._api_key is not None and not hmac.compare_digest(token.strip().encode(), self._api_key.encode()):
            return "the bearer token is not the key that this fake was started with"
        return None

    def _refuse(
        self,
        request: Request,
        now: float,
        reason: str,
        violations: Sequence[Violation],
        operation: Operation | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Exchange:
        reply = self._answers.refused(
            reason,
            method=request.method,
            path=request.target.path,
            now=now,
            explanation="; ".join(str(violation) for violation in violations if violation.severity == "error"),
            violations=[violation for violation in violations if violation.severity == "error"],
            headers=headers,
        )
        return Exchange(now, without_secrets(request), reply, operation.id if operation else None, tuple(violations))
