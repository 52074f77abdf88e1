"""The journal: the latest exchanges of a fake, without API keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, overload

from fake_server.journal.har import archive
from fake_server.journal.redaction import hidden, without_keys
from fake_server.messages import Exchange
from kling_contract.contract import Contract, Operation

__all__ = ["Journal"]


class Journal(Sequence[Exchange]):
    """The latest exchanges, oldest first: at most `max_exchanges`, with at most `max_bytes` of bodies, URLs, header fields
    and violations. The latest one is kept whatever its size.

    `contract` says which of them are creates and polls. `dropped` counts those that were dropped. It can be read while
    requests come in.
    """

    def __init__(self, contract: Contract, *, max_exchanges: int = 10_000, max_bytes: int = 64 * 2**20) -> None:
        self._contract = contract
        self._kept: deque[Exchange] = deque()
        self._sizes: deque[int] = deque()
        self._max_exchanges = max_exchanges
        self._max_bytes = max_bytes
        self._bytes = 0
        self.dropped = 0

    def add(self, exchange: Exchange) -> None:
        """Keep an exchange without its keys, and drop the oldest ones while a limit is exceeded.

        Only harmless header fields of the request are kept. A key in any other field is masked wherever it recurs.
        """
        request, keys = without_keys(exchange.request)
        exchange = Exchange(
            exchange.at,
            request,
            exchange.reply,
            exchange.operation,
            exchange.violations,
            exchange.generation_id,
            exchange.failure,
        )
        if keys:
            exchange = hidden(exchange, keys)
        size = _size(exchange)
        self._kept.append(exchange)
        self._sizes.append(size)
        self._bytes += size
        while len(self._kept) > self._max_exchanges or (self._bytes > self._max_bytes and len(self._kept) > 1):
            self._kept.popleft()
            self._bytes -= self._sizes.popleft()
            self.dropped += 1

    @property
    def creates(self) -> Sequence[Exchange]:
        """All creates so far, also refused ones."""
        return self._calls_of(self._contract.create)

    @property
    def polls(self) -> Sequence[Exchange]:
        """All polls so far, also refused ones."""
        return self._calls_of(self._contract.get)

    def har(self) -> dict[str, Any]:
        """Return the exchanges as an HTTP Archive 1.2, ready for `json.dump`."""
        return archive(self, dropped=self.dropped)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._sizes.clear()
        self._bytes = self.dropped = 0

    @overload
    def __getitem__(self, index: int) -> Exchange: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Exchange]: ...
    def __getitem__(self, index: int | slice) -> Exchange | Sequence[Exchange]:
        if isinstance(index, slice):
            return list(self._kept)[index]
        try:
            return self._kept[index]
        except IndexError:
            raise IndexError(self._missing(index)) from None

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def _calls_of(self, operation: Operation) -> Sequence[Exchange]:
        return tuple(exchange for exchange in self if exchange.operation == operation.id)

    def _missing(self, index: int) -> str:
        """Return the message for an index that is out of range."""
        if self._kept:
            held = len(self._kept)
            lost = f"; {self.dropped} older ones were dropped" if self.dropped else ""
            return f"the journal has no exchange {index}: it holds {held}, from 0 to {held - 1} or from -{held} to -1{lost}"
        return (
            f"the journal has no exchange {index}: it is empty, since nothing was sent to this fake, or it was reset. "
            "Was the request sent inside intercept(), or to the URL of listen(), and to this fake and no other?"
        )

    def __repr__(self) -> str:
        lost = f", {self.dropped} older ones dropped" if self.dropped else ""
        return f"<Journal: {len(self)} exchanges{lost}>"


def _size(exchange: Exchange) -> int:
    request, reply = exchange.request, exchange.reply
    size = len(request.url) + request.headers.size() + len(request.body) + reply.headers.size() + len(reply.body)
    for violation in exchange.violations:
        size += len(violation.pointer) + len(violation.message) + len(violation.hint or "")
    return size
