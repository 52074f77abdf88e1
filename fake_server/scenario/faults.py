"""What goes wrong, and with which calls? Faults as data, and what each of them makes of an answer."""

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

__all__ = ["Calls", "Fault", "merged"]

_WHOLE_NUMBERS = ("after", "times", "status", "truncate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with some calls of one operation; ValueError names the field that cannot be.

    `operation` is "createGeneration", "getGeneration" or "download" (a GET or HEAD for a video). `after` so many calls of it
    it happens `times` times (None: for ever). Calls are counted over all generations, in the order of their arrival.

    In place of the service answer `refusal` (a reason of `observed.json`) or `status`, with `headers` and `body` (text as it
    is, else JSON): nothing is created or billed. Over the true answer go `headers`, `body`, or `patch`, a JSON merge patch
    (RFC 7386). `latency` makes the answer late, in seconds on the fake's clock: over a real port by that much divided by the
    clock's rate, or at once, with the time moved on, where the rate is 0; in this process nobody waits, and a sender whose
    read timeout is shorter gets its library's own. `drop` kills the connection "before" the call was processed, or "after":
    accepted, billed, and the answer lost (or, with a `refusal` or `status`, that in its place). `truncate` is how many bytes
    of the body arrive before the connection breaks.

    The rules are those of `schemas/scenario.schema.json`.
    """

    operation: Literal["createGeneration", "getGeneration", "download"]
    after: int = 0
    times: int | None = None
    refusal: str | None = None
    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: Mapping[str, Any] | list[Any] | str | None = None
    patch: Mapping[str, Any] | None = None
    latency: float | None = None
    drop: Literal["before", "after"] | None = None
    truncate: int | None = None

    def __post_init__(self) -> None:
        if wrong := problems_in(self.data(), "fault"):
            raise ValueError(f"this is no fault: {wrong}")
        for name in _WHOLE_NUMBERS:
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else int(value))

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read a fault from its JSON form, which has the same fields. Raise ValueError for what is none."""
        if wrong := problems_in(data, "fault"):
            raise ValueError(f"this is no fault: {wrong}")
        return cls(**data)

    def data(self) -> dict[str, Any]:
        """Return the JSON form."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def covers(self, call: int) -> bool:
        """Does it happen to this call of its operation, counted from 0?"""
        return call >= self.after and (self.times is None or call < self.after + self.times)

    @property
    def lets_through(self) -> bool:
        """Does the service get to process the call?"""
        if self.drop is not None:
            return self.drop == "after"
        return self.refusal is None and self.status is None

    def over(self, reply: Reply) -> Reply:
        """Return what becomes of the answer: the true one, or that which came in its place."""
        headers, body = dict(reply.headers), reply.body
        if self.body is not None:
            body = self.body.encode("utf-8", "replace") if isinstance(self.body, str) else _json(self.body)
            kind = "text/plain; charset=utf-8" if isinstance(self.body, str) else "application/json; charset=utf-8"
            headers.setdefault("content-type", kind)
            headers.pop("content-length", None)
        elif self.patch is not None:
            with contextlib.suppress(InvalidJson):  # a recorded answer need not be JSON: then there is nothing to patch
                body = _json(merged(parse(body), self.patch))
        lost = self.drop is not None and self.refusal is None and self.status is None
        return Reply(
            reply.status,
            Headers([*headers.items(), *(self.headers or {}).items()]),
            body,
            delay=float(self.latency or 0),
            cut=0 if lost else self.truncate,
        )


class Calls:
    """Counts the calls of each operation, and says which fault the next one meets."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults: dict[str, list[Fault]] = {}
        for fault in faults:
            self._faults.setdefault(fault.operation, []).append(fault)
        self._seen: Counter[str] = Counter()

    def next(self, operation: str) -> Fault | None:
        """Count a call. Return the fault that it meets, None when all goes well."""
        faults = self._faults.get(operation)
        if faults is None:
            return None
        call = self._seen[operation]
        self._seen[operation] += 1
        return next((fault for fault in faults if fault.covers(call)), None)


def merged(document: Any, patch: Any) -> Any:
    """Return a JSON value under a merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
