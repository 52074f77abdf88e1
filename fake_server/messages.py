"""What goes in and comes out of the fake: one HTTP request, one reply, as plain values of no HTTP library."""

from __future__ import annotations

import json
from collections.abc import Collection, ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from kling_contract.violation import Violation

__all__ = ["Exchange", "Headers", "Reply", "Request"]


class Headers(Mapping[str, str]):
    """Header fields by name, whatever its case. Of repeated fields the last wins."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        self._fields = {name.lower(): value for name, value in pairs}

    def only(self, names: Collection[str]) -> Headers:
        """Return those fields alone whose lower-case names are among `names`."""
        kept = Headers()
        kept._fields = {name: value for name, value in self._fields.items() if name in names}
        return kept

    def items(self) -> ItemsView[str, str]:
        """Return names, in lower case, and values. What Mapping itself has for this takes ten times as long."""
        return self._fields.items()

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

    `read_timeout` is how many seconds the sender will wait for the reply, or None when that is not known or not limited.
    """

    method: str
    url: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)
    read_timeout: float | None = None

    @property
    def target(self) -> SplitResult:
        """The URL, split. One that cannot be split is all path."""
        try:
            return urlsplit(self.url)
        except ValueError:
            return SplitResult("", "", self.url, "", "")

    @property
    def query(self) -> list[tuple[str, str]]:
        """The decoded name and value of each query parameter, in order."""
        return parse_qsl(self.target.query, keep_blank_values=True)

    def json(self) -> Any:
        """Return the body read as JSON. Raise ValueError when it is none."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: its status, header fields and whole body, and what keeps it from arriving at once and whole.

    It arrives `delay` seconds late, on the fake's clock. `cut` is how many bytes of the body arrive before the connection
    breaks: 0 means that nothing arrives, the status neither; None that everything does. Status 0 is that of a reply that
    there never was.
    """

    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)
    delay: float = 0.0
    cut: int | None = None

    def json(self) -> Any:
        """Return the body read as JSON. Raise ValueError when it is none."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its reply.

    `at` is the fake's time in seconds since 1970; `operation` the id of the operation (None: no operation); `violations`
    everything that was wrong with the request, tolerated or not; `generation_id` the generation that it made or asked
    for (None: none). Both are as they crossed the wire, but for the keys: see `Journal.add`.
    """

    at: float
    request: Request
    reply: Reply
    operation: str | None = None
    violations: tuple[Violation, ...] = ()
    generation_id: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the request was refused, in one line; None when it was not."""
        return self.reply.headers.get("x-fake-reason")

    @property
    def arrived(self) -> bool:
        """Did the sender get the whole reply? Not if the connection broke, or it would not wait so long."""
        cut, patience = self.reply.cut, self.request.read_timeout
        whole = cut is None or cut >= len(self.reply.body) > 0
        return whole and self.reply.status > 0 and (patience is None or self.reply.delay <= patience)

    @property
    def answered_status(self) -> str | None:
        """The status of a generation that the sender was told, None if it was told none."""
        if self.operation is None or not self.arrived:
            return None
        try:
            answer = self.reply.json()
        except (ValueError, RecursionError):
            return None
        status = answer.get("status") if isinstance(answer, dict) else None
        return status if isinstance(status, str) else None
