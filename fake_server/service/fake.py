"""The core of the fake: requests in, replies out, on a clock. It does no network I/O, and `handle` is its only way in."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from fake_server.journal.journal import Journal
from fake_server.messages import Exchange, Headers, OnExchange, Reply, Request
from fake_server.scenario.faults import Fault, FaultCounter
from fake_server.scenario.scenario import Scenario
from fake_server.service.generation import FakeGeneration
from fake_server.service.generations import Generations
from fake_server.service.ledger import Ledger
from fake_server.service.responses import Responses
from fake_server.service.service import Progression, Service
from fake_server.service.store import Store
from kling_contract.clock import Clock, VirtualClock
from kling_contract.contract import Contract, Timeline
from kling_contract.errors import DocumentError
from kling_contract.violation import Strictness, check_strictness

__all__ = ["Fake"]


class Fake:
    """A Kling service in memory. `FakeServer` says what the options mean, and has their defaults.

    `make_service` makes what answers when nothing goes wrong, and takes the arguments of `Service`.
    Raise DocumentError for a scenario that cannot be played under the contract.
    """

    def __init__(
        self,
        *,
        contract: Contract,
        make_service: Callable[..., Service],
        scenario: Scenario | Mapping[str, Any] | Path | str,
        progression: Progression,
        strictness: Strictness,
        clock: Clock,
        api_key: str | None,
        seed: int,
        body_limit: int,
        generation_limit: int,
        state: Path | str | None,
        on_exchange: OnExchange | None,
    ) -> None:
        if progression not in get_args(Progression):
            raise ValueError(f"progression must be one of {', '.join(get_args(Progression))}, not {progression!r}")
        self.contract = contract
        self.strictness: Strictness = check_strictness(strictness)
        self.progression: Progression = progression
        self.clock = clock
        self.body_limit = body_limit
        self.journal = Journal(contract)
        self._on_exchange = on_exchange
        self._api_key = api_key
        self._seed: int | str = seed
        self._generations = Generations(generation_limit)
        self._lock = threading.RLock()
        self._first_scenario = Scenario.load(scenario)
        self._make_service = make_service
        self._store: Store | None = None
        self._start()
        if state is not None:
            self._continue(Path(state))

    @property
    def generations(self) -> Mapping[str, FakeGeneration]:
        """Every generation that is remembered, by id, oldest first."""
        return self._generations.by_id

    @property
    def ledger(self) -> Ledger:
        """What each generation costs, and how much of it is booked by now."""
        return Ledger(self.contract, self._generations.by_id.values(), self.now)

    def now(self) -> float:
        """Return the time on the clock. A later fake with the same state file begins no earlier than any time returned."""
        now = self.clock.now()
        if self._store is not None:
            with self._lock:
                self._store.reach(now, lead=self.clock.rate if isinstance(self.clock, VirtualClock) else 1.0)
        return now

    def advance(self, seconds: float) -> None:
        """Move the clock on by `seconds`. Raise ValueError if that would move it back, TypeError unless it is virtual."""
        if not isinstance(self.clock, VirtualClock):
            raise TypeError(
                f"{self.clock!r} cannot be moved: make the fake with clock=VirtualClock(), which is its default"
            )
        self.clock.advance(seconds)

    def play(self, scenario: Scenario | Mapping[str, Any] | Path | str) -> None:
        """Go on with another scenario. Its faults count calls from now on; generations under way keep their timeline.

        Raise DocumentError, and go on as before, if it cannot be played.
        """
        playable = Scenario.load(scenario)
        with self._lock:
            self._service.play(playable)
            self._count_faults_of(playable)

    def reschedule(self, generation_id: str, timeline: Timeline | str) -> FakeGeneration:
        """Let a generation under way continue by another timeline, as if it had had that one from the beginning.

        `timeline` is as in a scenario: with "failure" it fails when a failing one would have failed, or now if that is past.
        Raise KeyError for an unknown generation, DocumentError for one that has ended, or for an unknown timeline.
        """
        playable = Scenario(timeline=timeline).timeline_under(self.contract)
        with self._lock:
            generation, now = self.generations[generation_id], self.now()
            status = generation.status(now)
            if self.contract.lifecycle.is_final(status):
                raise DocumentError(f'{generation_id} has ended: it is "{status}", and stays so')
            rescheduled = generation.rescheduled(now, playable)
            self._generations.put(rescheduled)
            return rescheduled

    def reset(self) -> None:
        """Forget every generation and exchange, and begin again with the first scenario, its faults and the seed's ids.

        The clock keeps its time.
        """
        with self._lock:
            self._generations.clear()
            self.journal.clear()
            self._start()

    def handle(self, request: Request) -> Reply:
        """Answer one request. Never raises, whatever the request contains."""
        with self._lock:
            now = self.now()
            operation, serve = self._service.route(request)
            fault = self._faults.next(operation) if operation is not None else None
            exchange = serve(request, now) if fault is None else self._fail(fault, request, now, operation, serve)
            self.journal.add(exchange)
            if self._on_exchange is not None:
                self._on_exchange(self.journal[-1])
            return exchange.reply

    def close(self) -> None:
        """Release the state file: what happened can still be read, and nothing new is kept.

        A fake without a state file need not be closed, and closing twice does no harm.
        """
        with self._lock:
            if self._store is not None:
                self._store.close(self.clock.now())
                self._store = None

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} {self.contract.revision}, {self.scenario.name}, {len(self.generations)} generations>"

    def _start(self) -> None:
        self._chance = random.Random(self._seed)
        self._service = self._make_service(
            self.contract,
            self._generations,
            Responses(self.contract, self._chance),
            self._first_scenario,
            strictness=self.strictness,
            progression=self.progression,
            api_key=self._api_key,
            body_limit=self.body_limit,
        )
        self._count_faults_of(self._first_scenario)

    def _count_faults_of(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._faults = FaultCounter(scenario.faults)

    def _continue(self, state: Path) -> None:
        """Take up where the last fake with this state file ended, and keep everything there from now on."""
        self._store = Store(state, self.contract.revision.id)
        self._generations.keep_in(self._store)
        if self._store.starts > 1:  # with the seed alone it would draw the ids of the fakes before it
            self._seed = f"{self._seed} {self._store.starts}"
            self._chance.seed(self._seed)
        if isinstance(self.clock, VirtualClock) and self._store.time is not None:
            self.clock.advance(max(0.0, self._store.time - self.clock.now()))

    def _fail(
        self,
        fault: Fault,
        request: Request,
        now: float,
        operation: str | None,
        serve: Callable[[Request, float], Exchange],
    ) -> Exchange:
        """Answer a call that meets a fault. The exchange also says what the service made of the call."""
        operation = operation if operation in self.contract.operations else None
        reason = f"the scenario {self.scenario.name} has a fault here"
        unserved = Exchange(now, request, Reply(0, Headers({"x-fake-reason": reason})), operation)
        exchange = serve(request, now) if fault.lets_through else unserved
        reply = exchange.reply
        if fault.refusal is not None:
            reply = self._service.refuse(request, now, fault.refusal, (), explanation=reason).reply
        elif fault.status is not None:
            reply = replace(unserved.reply, status=fault.status)
        return replace(exchange, reply=fault.apply(reply))
