"""What was sent to the fake, and what did it say? The latest exchanges, without any key."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, overload

from fake_server.journal.redaction import hidden, without_keys
from fake_server.messages import Exchange
from kling_contract.contract import Contract, Operation

__all__ = ["Journal"]


class Journal(Sequence[Exchange]):
    """The latest exchanges, oldest first: at most `exchanges` of them, holding at most `bytes_` bytes of bodies
    and URLs.

    `contract` says which of them are creates and polls. `dropped` counts those that had to go. Reading it while requests
    come in is safe.
    """

    def __init__(self, contract: Contract, *, exchanges: int = 10_000, bytes_: int = 64 * 2**20) -> None:
        self._contract = contract
        self._kept: deque[Exchange] = deque()
        self._limit = exchanges
        self._bytes_limit = bytes_
        self._bytes = 0
        self.dropped = 0

    def add(self, exchange: Exchange) -> None:
        """Keep an exchange without its keys, and let the oldest go when a limit is passed.

        Of the request's headers a list of harmless ones is kept. A key in any other is not, nor where it recurs.
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
        self._kept.append(exchange)
        self._bytes += _weight(exchange)
        while len(self._kept) > self._limit or (self._bytes > self._bytes_limit and len(self._kept) > 1):
            self._bytes -= _weight(self._kept.popleft())
            self.dropped += 1

    @property
    def creates(self) -> Sequence[Exchange]:
        """Every call that was to create a generation, refused ones included, as they are now."""
        return self._calls_of(self._contract.create)

    @property
    def polls(self) -> Sequence[Exchange]:
        """Every call that asked for a generation, refused ones included, as they are now."""
        return self._calls_of(self._contract.get)

    def har(self) -> dict[str, Any]:
        """Return the exchanges as an HTTP Archive 1.2, ready for `json.dump`."""
        from fake_server.journal import har

        return har.archive(self, dropped=self.dropped)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
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
            raise IndexError(self._without(index)) from None

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def _calls_of(self, operation: Operation) -> Sequence[Exchange]:
        return tuple(exchange for exchange in self if exchange.operation == operation.id)

    def _without(self, index: int) -> str:
        """Say why there is no exchange at `index`."""
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


def _weight(exchange: Exchange) -> int:
    return len(exchange.request.url) + len(exchange.request.body) + len(exchange.reply.body)
