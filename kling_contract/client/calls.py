"""What does each call of the client do? Written once: AsyncClient awaits it, Client runs it in one step."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kling_contract.client.fields import declared_fields
from kling_contract.client.http_adapter import Door
from kling_contract.client.images import Image, embedded, image_url
from kling_contract.client.responses import read_failure, read_generation
from kling_contract.client.retry import PASSING, REFUSED_FOR_NOW, Retries
from kling_contract.contract import Contract, Operation
from kling_contract.display import nearest
from kling_contract.errors import (
    ApiError,
    CreationUncertain,
    GenerationFailed,
    InvalidPayload,
    KlingError,
    TransportError,
    UnexpectedResponse,
    UnknownStatus,
    WaitTimeout,
)
from kling_contract.generation import Generation
from kling_contract.redaction import Key
from kling_contract.validation import validate
from kling_contract.violation import Severity, Strictness, failing

__all__ = ["Calls", "Pace", "Progress", "completed", "run"]

T = TypeVar("T")

Progress = Callable[[Generation, float], object]
"""Called with each answer and the seconds since the wait began."""

MODEL, IMAGE = "model", "image_url"

_log = logging.getLogger("kling_contract")


def run(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends to its end and return its result."""
    try:
        call.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    call.close()
    raise RuntimeError("a call over a synchronous door suspended")


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait for a generation, and how long between two looks, in seconds."""

    timeout: float
    interval: float

    def __post_init__(self) -> None:
        if not self.timeout >= 0:
            raise ValueError(f"timeout must be 0 seconds or more, not {self.timeout}")
        if not self.interval >= 0.001:
            raise ValueError(f"interval must be at least a millisecond, not {self.interval} seconds")


class _OverdueError(Exception):
    """The next try would come after the deadline; `last` is what the one before ended in."""

    def __init__(self, last: KlingError) -> None:
        super().__init__(str(last))
        self.last = last


@dataclass(frozen=True, slots=True)
class Calls:
    """The contract calls of one client."""

    door: Door
    key: Key
    contract: Contract
    base_url: str
    strictness: Strictness
    fail_on: Severity
    retries: Retries

    def pace(self, timeout: float | None, interval: float | None) -> Pace:
        """Return the pace asked for, or else the observed one. Raise ValueError for one that cannot be."""
        observed = self.contract.observed.polling
        return Pace(
            timeout=observed.timeout if timeout is None else timeout,
            interval=observed.interval if interval is None else interval,
        )

    async def create(
        self, payload: Mapping[str, Any] | None, image: Image | None, fields: Mapping[str, Any]
    ) -> Generation:
        """Judge, send, and read the answer. What the judgement lets pass with a warning is logged."""
        self._check_names(fields, ("payload", "image"))
        return await self._send(completed(payload, image, fields, contract=self.contract))

    async def _send(self, body: Mapping[str, Any]) -> Generation:
        violations = validate(body, contract=self.contract, strictness=self.strictness)
        if any(violation.severity in failing(self.fail_on) for violation in violations):
            raise InvalidPayload(violations)
        for violation in violations:
            _log.info("%s: %s", violation.severity, violation)
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        response = await self._ask(self.contract.create, content=text)
        try:
            return read_generation(response, self.key)
        except UnexpectedResponse as unreadable:
            raise _uncertain(unreadable, status=unreadable.status) from unreadable

    async def get(self, generation: str | Generation, *, deadline: float = math.inf) -> Generation:
        """Ask how far a generation has come. Raise _OverdueError at `deadline`, a time on the clock."""
        operation = self.contract.get
        (parameter,) = operation.query["required"]
        response = await self._ask(operation, params={parameter: self._id(generation)}, deadline=deadline)
        return read_generation(response, self.key)

    async def wait(self, generation: str | Generation, pace: Pace, on_progress: Progress | None) -> Generation:
        """Look at once, then at each interval and at the very end of the time."""
        lifecycle = self.contract.lifecycle
        begin = self.door.clock.now()
        deadline = begin + pace.timeout
        seen = generation if isinstance(generation, Generation) else None
        try:
            while True:
                seen = await self.get(generation, deadline=deadline)
                now = self.door.clock.now()
                if on_progress is not None:
                    on_progress(seen, now - begin)
                if not lifecycle.knows(seen.status):
                    raise UnknownStatus(
                        f"{self._shown(seen)}, which revision {self.contract.revision} does not know "
                        f"(it knows {', '.join(lifecycle.statuses)}); see generation.raw for what came",
                        seen,
                    )
                if lifecycle.failed(seen.status):
                    reason = self.key.hidden_in(json.dumps(seen.error, ensure_ascii=False))[:2000]
                    raise GenerationFailed(f"{self._shown(seen)}, which is a failure: {reason}", seen)
                if lifecycle.is_final(seen.status):
                    return seen
                left = deadline - self.door.clock.now()
                if left <= 0:
                    raise self._timed_out(seen, pace)
                await self.door.sleep(min(pace.interval, left))
        except _OverdueError as overdue:
            if seen is None:
                raise overdue.last from overdue.last.__cause__
            raise self._timed_out(seen, pace) from overdue.last
        except KlingError as error:
            if error.generation is None and seen is not None:
                error.generation = seen
                error.add_note(f"when last seen, {self._shown(seen)}; wait for it again by its id")
            raise

    async def generate(
        self,
        payload: Mapping[str, Any] | None,
        image: Image | None,
        fields: Mapping[str, Any],
        pace: Pace,
        on_progress: Progress | None,
    ) -> Generation:
        """Create, then wait. The created generation is the first progress: from then on its id is known."""
        self._check_names(fields, ("payload", "image", "timeout", "interval", "on_progress"))
        created = await self._send(completed(payload, image, fields, contract=self.contract))
        if on_progress is not None:
            on_progress(created, 0.0)
        return await self.wait(created, pace, on_progress)

    def _id(self, generation: str | Generation) -> str:
        found = generation.id if isinstance(generation, Generation) else generation
        if not found:
            raise ValueError("the id of the generation is empty; give the id that the create answered with")
        if self.key.hidden_in(found) != found:
            raise KlingError(
                "nothing was asked: the id of the generation holds the API key, "
                "which must not stand in a URL, since URLs are logged"
            )
        return found

    def _shown(self, generation: Generation) -> str:
        return self.key.hidden_in(f"generation {generation.id} is in status {generation.status!r}")

    def _timed_out(self, seen: Generation, pace: Pace) -> WaitTimeout:
        return WaitTimeout(
            f"after {pace.timeout:g} s {self._shown(seen)}; it may still end: wait for it again by its id",
            seen,
        )

    def _check_names(self, fields: Mapping[str, Any], options: Sequence[str]) -> None:
        """Raise TypeError for a field that no revision declares: it may be misspelt, and would be paid for."""
        own = self.contract.request_schema["properties"]
        wrong = [name for name in fields if name not in own and name not in declared_fields(self.contract)]
        if not wrong:
            return
        declared = declared_fields(self.contract)
        told = []
        for name in wrong:
            near = nearest(name, [*declared, *options])
            told.append(f"{name} (did you mean {near[0]}?)" if near else name)
        raise TypeError(
            f"no revision declares {', '.join(told)}; declared are {', '.join(declared)}; "
            f"to send what is not declared, give it in the payload: payload={{{wrong[0]!r}: …}}"
        )

    async def _ask(
        self,
        operation: Operation,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        deadline: float = math.inf,
    ) -> Any:
        """Return the 2xx response. Repeat what may be: a create only if it certainly did nothing."""
        free = operation != self.contract.create
        headers = {"content-type": operation.media_type} if operation.media_type else {}
        tried = 0
        while True:
            asked = None
            request = self.door.contract_request(
                operation.method,
                self.base_url + operation.path,
                headers={**headers, "authorization": self.key.bearer},
                params=params,
                content=content,
                within=deadline - self.door.clock.now(),
            )
            failure: TransportError | ApiError | UnexpectedResponse
            try:
                response = await self.door.send(request)
            except self.door.broken as broken:
                what = self.key.hidden_in(f"{type(broken).__name__}: {broken}".removesuffix(": "))
                failure = TransportError(f"no answer to {operation.method} {self.base_url}{operation.path} ({what})")
                failure.__cause__ = broken
                if not free and not isinstance(broken, self.door.unsent):
                    raise _uncertain(failure) from failure
            else:
                if response.is_success:
                    return response
                failure = read_failure(response, self.key, self.door.clock.now())
                if failure.status not in (PASSING if free else REFUSED_FOR_NOW):
                    if free or 400 <= failure.status < 500:
                        raise failure
                    raise _uncertain(failure, status=failure.status) from failure
                asked = getattr(failure, "retry_after", None)
            pause = self.retries.pause(tried, asked)
            if pause is None:
                raise failure
            if self.door.clock.now() + pause > deadline:
                raise _OverdueError(failure)
            _log.info("%s; trying again in %g s", failure, pause)
            await self.door.sleep(pause)
            tried += 1


def completed(
    payload: Mapping[str, Any] | None, image: Image | None, fields: Mapping[str, Any], *, contract: Contract
) -> dict[str, Any]:
    """Return the payload as it is sent: `fields` over `payload`, images as text, the contract's first model if none is given.

    Raise ImageError, and TypeError when `payload` is no mapping or the image is given twice.
    """
    if payload is not None and not isinstance(payload, Mapping):
        raise TypeError(
            f"payload must be a mapping of fields to values, not {type(payload).__name__}; "
            "an image is given as image=…, a prompt as prompt=…"
        )
    first_model = contract.request_schema["properties"][MODEL]["enum"][0]
    body = {MODEL: first_model, **(payload or {}), **fields}
    if image is not None:
        if IMAGE in body:
            raise TypeError(f"the first frame is given twice: give image=… or {IMAGE}, not both")
        body[IMAGE] = image_url(image)
    result: dict[str, Any] = embedded(body)
    return result


def _uncertain(failure: KlingError, *, status: int | None = None) -> CreationUncertain:
    return CreationUncertain(
        f"the create was sent, but {failure}: it may have been accepted and billed, so it is not repeated; "
        "look at the provider's log of requests before you send it again",
        status=status,
    )
