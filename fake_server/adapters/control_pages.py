"""The pages of the control API: what each does with the fake, and the JSON that it returns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from fake_server.messages import Exchange, Request
from fake_server.scenario.scenario import Scenario
from fake_server.service.fake import Fake
from fake_server.service.generation import FakeGeneration
from kling_contract.clock import CALENDAR_END, VirtualClock, utc
from kling_contract.errors import DocumentError, InvalidJson
from kling_contract.jsontext.parser import parse

__all__ = ["PREFIX", "Pages", "Refused"]

PREFIX = "/_fake/"
"""Every path of the control API begins with it."""

_NEWEST = 1000  # how many entries a list has if the query has no limit
_BUNDLED = "bundled"

_Entry = TypeVar("_Entry")


class Refused(Exception):
    """A request that the control API refuses: with `status`, the message, and `headers`."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class Pages:
    """The pages under `/_fake/` for one fake, as `fake_server.adapters.control` lists them.

    `by_name` has, for each page, a function by HTTP method, which takes the request and returns the value to send as JSON.
    It raises Refused for a request that cannot be met.
    """

    def __init__(self, fake: Fake) -> None:
        self._fake = fake
        self.by_name: Mapping[str, Mapping[str, Callable[[Request], Any]]] = {
            "health": {"GET": self._health},
            "clock": {"GET": self._clock, "POST": self._advance},
            "scenario": {"GET": self._scenario, "POST": self._play},
            "generations": {"GET": self._generations},
            "generation": {"GET": self._generation, "POST": self._reschedule},
            "journal": {"GET": self._journal},
            "har": {"GET": lambda request: self._fake.journal.har()},
            "ledger": {"GET": self._ledger},
            "reset": {"POST": self._reset},
            "documents": {"GET": self._documents},
        }

    def _health(self, request: Request) -> Any:
        fake = self._fake
        return {
            "status": "ok",
            "revision": fake.contract.revision.id,
            "scenario": fake.scenario.name,
            "strictness": fake.strictness,
            "progression": fake.progression,
            "generations": len(fake.generations),
        }

    def _clock(self, request: Request) -> Any:
        now = self._fake.now()
        return {
            "now": now,
            "time": utc(now).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "rate": getattr(self._fake.clock, "rate", 1.0),
        }

    def _advance(self, request: Request) -> Any:
        clock = self._fake.clock
        if not isinstance(clock, VirtualClock):
            raise Refused(409, "this fake follows real time, which cannot be moved")
        seconds = self._field(request, "advance", 30)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise Refused(400, f"advance must be 0 seconds or more, not {json.dumps(seconds)}: time does not go back")
        left = CALENDAR_END - clock.now()
        if not seconds <= left:
            raise Refused(
                400, f"advance by less: the calendar ends in {max(0.0, left):.0f} seconds, with the year 9999"
            )
        clock.advance(seconds)
        return self._clock(request)

    def _scenario(self, request: Request) -> Any:
        return self._fake.scenario.data()

    def _play(self, request: Request) -> Any:
        asked = self._body(request, "fails")
        if isinstance(asked, Mapping) and set(asked) == {"name"}:
            asked = asked["name"]
        if not isinstance(asked, Mapping | str):
            raise Refused(400, 'send the name of a scenario, as in "fails", or the data of one, as its file has it')
        try:  # by its name alone: nobody may make the fake read files through this page
            self._fake.play(Scenario.shipped(asked) if isinstance(asked, str) else asked)
        except (DocumentError, ValueError) as unplayable:
            raise Refused(400, str(unplayable)) from unplayable
        return self._scenario(request)

    def _generations(self, request: Request) -> Any:
        known, now = list(self._fake.generations.values()), self._fake.now()
        newest = _newest(request, known)
        return {"total": len(known), "generations": [_entry(generation, now) for generation in newest]}

    def _generation(self, request: Request) -> Any:
        return _entry(self._named(request), self._fake.now())

    def _reschedule(self, request: Request) -> Any:
        generation = self._named(request)
        timeline = self._field(request, "timeline", "failure")
        try:
            wanted = Scenario.from_data({"timeline": timeline}).timeline
        except DocumentError as unfit:
            raise Refused(400, str(unfit)) from unfit
        try:
            return _entry(self._fake.reschedule(generation.id, wanted), self._fake.now())
        except DocumentError as unfit:
            raise Refused(409, str(unfit)) from unfit

    def _journal(self, request: Request) -> Any:
        journal = self._fake.journal
        exchanges = [_summary(exchange) for exchange in _newest(request, list(journal))]
        return {"total": len(journal), "dropped": journal.dropped, "exchanges": exchanges}

    def _ledger(self, request: Request) -> Any:
        ledger = self._fake.ledger
        charges = ledger.charges
        return {
            "unit": ledger.unit,
            "booked": ledger.booked,
            "pending": ledger.pending,
            "unknown": len(ledger.unknown),
            "total": len(charges),
            "charges": [asdict(charge) for charge in _newest(request, charges)],
        }

    def _reset(self, request: Request) -> Any:
        self._fake.reset()
        return self._health(request)

    def _documents(self, request: Request) -> Any:
        contract = self._fake.contract
        name = request.target.path.removeprefix(f"{PREFIX}documents").removeprefix("/")
        if name == _BUNDLED:
            return contract.bundled()
        known = (_BUNDLED, "openapi", "observed", *(schema.removesuffix(".schema.json") for schema in contract.schemas))
        if not name:
            return {"revision": contract.revision.id, "documents": [f"{PREFIX}documents/{other}" for other in known]}
        try:
            return contract.document(name)
        except DocumentError as unknown:
            raise Refused(404, f"there is no document {name!r}; there is {', '.join(known)}") from unknown

    def _named(self, request: Request) -> FakeGeneration:
        ids = [value for name, value in request.query if name == "id"]
        generation = self._fake.generations.get(ids[0]) if len(ids) == 1 else None
        if generation is None:
            what = f"no generation has the id {ids[0]!r}" if ids else "which one? /_fake/generation?id=..."
            raise Refused(404, f"{what}; /_fake/generations lists them")
        return generation

    def _field(self, request: Request, name: str, example: Any) -> Any:
        """Return the only field of a body."""
        body = self._body(request, {name: example})
        if not isinstance(body, Mapping) or set(body) != {name}:
            raise Refused(400, f"send {json.dumps({name: example})}, and nothing else")
        return body[name]

    def _body(self, request: Request, example: Any) -> Any:
        if len(request.body) > self._fake.body_limit:
            raise Refused(413, f"the body has more than the {self._fake.body_limit:,} bytes that this fake accepts")
        try:
            return parse(request.body)
        except InvalidJson as bad:
            raise Refused(400, f"the body is not JSON, such as {json.dumps(example)}: {bad}") from bad


def _entry(generation: FakeGeneration, now: float) -> dict[str, Any]:
    values = asdict(generation)
    values["timeline"] = [asdict(step) for step in generation.timeline.steps]
    return {"id": values.pop("id"), "status": generation.status(now), **values}


def _summary(exchange: Exchange) -> dict[str, Any]:
    return {
        "at": exchange.at,
        "method": exchange.request.method,
        "url": exchange.request.url,
        "status": exchange.reply.status,
        "operation": exchange.operation,
        "generation_id": exchange.generation_id,
        "reason": exchange.reason,
        "violations": [asdict(violation) for violation in exchange.violations],
    }


def _newest(request: Request, entries: Sequence[_Entry]) -> Sequence[_Entry]:
    """Return the newest entries, oldest first: as many as the query's `limit` says."""
    asked = dict(request.query).get("limit", str(_NEWEST))
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 10):
        raise Refused(400, f"limit must be a whole number, as in ?limit={_NEWEST}, not {asked!r}")
    return entries[max(0, len(entries) - int(asked)) :]
