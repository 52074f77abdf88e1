"""Faults as data: what goes wrong with which calls, and what each fault does to a response."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from fake_server.messages import Headers, Reply
from fake_server.scenario.rules import problems_in
from kling_contract.errors import InvalidJson
from kling_contract.jsontext.parser import parse

__all__ = ["Fault", "FaultCounter", "merged"]

_WHOLE_NUMBERS = ("skip", "times", "status", "truncate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with some calls of one operation. Raise ValueError for an invalid fault, naming the field.

    `operation` is "createGeneration", "getGeneration" or "download" (a GET or HEAD for a video). The fault lets the first
    `skip` calls of it pass, then hits `times` calls (None: all that follow). Calls are counted over all generations, in the
    order in which they arrive.

    Instead of the service, `refusal` (a reason of `observed.json`) or `status` answers, with `headers` and `body` (text is
    sent as it is, anything else as JSON): nothing is created or billed. `headers`, `body` or `patch` alone change the
    service's own response; `patch` is a JSON merge patch (RFC 7386).

    `latency` delays the response, in seconds on the fake's clock. Over a port the real delay is that divided by the clock's
    rate; if the rate is 0, the clock is moved on and nobody waits. In process nobody waits either, and a client with a
    shorter read timeout gets its library's timeout error.

    `drop` breaks the connection: "before_processing" the call, or "after_processing": it is accepted and billed, and its
    response is lost. Together with a `refusal` or `status`, that is sent instead of the lost response. `truncate` is how many
    bytes of the body arrive before the connection breaks.

    The rules are those of `schemas/scenario.schema.json`.
    """

    operation: Literal["createGeneration", "getGeneration", "download"]
    skip: int = 0
    times: int | None = None
    refusal: str | None = None
    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: Mapping[str, Any] | list[Any] | str | None = None
    patch: Mapping[str, Any] | None = None
    latency: float | None = None
    drop: Literal["before_processing", "after_processing"] | None = None
    truncate: int | None = None

    def __post_init__(self) -> None:
        _check(self.data())
        for name in _WHOLE_NUMBERS:
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else int(value))

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read a fault from its JSON form, which has the same fields. Raise ValueError if it is invalid."""
        _check(data)
        return cls(**data)

    def data(self) -> dict[str, Any]:
        """Return the JSON form."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def covers(self, call: int) -> bool:
        """Return whether it hits this call of its operation, counted from 0."""
        return call >= self.skip and (self.times is None or call < self.skip + self.times)

    @property
    def lets_through(self) -> bool:
        """Whether the service processes the call."""
        if self.drop is not None:
            return self.drop == "after_processing"
        return self.refusal is None and self.status is None

    def apply(self, reply: Reply) -> Reply:
        """Return what the fault makes of a reply: the service's own, or the one that replaces it."""
        headers, body = dict(reply.headers), reply.body
        if self.body is not None:
            body = self.body.encode("utf-8", "replace") if isinstance(self.body, str) else _json(self.body)
            kind = "text/plain; charset=utf-8" if isinstance(self.body, str) else "application/json; charset=utf-8"
            headers.setdefault("content-type", kind)
            headers.pop("content-length", None)
        elif self.patch is not None:
            with contextlib.suppress(InvalidJson):  # a recorded body may be no JSON; then there is nothing to patch
                body = _json(merged(parse(body), self.patch))
        return Reply(
            reply.status,
            Headers([*headers.items(), *(self.headers or {}).items()]),
            body,
            delay=reply.delay + float(self.latency or 0),
            cut=self._cut(reply),
        )

    def _cut(self, reply: Reply) -> int | None:
        """Return how many bytes of the body arrive. A recorded reply may break off by itself."""
        if reply.cut == 0 or (self.drop is not None and self.refusal is None and self.status is None):
            return 0
        cuts = [self.truncate, None if self.body is not None else reply.cut]
        return min((cut for cut in cuts if cut is not None), default=None)


class FaultCounter:
    """Counts the calls of each operation, and says which fault hits the next one."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults: dict[str, list[Fault]] = {}
        for fault in faults:
            self._faults.setdefault(fault.operation, []).append(fault)
        self._seen: Counter[str] = Counter()

    def next(self, operation: str) -> Fault | None:
        """Count a call. Return the fault that hits it, None if there is none."""
        faults = self._faults.get(operation)
        if faults is None:
            return None
        call = self._seen[operation]
        self._seen[operation] += 1
        return next((fault for fault in faults if fault.covers(call)), None)


def merged(document: Any, patch: Any) -> Any:
    """Return a JSON value with a merge patch (RFC 7386) applied."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _check(data: Mapping[str, Any]) -> None:
    if problems := problems_in(data, "fault"):
        raise ValueError(f"invalid fault: {problems}")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
