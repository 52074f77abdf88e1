"""The five calls of the client, each written once: AsyncClient awaits it, Client runs it in one step."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kling_contract.client.download import save_video
from kling_contract.client.fields import build_payload, check_field_names
from kling_contract.client.http_adapter import HttpAdapter
from kling_contract.client.images import Image
from kling_contract.client.responses import read_failure, read_generation
from kling_contract.client.retry import RETRYABLE, SAFE_TO_REPEAT_POST, NoTimeToRetry, Retries, Retryable, retrying
from kling_contract.contract import Contract, Operation
from kling_contract.contract.observed import Polling
from kling_contract.errors import (
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
from kling_contract.validation.creates import check_payload
from kling_contract.violation import Severity, Strictness, failing

__all__ = ["Calls", "Pace", "Progress", "run"]

T = TypeVar("T")

Progress = Callable[[Generation, float], object]
"""Called with each generation that a response shows, and the seconds since the wait began."""

_REMEMBERED = 10_000  # generations
_log = logging.getLogger("kling_contract")


def run(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result. Raise RuntimeError if it suspends."""
    try:
        call.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    call.close()
    raise RuntimeError("a call over a synchronous adapter suspended")


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait for a generation, and how long between two polls, in seconds. None means as observed.

    Raise ValueError for an impossible one.
    """

    timeout: float | None
    interval: float | None

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout >= 0:
            raise ValueError(f"timeout must be 0 seconds or more, not {self.timeout}")
        if self.interval is not None and not self.interval >= 0.001:
            raise ValueError(f"interval must be at least 0.001 seconds, not {self.interval}")

    def under(self, polling: Polling) -> tuple[float, float]:
        """Return timeout and interval, with the observed value for None."""
        return (
            polling.timeout if self.timeout is None else self.timeout,
            polling.interval if self.interval is None else self.interval,
        )


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one client."""

    adapter: HttpAdapter
    key: Key
    contract: Contract
    base_url: str
    strictness: Strictness
    fail_on: Severity
    retries: Retries
    contracts: dict[str, Contract] = field(default_factory=dict, repr=False)
    """Which contract validated the create of each of the latest generations, by id."""

    async def create(
        self, payload: Mapping[str, Any] | None, image: Image | None, fields: Mapping[str, Any]
    ) -> Generation:
        """Validate and send a payload. Log the violations that `fail_on` lets pass."""
        check_field_names(fields, ("payload", "image"), contract=self.contract)
        return await self._send(build_payload(payload, image, fields, contract=self.contract))

    async def _send(self, body: Mapping[str, Any]) -> Generation:
        _, violations, contract = check_payload(body, self.contract, None, self.strictness)
        if any(violation.severity in failing(self.fail_on) for violation in violations):
            raise InvalidPayload(violations)
        for violation in violations:
            _log.info("%s: %s", violation.severity, violation)
        content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        response = await self._request(contract.create, content=content)
        try:
            made = read_generation(response, self.key)
        except UnexpectedResponse as unreadable:
            raise _uncertain(unreadable, status=unreadable.status) from unreadable
        self._remember(made, contract)
        return made

    def _remember(self, made: Generation, contract: Contract) -> None:
        """Remember which contract describes a generation: it is polled where it was created."""
        self.contracts[made.id] = contract
        if len(self.contracts) > _REMEMBERED:
            del self.contracts[next(iter(self.contracts))]

    def _contract_of(self, generation: str | Generation) -> Contract:
        """Return the contract that validated the create of a generation; the chosen one if it was created elsewhere."""
        return self.contracts.get(generation if isinstance(generation, str) else generation.id, self.contract)

    async def get(self, generation: str | Generation, *, deadline: float = math.inf) -> Generation:
        """Return a generation as it stands. Raise NoTimeToRetry at `deadline`, a time on the clock."""
        operation = self._contract_of(generation).get
        (parameter,) = operation.query["required"]
        response = await self._request(operation, params={parameter: self._id(generation)}, deadline=deadline)
        return read_generation(response, self.key)

    async def wait(self, generation: str | Generation, pace: Pace, on_progress: Progress | None) -> Generation:
        """Poll at once, then at each interval, and at the very end of the time."""
        contract = self._contract_of(generation)
        lifecycle = contract.lifecycle
        timeout, interval = pace.under(contract.observed.polling)
        begin = self.adapter.clock.now()
        deadline = begin + timeout
        seen = generation if isinstance(generation, Generation) else None
        try:
            while True:
                seen = await self.get(generation, deadline=deadline)
                now = self.adapter.clock.now()
                if on_progress is not None:
                    on_progress(seen, now - begin)
                if not lifecycle.knows(seen.status):
                    raise UnknownStatus(
                        f"{self._described(seen)}, which revision {self.contract.revision} does not know "
                        f"(it knows {', '.join(lifecycle.statuses)}); generation.raw has the whole response",
                        seen,
                    )
                if lifecycle.failed(seen.status):
                    reason = self.key.hidden_in(json.dumps(seen.error, ensure_ascii=False))[:2000]
                    raise GenerationFailed(f"{self._described(seen)}, which is a failure: {reason}", seen)
                if lifecycle.is_final(seen.status):
                    return seen
                left = deadline - self.adapter.clock.now()
                if left <= 0:
                    raise self._timed_out(seen, timeout)
                await self.adapter.sleep(min(interval, left))
        except NoTimeToRetry as exceeded:
            if seen is None:
                raise exceeded.error from exceeded.error.__cause__
            raise self._timed_out(seen, timeout) from exceeded.error
        except KlingError as error:
            if error.generation is None and seen is not None:
                error.generation = seen
                error.add_note(f"when last seen, {self._described(seen)}; wait for it again by its id")
            raise

    async def generate(
        self,
        payload: Mapping[str, Any] | None,
        image: Image | None,
        fields: Mapping[str, Any],
        pace: Pace,
        on_progress: Progress | None,
    ) -> Generation:
        """Create, then wait. `on_progress` is first called with the created generation, so that its id is known."""
        check_field_names(fields, ("payload", "image", "timeout", "interval", "on_progress"), contract=self.contract)
        created = await self._send(build_payload(payload, image, fields, contract=self.contract))
        if on_progress is not None:
            on_progress(created, 0.0)
        return await self.wait(created, pace, on_progress)

    async def download(self, generation: Generation | str, path: str | os.PathLike[str]) -> Path:
        """Save the video of a generation, or that at a URL, as the file `path`."""
        return await save_video(self.adapter, self.key, generation, path, retries=self.retries)

    def _id(self, generation: str | Generation) -> str:
        found = generation.id if isinstance(generation, Generation) else generation
        if not found:
            raise ValueError("the id of the generation is empty; give the id that create returned")
        if self.key.hidden_in(found) != found:
            raise KlingError(
                "nothing was sent: the id of the generation contains the API key, "
                "which must not be in a URL, because URLs are logged"
            )
        return found

    def _described(self, generation: Generation) -> str:
        return self.key.hidden_in(f"generation {generation.id} is in status {generation.status!r}")

    def _timed_out(self, seen: Generation, timeout: float) -> WaitTimeout:
        return WaitTimeout(
            f"after {timeout:g} s {self._described(seen)}; it may still end: wait for it again by its id",
            seen,
        )

    async def _request(
        self,
        operation: Operation,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        deadline: float = math.inf,
    ) -> Any:
        """Return the 2xx response to a request. A create is repeated only if it certainly did nothing."""
        is_create = operation == self.contract.create
        url = self.base_url + operation.path
        headers = {"authorization": self.key.bearer}
        if operation.media_type:
            headers["content-type"] = operation.media_type

        async def attempt() -> Any:
            request = self.adapter.contract_request(
                operation.method,
                url,
                headers=headers,
                params=params,
                content=content,
                within=deadline - self.adapter.clock.now(),
            )
            try:
                response = await self.adapter.send(request)
            except self.adapter.transport_errors as error:
                reason = self.key.hidden_in(f"{type(error).__name__}: {error}".removesuffix(": "))
                unreachable = TransportError(f"no response to {operation.method} {url} ({reason})")
                unreachable.__cause__ = error
                if is_create and not isinstance(error, self.adapter.never_sent):
                    raise _uncertain(unreachable) from unreachable
                raise Retryable(unreachable) from None
            if response.is_success:
                return response
            failure = read_failure(response, self.key, self.adapter.clock.now())
            if failure.status in (SAFE_TO_REPEAT_POST if is_create else RETRYABLE):
                raise Retryable(failure, asked=getattr(failure, "retry_after", None))
            if is_create and not 400 <= failure.status < 500:
                raise _uncertain(failure, status=failure.status) from failure
            raise failure

        return await retrying(attempt, self.retries, self.adapter, deadline=deadline)


def _uncertain(failure: KlingError, *, status: int | None = None) -> CreationUncertain:
    return CreationUncertain(
        f"the create was sent, but {failure}: it may have been accepted and billed, so it is not repeated; "
        "look at the provider's log of requests before you send it again",
        status=status,
    )
