"""Requests, replies and exchanges as plain values, independent of any HTTP library."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload
from urllib.parse import SplitResult, parse_qsl, urlsplit

from kling_contract.violation import Violation

__all__ = ["Exchange", "Headers", "OnExchange", "Reply", "Request"]

_Default = TypeVar("_Default")


class Headers(Mapping[str, str]):
    """Header fields by name, in upper or lower case. If a field is repeated, the last one counts."""

    __slots__ = ("_fields", "_size")

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        self._fields = {name.lower(): value for name, value in pairs}
        self._size = -1

    @classmethod
    def in_lower_case(cls, fields: dict[str, str]) -> Headers:
        """Return header fields from a dictionary whose names are in lower case already: it is kept, not copied."""
        headers = cls.__new__(cls)
        headers._fields = fields
        headers._size = -1
        return headers

    def only(self, names: Collection[str]) -> Headers:
        """Return only the fields whose lower-case names are among `names`."""
        return Headers.in_lower_case({name: value for name, value in self._fields.items() if name in names})

    def items(self) -> ItemsView[str, str]:
        """Return names, in lower case, and values. Ten times as fast as the method of Mapping."""
        return self._fields.items()

    def size(self) -> int:
        """Return how many characters the names and values have together."""
        if self._size < 0:  # counted once: the response to a poll is kept, and returned again and again
            self._size = len("".join(self._fields)) + len("".join(self._fields.values()))
        return self._size

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | _Default) -> str | _Default: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        """Return the value of a field, `default` if there is none. Three times as fast as the method of Mapping."""
        return self._fields.get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({sorted(self._fields)})"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its method, absolute URL, header fields and whole body.

    `read_timeout` is how many seconds the client will wait for the reply, None if that is unknown or unlimited.
    """

    method: str
    url: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)
    read_timeout: float | None = None

    @property
    def target(self) -> SplitResult:
        """The URL, split. If it cannot be split, all of it is the path."""
        try:
            return urlsplit(self.url)
        except ValueError:
            return SplitResult("", "", self.url, "", "")

    @property
    def query(self) -> list[tuple[str, str]]:
        """The decoded name and value of each query parameter, in order."""
        return parse_qsl(self.target.query, keep_blank_values=True)

    def json(self) -> Any:
        """Return the body read as JSON. Raise ValueError if it is not JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: its status, header fields and whole body, and what is to go wrong with its delivery.

    It arrives `delay` seconds late, on the fake's clock. `cut` is how many bytes of the body arrive before the connection
    breaks: 0 means that nothing arrives, not even the status; None that everything does. Status 0 means that there was
    no reply.
    """

    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)
    delay: float = 0.0
    cut: int | None = None

    def json(self) -> Any:
        """Return the body read as JSON. Raise ValueError if it is not JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its reply.

    `at` is the fake's time in seconds since 1970; `operation` the id of the operation (None: no operation); `violations`
    everything that was wrong with the request, tolerated or not; `generation_id` the generation that it created or asked
    for (None: none); `failure` what kept the reply from arriving whole, if that is known, as a proxy
    does (None: nothing, or unknown). Request and reply are as they crossed the wire, without keys: see `Journal.add`.
    """

    at: float
    request: Request
    reply: Reply
    operation: str | None = None
    violations: tuple[Violation, ...] = ()
    generation_id: str | None = None
    failure: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the request was refused, in one line; None if it was not."""
        return self.reply.headers.get("x-fake-reason")

    @property
    def arrived(self) -> bool:
        """Did the client get the whole reply? Not if the connection broke, or if its read timeout was shorter."""
        cut, patience = self.reply.cut, self.request.read_timeout
        whole = cut is None or cut >= len(self.reply.body) > 0
        return whole and self.reply.status > 0 and (patience is None or self.reply.delay <= patience)

    @property
    def reported_status(self) -> str | None:
        """The status of the generation in the reply, None if no such reply arrived."""
        if self.operation is None or not self.arrived:
            return None
        try:
            answer = self.reply.json()
        except (ValueError, RecursionError):
            return None
        status = answer.get("status") if isinstance(answer, dict) else None
        return status if isinstance(status, str) else None


OnExchange = Callable[[Exchange], None]
"""Is called with each exchange when it is over."""
