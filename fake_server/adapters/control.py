"""How is a fake on a port steered, and asked what it saw? By JSON under `/_fake/`, in front of its own door."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from fake_server.adapters.delivery import Handler
from fake_server.messages import Exchange, Headers, Reply, Request
from fake_server.scenario.scenario import Scenario
from fake_server.server import FakeServer
from fake_server.service.generation import Generation
from kling_contract.clock import CALENDAR_END, Clock, VirtualClock, utc
from kling_contract.errors import DocumentError
from kling_contract.hosts import is_own_page, names_this_host
from kling_contract.jsontext.parser import InvalidJson, parse
from kling_contract.validation.messages import same_media_type

__all__ = ["ControlApi"]

_PREFIX = "/_fake/"
_JSON = "application/json"
_NEWEST = 1000  # how many entries a list has when nobody says how many
_BUNDLED = "bundled"

_Entry = TypeVar("_Entry")
_Page = Mapping[str, Callable[[Request], Any]]  # by method


class ControlApi:
    """A fake with a control path: requests under `/_fake/` are answered for the fake itself, and leave no trace in it.

    Everything else goes to `door`, by default the fake's own. `host` is the address that the door listens on. Whoever names
    another than that or this machine is refused, and so is a page of another origin: a browser may have been led here.
    """

    def __init__(self, fake: FakeServer, *, door: Handler | None = None, host: str = "127.0.0.1") -> None:
        self._fake = fake
        self._door = fake if door is None else door
        self._host = host
        self._pages: Mapping[str, _Page] = {
            "health": {"GET": self._health},
            "clock": {"GET": self._clock, "POST": self._advance},
            "scenario": {"GET": self._scenario, "POST": self._play},
            "generations": {"GET": self._generations},
            "generation": {"GET": self._generation, "POST": self._redirect},
            "journal": {"GET": self._journal},
            "har": {"GET": lambda request: self._fake.journal.har()},
            "ledger": {"GET": self._ledger},
            "reset": {"POST": self._reset},
            "documents": {"GET": self._documents},
        }

    @property
    def body_limit(self) -> int:
        return self._fake.body_limit

    @property
    def clock(self) -> Clock:
        return self._fake.clock

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        target = request.target
        if not target.path.startswith(_PREFIX):
            return self._door.handle(request)
        try:
            self._check_sender(request)
            return _reply(200, self._page(request, target.path.removeprefix(_PREFIX))(request))
        except _Refused as refused:
            return _reply(refused.status, {"error": str(refused)}, refused.headers)

    def _check_sender(self, request: Request) -> None:
        host = request.headers.get("host", request.target.netloc)
        if not names_this_host(host, self._host):
            raise _Refused(
                403, f"{host!r} is not a name of this machine: call /_fake/ by the address in the ready line"
            )
        origin = request.headers.get("origin")
        if origin is not None and not is_own_page(origin, self._host):
            raise _Refused(403, f"pages of {origin!r} have no business under /_fake/")

    def _page(self, request: Request, path: str) -> Callable[[Request], Any]:
        name, _, document = path.partition("/")
        page = self._pages.get(name)
        if page is None or (document and name != "documents"):
            raise _Refused(404, f"there is no /_fake/{path}; there is {', '.join(self._pages)}")
        answer = page.get("GET" if request.method == "HEAD" else request.method)
        if answer is None:
            allowed = ", ".join(page)
            raise _Refused(405, f"/_fake/{name} takes {allowed}, not {request.method}", {"allow": allowed})
        # The browser of a foreign page asks for leave first before it sends this type, and gets none.
        if request.method == "POST" and not same_media_type(request.headers.get("content-type", ""), _JSON):
            raise _Refused(415, f"send content-type: {_JSON}, though there may be no body")
        return answer

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
            raise _Refused(409, "this fake follows the real time, which cannot be moved")
        seconds = self._field(request, "advance", 30)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise _Refused(400, f"advance must be 0 seconds or more, not {json.dumps(seconds)}: time does not go back")
        left = CALENDAR_END - clock.now()
        if not seconds <= left:
            raise _Refused(
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
            raise _Refused(400, 'send the name of a scenario, as in "fails", or the data of one, as its file has it')
        try:  # by its name alone: whoever can call this page must not make the fake read files
            self._fake.play(Scenario.shipped(asked) if isinstance(asked, str) else asked)
        except (DocumentError, ValueError) as unplayable:
            raise _Refused(400, str(unplayable)) from unplayable
        return self._scenario(request)

    def _generations(self, request: Request) -> Any:
        known, now = list(self._fake.generations.values()), self._fake.now()
        newest = _newest(request, known)
        return {"total": len(known), "generations": [_told(generation, now) for generation in newest]}

    def _generation(self, request: Request) -> Any:
        return _told(self._asked_for(request), self._fake.now())

    def _redirect(self, request: Request) -> Any:
        generation = self._asked_for(request)
        timeline = self._field(request, "timeline", "failure")
        try:
            wanted = Scenario.from_data({"timeline": timeline}).timeline
        except DocumentError as unfit:
            raise _Refused(400, str(unfit)) from unfit
        try:
            return _told(self._fake.redirect(generation.id, wanted), self._fake.now())
        except DocumentError as unfit:
            raise _Refused(409, str(unfit)) from unfit

    def _journal(self, request: Request) -> Any:
        journal = self._fake.journal
        exchanges = [_noted(exchange) for exchange in _newest(request, list(journal))]
        return {"total": len(journal), "dropped": journal.dropped, "exchanges": exchanges}

    def _ledger(self, request: Request) -> Any:
        ledger = self._fake.ledger
        charges = ledger.charges
        return {
            "unit": ledger.unit,
            "booked": ledger.booked,
            "pending": ledger.pending,
            "total": len(charges),
            "charges": [asdict(charge) for charge in _newest(request, charges)],
        }

    def _reset(self, request: Request) -> Any:
        self._fake.reset()
        return self._health(request)

    def _documents(self, request: Request) -> Any:
        contract = self._fake.contract
        name = request.target.path.removeprefix(f"{_PREFIX}documents").removeprefix("/")
        if name == _BUNDLED:
            return contract.bundled()
        known = (_BUNDLED, "openapi", "observed", *(each.removesuffix(".schema.json") for each in contract.schemas))
        if not name:
            return {"revision": contract.revision.id, "documents": [f"{_PREFIX}documents/{each}" for each in known]}
        try:
            return contract.document(name)
        except DocumentError as unknown:
            raise _Refused(404, f"there is no document {name!r}; there is {', '.join(known)}") from unknown

    def _asked_for(self, request: Request) -> Generation:
        ids = [value for name, value in request.query if name == "id"]
        generation = self._fake.generations.get(ids[0]) if len(ids) == 1 else None
        if generation is None:
            what = f"no generation has the id {ids[0]!r}" if ids else "which one? /_fake/generation?id=..."
            raise _Refused(404, f"{what}; /_fake/generations lists them")
        return generation

    def _field(self, request: Request, name: str, example: Any) -> Any:
        """Return the only field of a body."""
        body = self._body(request, {name: example})
        if not isinstance(body, Mapping) or set(body) != {name}:
            raise _Refused(400, f"send {json.dumps({name: example})}, and nothing else")
        return body[name]

    def _body(self, request: Request, example: Any) -> Any:
        if len(request.body) > self.body_limit:
            raise _Refused(413, f"the body has more than the {self.body_limit:,} bytes that this fake takes")
        try:
            return parse(request.body)
        except InvalidJson as bad:
            raise _Refused(400, f"the body is no JSON, such as {json.dumps(example)}: {bad}") from bad


class _Refused(Exception):
    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


def _reply(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Reply:
    body = json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8", "replace")
    return Reply(status, Headers({"content-type": _JSON, "cache-control": "no-store", **(headers or {})}), body)


def _told(generation: Generation, now: float) -> dict[str, Any]:
    told = asdict(generation)
    told["timeline"] = [asdict(step) for step in generation.timeline.steps]
    return {"id": told.pop("id"), "status": generation.status(now), **told}


def _noted(exchange: Exchange) -> dict[str, Any]:
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
        raise _Refused(400, f"limit must be a whole number, as in ?limit={_NEWEST}, not {asked!r}")
    return entries[max(0, len(entries) - int(asked)) :]
