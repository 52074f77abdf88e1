"""Exercises: an integration is run in each scenario, and a report says how it ended and what that would cost."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Unpack

from fake_server.adapters.virtual_time import on_virtual_time
from fake_server.journal.text import shortened
from fake_server.messages import Reply, Request
from fake_server.scenario.scenario import Scenario
from fake_server.scenario.scenario import scenarios as shipped
from fake_server.server import FakeOptions, FakeServer
from kling_contract.clock import VirtualClock
from kling_contract.errors import DocumentError

__all__ = ["ExerciseReport", "Outcome", "exercise"]

_MOST_SECONDS = 7200.0  # programs wait for a video for half an hour at most
_MOST_REQUESTS = 4000
_MOST_AT_ONCE = 30  # requests in which no time passes: a program that waits between its requests makes fewer
_WIDTH = 60  # characters of an outcome in the table
_OWN_OPTIONS = {
    "scenario": "give scenarios=[...], those to run",
    "clock": "each run has a virtual clock of its own",
    "state": "each run begins with an empty fake",
}
"""Options of FakeServer that `exercise` does not take, and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an integration did in one scenario.

    `ended` says how: it "finished" with `result`, it "raised" `error`, or it "never stopped" by itself and was stopped.
    `seconds` is how long that took on the fake's clock. `fake` is the fake that it used, as it was left, with journal and
    ledger.
    """

    scenario: str
    ended: Literal["finished", "raised", "never stopped"]
    result: Any
    error: BaseException | None
    seconds: float
    fake: FakeServer = field(repr=False)

    @property
    def created(self) -> int:
        """How many generations it created."""
        return len(self.fake.generations)

    @property
    def polls(self) -> int:
        """How often it polled."""
        return len(self.fake.journal.polls)

    @property
    def cost(self) -> float:
        """What is booked, and what may still be booked, in the ledger's unit."""
        return self.fake.ledger.booked + self.fake.ledger.pending

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong in any scenario: more than one generation created, and a program that never stops."""
        created = ("created more than one",) if self.created > 1 else ()
        return (*created, "never stopped") if self.ended == "never stopped" else created

    @property
    def what(self) -> str:
        """Its result or its error, in a few words."""
        if self.ended == "never stopped":
            return f"stopped after {len(self.fake.journal) + self.fake.journal.dropped:,} requests"
        if self.error is None:
            return repr(self.result)
        return f"{type(self.error).__name__}: {self.error}" if str(self.error) else type(self.error).__name__


@dataclass(frozen=True, slots=True)
class ExerciseReport:
    """What an integration did, scenario by scenario. As text it is a table."""

    outcomes: tuple[Outcome, ...]

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __len__(self) -> int:
        return len(self.outcomes)

    def __getitem__(self, scenario: str) -> Outcome:
        return next(outcome for outcome in self.outcomes if outcome.scenario == scenario)

    def __str__(self) -> str:
        width = max((len(outcome.scenario) for outcome in self), default=8)
        unit = self.outcomes[0].fake.ledger.unit if self.outcomes else ""
        lines = [f"  {'scenario':<{width}}  ended          created  polls  seconds  {unit:>10}  outcome"]
        for outcome in self:
            mark = "!" if outcome.warnings else " "
            lines.append(
                f"{mark} {outcome.scenario:<{width}}  {outcome.ended:<13}  {outcome.created:>7}  {outcome.polls:>5}  "
                f"{outcome.seconds:>7,.0f}  {outcome.cost:>10,.0f}  {shortened(' '.join(outcome.what.split()), _WIDTH)}"
            )
        found: dict[str, list[str]] = {}
        for outcome in self:
            for warning in outcome.warnings:
                found.setdefault(warning, []).append(outcome.scenario)
        return "\n".join([*lines, *(f"! {warning}: {', '.join(names)}" for warning, names in found.items())])


def exercise(
    call: Callable[[], Any],
    *,
    scenarios: Iterable[Scenario | Mapping[str, Any] | Path | str] | None = None,
    virtual_time: bool = True,
    **fake_options: Unpack[FakeOptions],
) -> ExerciseReport:
    """Run `call` once in each scenario, each time against a fresh intercepting fake, and report what it did.

    `call` takes no argument and makes one video with the integration under test, through httpx, httpx2 or requests: other
    libraries are not intercepted, and would reach the real service. An awaitable that it returns is awaited. `scenarios` are
    those to run (None: every shipped one that the revision can play). `fake_options` go to FakeServer; `scenario`, `clock` and
    `state` are a TypeError, since each run has its own.

    Client and fake share one virtual clock. With `virtual_time` the integration's own waits move it; `on_virtual_time` says
    which waits that covers. All others take real time: give `progression="polls"` for them, so that each poll moves the
    generation and no clock has to. A call that lasts for two hours of virtual time, 4,000 requests, or 30 requests in
    which no time passes, is stopped by an exception that `except Exception` does not catch.
    """
    for name, reason in _OWN_OPTIONS.items():
        if name in fake_options:
            raise TypeError(f"exercise does not take {name}: {reason}")
    if scenarios is not None:
        return ExerciseReport(tuple([_run(call, scenario, virtual_time, fake_options) for scenario in scenarios]))
    outcomes = []
    for name in shipped():
        with contextlib.suppress(DocumentError):
            outcomes.append(_run(call, name, virtual_time, fake_options))
    return ExerciseReport(tuple(outcomes))


class _Stopped(BaseException):
    """Stops an integration that does not stop by itself."""


class _Nested(RuntimeError):
    """An event loop is running already."""


class _Clock(VirtualClock):
    """A virtual clock that stops the integration after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False
        self._end = self.now() + _MOST_SECONDS

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        if self.stopped or self.now() > self._end:
            self.stop()

    def stop(self) -> None:
        self.stopped = True
        raise _Stopped


class _Fake(FakeServer):
    """A fake that stops the integration after a number of requests."""

    clock: _Clock
    _last = 0.0
    _requests = _at_once = 0

    def handle(self, request: Request) -> Reply:
        self._requests += 1
        self._at_once = self._at_once + 1 if self.clock.now() == self._last else 0
        self._last = self.clock.now()
        if self._requests > _MOST_REQUESTS or self._at_once > _MOST_AT_ONCE:
            self.clock.stop()
        return super().handle(request)


def _run(call: Callable[[], Any], scenario: Any, virtual_time: bool, options: FakeOptions) -> Outcome:
    clock = _Clock()
    began = clock.now()
    fake = _Fake(**{**options, "scenario": scenario, "clock": clock})
    result, error = None, None
    time = on_virtual_time(clock) if virtual_time else contextlib.nullcontext()
    with contextlib.closing(fake), fake.intercept(), time:
        try:
            result = call()
            if inspect.isawaitable(result):
                _need_no_loop(result)
                result = asyncio.run(_awaited(result))
        except (KeyboardInterrupt, _Nested):
            raise
        except BaseException as raised:  # noqa: BLE001 - however it ends, also by sys.exit, is an outcome
            error = raised
    if clock.stopped:
        return Outcome(fake.scenario.name, "never stopped", None, None, clock.now() - began, fake)
    ended: Literal["raised", "finished"] = "finished" if error is None else "raised"
    return Outcome(fake.scenario.name, ended, result, error, clock.now() - began, fake)


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def _need_no_loop(result: Awaitable[Any]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if inspect.iscoroutine(result):
        result.close()
    raise _Nested("exercise runs an event loop of its own: call it from a plain function, not from a coroutine")
