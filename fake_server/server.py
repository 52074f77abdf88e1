"""The fake Kling server: one door, `FakeServer.handle`, without I/O. Its generations' states follow the clock."""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from fake_server.assertions import Assertions
from fake_server.journal.journal import Journal
from fake_server.messages import Exchange, Headers, Reply, Request
from fake_server.scenario.faults import Fault, FaultCounter
from fake_server.scenario.scenario import Scenario
from fake_server.service.generation import Generation
from fake_server.service.generations import Generations
from fake_server.service.ledger import Ledger
from fake_server.service.responses import Answers
from fake_server.service.service import Progression, Service
from kling_contract.clock import Clock, VirtualClock
from kling_contract.contract import Contract, Timeline, chosen
from kling_contract.errors import DocumentError
from kling_contract.violation import Strictness, check_strictness

if TYPE_CHECKING:
    import httpx
    import respx

    from fake_server.adapters.live import BaseURL
    from fake_server.service.store import Store

__all__ = ["FakeServer"]


class FakeServer(Assertions):
    """A Kling service that costs nothing.

    `contract` or `revision` says which one it speaks. `scenario` (a Scenario, its data, a file, or a shipped name) says how
    its generations go and what goes wrong; `progression` what moves them along: "time" on the clock, "immediate" for ended
    at the first poll, "polls" for one step of the timeline with each poll that is answered, whatever the time. `strictness`
    is what it refuses (see `validate`); `clock` its time (None: a VirtualClock of its own); `api_key` the key it takes
    (None: any); `seed` what its ids are drawn from; `body_limit` how many bytes a request may have; `generation_limit` how
    many generations it remembers, the oldest going first; `state` a file in which generations and time outlive this fake
    (None: nothing does). Then `close` it in the end. `replay` is an HTTP Archive, decoded or as a file: creates and polls are then
    answered as they were in it, and the scenario adds nothing but its faults (see `Replay`).

    `journal`, `ledger` and `generations` tell afterwards what happened, and the assertions judge it. Nothing is shared
    between two fakes, and one fake may be used from several threads. Raise DocumentError for a scenario that cannot be
    played under the contract.
    """

    def __init__(
        self,
        *,
        revision: str | None = None,
        contract: Contract | None = None,
        scenario: Scenario | Mapping[str, Any] | Path | str = "happy",
        progression: Progression = "time",
        strictness: Strictness = "lax",
        clock: Clock | None = None,
        api_key: str | None = None,
        seed: int = 0,
        body_limit: int = 32 * 2**20,
        generation_limit: int = 100_000,
        state: Path | str | None = None,
        replay: Mapping[str, Any] | Path | str | None = None,
    ) -> None:
        if progression not in get_args(Progression):
            raise ValueError(f"progression must be one of {', '.join(get_args(Progression))}, not {progression!r}")
        self.contract = chosen(contract, revision)
        self.strictness: Strictness = check_strictness(strictness)
        self.progression: Progression = progression
        self.clock: Clock = clock or VirtualClock()
        self.body_limit = body_limit
        self.journal = Journal()
        self._api_key = api_key
        self._seed: int | str = seed
        self._generations = Generations(generation_limit)
        self._lock = threading.RLock()
        self._started_with = Scenario.load(scenario)
        self._store: Store | None = None
        self._serving: Callable[..., Service] = Service
        if replay is not None:
            from fake_server.recording.replay import Recordings, Replay

            self._serving = functools.partial(Replay, Recordings.load(replay, self.contract))
        self._start()
        if state is not None:
            self._continue(Path(state))

    @property
    def generations(self) -> Mapping[str, Generation]:
        """Every generation that is remembered, by id, oldest first."""
        return self._generations.by_id

    @property
    def ledger(self) -> Ledger:
        """What was created and what of it has been booked by now."""
        return Ledger(self.contract, self._generations.by_id.values(), self.now)

    def now(self) -> float:
        """Return the time on the clock. A later fake with the same state file never begins before a time that was told."""
        now = self.clock.now()
        if self._store is not None:
            with self._lock:
                self._store.reach(now, lead=self.clock.rate if isinstance(self.clock, VirtualClock) else 1.0)
        return now

    def advance(self, seconds: float) -> None:
        """Move the time on by `seconds`. Raise ValueError when that would move it back, TypeError unless the clock is virtual."""
        if not isinstance(self.clock, VirtualClock):
            raise TypeError(
                f"{self.clock!r} cannot be moved: make the fake with clock=VirtualClock(), which is its default"
            )
        self.clock.advance(seconds)

    def play(self, scenario: Scenario | Mapping[str, Any] | Path | str) -> None:
        """Go on with another scenario. Its faults count calls from now on; generations under way keep their timeline.

        Raise DocumentError, and go on as before, when it cannot be played.
        """
        playable = Scenario.load(scenario)
        with self._lock:
            self._service.play(playable)
            self.scenario = playable
            self._calls = FaultCounter(playable.faults)

    def redirect(self, generation_id: str, timeline: Timeline | str) -> Generation:
        """Let a generation under way go on by another timeline, as if it had had that one from the beginning.

        `timeline` is as in a scenario: "failure" lets it fail when one that fails would have failed, or now if that is past.
        Raise KeyError for an unknown generation, DocumentError for one that has ended, or for an unknown timeline.
        """
        playable = Scenario(timeline=timeline).timeline_under(self.contract)
        with self._lock:
            generation, now = self.generations[generation_id], self.now()
            status = generation.status(now)
            if self.contract.lifecycle.is_final(status):
                raise DocumentError(f"{generation_id} has ended ({status}), and goes nowhere any more")
            redirected = generation.redirected(now, playable)
            self._generations.put(redirected)
            return redirected

    def reset(self) -> None:
        """Forget every generation and exchange, and begin again with the first scenario, its faults and the seed's ids.

        The clock goes on.
        """
        with self._lock:
            self._generations.clear()
            self.journal.clear()
            self._start()

    def handle(self, request: Request) -> Reply:
        """Answer one request. Never raises for anything that a request may hold."""
        with self._lock:
            now = self.now()
            operation, served = self._service.route(request)
            fault = self._calls.next(operation) if operation is not None else None
            exchange = served(request, now) if fault is None else self._fail(fault, request, now, operation, served)
            self.journal.add(exchange)
            return exchange.reply

    def close(self) -> None:
        """Let go of the state file: what happened can still be read, and nothing new is kept.

        A fake without a state file need not be closed, and closing twice does no harm.
        """
        with self._lock:
            if self._store is not None:
                self._store.close(self.clock.now())
                self._store = None

    def transport(self) -> httpx.MockTransport:
        """Return an httpx transport, sync and async, that ends in this fake."""
        from fake_server.adapters import intercept

        return intercept.transport(self)

    def mount(self, router: respx.Router) -> None:
        """Add routes to a respx router that lead the API's host and the media host into this fake."""
        from fake_server.adapters import intercept

        intercept.mount(self, router)

    def intercept(self, *, others: Literal["block", "pass"] = "block") -> AbstractContextManager[FakeServer]:
        """Catch calls of this process to the API's host and the media host, while the context lasts.

        httpx and httpx2 are caught, and requests. Calls to `others` are blocked, or pass to the real network.
        """
        from fake_server.adapters import intercept

        return intercept.intercept(self, others=others)

    def live(self, *, host: str = "127.0.0.1", port: int = 0, tls: bool = False) -> AbstractContextManager[BaseURL]:
        """Serve on a real port while the context lasts, and give the base URL. Port 0 takes any free one.

        With `tls` it is https, under a certificate made for the occasion: trust the URL's `ca_pem`. Under
        `/_fake/` on that port the fake can be steered, and asked what it saw: see `Controlled`.
        """
        from fake_server.adapters import control, live

        return live.live(control.ControlApi(self, host=host), host=host, port=port, tls=tls)

    def __repr__(self) -> str:
        return f"<FakeServer {self.contract.revision}, {self.scenario.name}, {len(self.generations)} generations>"

    def _continue(self, state: Path) -> None:
        """Take up where the last fake with this state file ended, and keep everything there from now on."""
        from fake_server.service.store import Store

        self._store = Store(state, self.contract.revision.id)
        self._generations.keep_in(self._store)
        if self._store.starts > 1:  # with the seed alone it would draw the ids of the fakes before it
            self._seed = f"{self._seed} {self._store.starts}"
            self._start()
        if isinstance(self.clock, VirtualClock) and self._store.time is not None:
            self.clock.advance(max(0.0, self._store.time - self.clock.now()))

    def _start(self) -> None:
        self._service = self._serving(
            self.contract,
            self._generations,
            Answers(self.contract, random.Random(self._seed)),
            strictness=self.strictness,
            progression=self.progression,
            api_key=self._api_key,
            body_limit=self.body_limit,
        )
        self.play(self._started_with)

    def _fail(
        self,
        fault: Fault,
        request: Request,
        now: float,
        operation: str | None,
        served: Callable[[Request, float], Exchange],
    ) -> Exchange:
        """Answer a call that meets a fault. The journal has it with whatever the service made of it."""
        operation = operation if operation in self.contract.operations else None
        reason = f"the scenario {self.scenario.name} has a fault here"
        unserved = Exchange(now, request, Reply(0, Headers({"x-fake-reason": reason})), operation)
        exchange = served(request, now) if fault.lets_through else unserved
        reply = exchange.reply
        if fault.refusal is not None:
            reply = self._service.refuse(request, now, fault.refusal, (), explanation=reason).reply
        elif fault.status is not None:
            reply = replace(unserved.reply, status=fault.status)
        return replace(exchange, reply=fault.over(reply))
