"""Exchanges as text: a table, a log line, a list of violations, and a curl line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from fake_server.journal.journal import Journal
from fake_server.messages import Exchange
from kling_contract import display
from kling_contract.clock import utc
from kling_contract.display import printable, shorten
from kling_contract.redaction import MASK

__all__ = ["curl", "line", "shortened", "table", "violations"]

_FIRST, _LAST = 8, 16  # rows that a long table begins and ends with
_TARGET = 72  # characters, as the next two
_WHY = 80
_LINE = 400


def table(journal: Journal) -> str:
    """Return the exchanges, one per line: seconds since the first, method, path and query, the outcome, and the reason.

    Equal neighbours share a line. The first line says how many exchanges the journal has dropped, if any.
    """
    kept = tuple(journal)
    lost = (
        f"  {journal.dropped:,} older exchanges were dropped: the journal keeps only the latest\n"
        if journal.dropped
        else ""
    )
    if not kept:
        return f"{lost}  no request reached the fake"
    rows = []
    for (request, outcome), same in groupby(kept, _row):
        group = list(same)
        times = f"  (x {len(group)}, until {group[-1].at - kept[0].at:.1f} s)" if len(group) > 1 else ""
        rows.append(f"  {group[0].at - kept[0].at:8.1f} s  {request}  {outcome}{times}")
    if len(rows) > _FIRST + _LAST:
        rows[_FIRST:-_LAST] = [f"  … {len(rows) - _FIRST - _LAST:,} more lines …"]
    return lost + "\n".join(rows)


def line(exchange: Exchange) -> str:
    """Return one exchange as a log line: the fake's time, method, path and query, the outcome, and the violations."""
    method, path = _request(exchange)
    wrong = "; ".join(f"{violation.severity} {violation}" for violation in exchange.violations)
    why = wrong or exchange.reason or exchange.reported_status or ""
    when = utc(exchange.at)
    return f"{when:%Y-%m-%d %H:%M:%S}  {method} {shortened(path, _LINE)}  {_outcome(exchange)}  {shortened(why, _LINE)}".rstrip()


def violations(exchanges: Iterable[Exchange]) -> str:
    """Return the violations in the requests, one per line; "" if there are none."""
    found = Counter(
        f"{violation.severity:<7}  {violation}" for exchange in exchanges for violation in exchange.violations
    )
    lines = [f"  {printable(text)}{f'  (x {times})' if times > 1 else ''}" for text, times in found.items()]
    if len(lines) > _FIRST + _LAST:
        lines[_FIRST + _LAST :] = [f"  … {len(lines) - _FIRST - _LAST:,} more …"]
    return "\n".join(lines)


def curl(exchange: Exchange) -> str:
    """Return a shell line that sends the request again, as `display.curl` does. A request for a video is sent without a key."""
    request = exchange.request
    headers = dict(request.headers)
    if exchange.operation is not None or exchange.generation_id is None:
        headers["authorization"] = f"Bearer {MASK}"
    return display.curl(request.method, request.url, headers, request.body)


def shortened(text: str, limit: int) -> str:
    """Return a text cut to `limit` characters, without terminal control sequences."""
    return shorten(printable(text[: limit + 1]), limit)


def _row(exchange: Exchange) -> tuple[str, str]:
    method, path = _request(exchange)
    why = exchange.reason or exchange.reported_status or ""
    return (
        f"{method:<6} {shortened(path, _TARGET):<{_TARGET}}",
        f"{_outcome(exchange)}  {shortened(why, _WHY)}".rstrip(),
    )


def _request(exchange: Exchange) -> tuple[str, str]:
    target = exchange.request.target
    path = f"{target.path}?{target.query}" if target.query else target.path
    return shortened(exchange.request.method, 7), path


def _outcome(exchange: Exchange) -> str:
    reply = exchange.reply
    if exchange.arrived:
        return str(reply.status)
    if reply.cut == 0 or not reply.status:
        return "no response: the connection broke"
    if reply.cut is not None:
        return f"{reply.status}, broken off after {reply.cut:,} bytes"
    return f"{reply.status}, {reply.delay:g} s late: the client had timed out"
