"""Exercises: an integration is run in each scenario, and a report says how it ended and what that would cost."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
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

__all__ = [
    "MOST_SECONDS",
    "NEVER_STOPPED",
    "ExerciseReport",
    "Outcome",
    "ScenarioRun",
    "WatchedFake",
    "exercise",
    "table",
]

MOST_SECONDS = 7200.0
"""How long a program may go on, on the fake's clock: programs wait for a video for half an hour at most."""

NEVER_STOPPED: Literal["never stopped"] = "never stopped"
"""How a program ended that was stopped."""

_MOST_REQUESTS = 4000
_MOST_AT_ONCE = 30  # times the same request while no time passes: a program that waits between its requests makes fewer
_WIDTH = 60  # characters of an outcome in the table
_OWN_OPTIONS = {
    "scenario": "give scenarios=[...], those to run",
    "clock": "each run has a virtual clock of its own",
    "state": "each run begins with an empty fake",
}
"""Options of FakeServer that `exercise` does not take, and why."""


class ScenarioRun:
    """What a program did in one scenario: how it `ended`, after how many `seconds` on the fake's clock.

    `fake` is the fake that it used, as it was left, with journal and ledger.
    """

    __slots__ = ()

    scenario: str
    ended: str
    seconds: float
    fake: FakeServer

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
        return (*created, NEVER_STOPPED) if self.ended == NEVER_STOPPED else created

    @property
    def what(self) -> str:
        """How it ended, in a few words: if it never stopped, after how many requests it was stopped."""
        if self.ended == NEVER_STOPPED:
            return f"stopped after {len(self.fake.journal) + self.fake.journal.dropped:,} requests"
        return self._result()

    def _result(self) -> str:
        """Return in a few words what came of it when it ended by itself."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Outcome(ScenarioRun):
    """What an integration did in one scenario.

    `ended` says how: it "finished" with `result`, it "raised" `error`, or it "never stopped" by itself and was stopped.
    """

    scenario: str
    ended: Literal["finished", "raised", "never stopped"]
    result: Any
    error: BaseException | None
    seconds: float
    fake: FakeServer = field(repr=False)

    def _result(self) -> str:
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
        return table(self.outcomes)


def table(runs: Sequence[ScenarioRun]) -> str:
    """Return runs as a table with a line for each, and a line for each warning with the scenarios concerned."""
    width = max((len(run.scenario) for run in runs), default=8)
    unit = runs[0].fake.ledger.unit if runs else ""
    lines = [f"  {'scenario':<{width}}  ended          created  polls  seconds  {unit:>10}  outcome"]
    found: dict[str, list[str]] = {}
    for run in runs:
        mark = "!" if run.warnings else " "
        lines.append(
            f"{mark} {run.scenario:<{width}}  {run.ended:<13}  {run.created:>7}  {run.polls:>5}  "
            f"{run.seconds:>7,.0f}  {run.cost:>10,.0f}  {shortened(' '.join(run.what.split()), _WIDTH)}".rstrip()
        )
        for warning in run.warnings:
            found.setdefault(warning, []).append(run.scenario)
    return "\n".join([*lines, *(f"! {warning}: {', '.join(names)}" for warning, names in found.items())])


def exercise(
    call: Callable[[], Any],
    *,
    scenarios: Iterable[Scenario | Mapping[str, Any] | Path | str] | None = None,
    virtual_time: bool = True,
    **fake_options: Unpack[FakeOptions],
) -> ExerciseReport:
    """Run `call` once in each scenario, each time against a fresh intercepting fake, and report what it did.

    `call` takes no argument and makes one video with the integration under test, by any client that `FakeServer.intercept`
    catches, in this process. An awaitable that it returns is awaited. `scenarios` are
    those to run (None: every shipped one that the revision can play). `fake_options` go to FakeServer; `scenario`, `clock` and
    `state` are a TypeError, since each run has its own.

    Client and fake share one virtual clock. With `virtual_time` the integration's own waits move it; `on_virtual_time` says
    which waits that covers. All others take real time: give `progression="polls"` for them, so that each poll moves the
    generation and no clock has to. A call that lasts for two hours of virtual time, makes 4,000 requests, or one of them 30
    times while no time passes, is stopped by an exception that `except Exception` does not catch.
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
        self._end = self.now() + MOST_SECONDS

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        if self.stopped or self.now() > self._end:
            self.stop()

    def stop(self) -> None:
        self.stopped = True
        raise _Stopped


class WatchedFake(FakeServer):
    """A fake that calls `on_excess` at each request after 4,000, and when one has come 30 times while no time passed.

    `instant` is how many seconds on its clock count as no time. It is called before the request is answered, in the thread
    of the request.
    """

    def __init__(self, on_excess: Callable[[], None], *, instant: float = 0.0, **options: Unpack[FakeOptions]) -> None:
        super().__init__(**options)
        self._on_excess = on_excess
        self._instant = instant
        self._requests = 0
        self._at_once: Counter[int] = Counter()
        self._last = 0.0

    def handle(self, request: Request) -> Reply:
        now, same = self.clock.now(), hash((request.method, request.url, request.body))
        with self._lock:
            if now - self._last > self._instant:
                self._at_once.clear()
            self._last = now
            self._requests += 1
            self._at_once[same] += 1
            excess = self._requests > _MOST_REQUESTS or self._at_once[same] > _MOST_AT_ONCE
        if excess:
            self._on_excess()
        return super().handle(request)


def _run(call: Callable[[], Any], scenario: Any, virtual_time: bool, options: FakeOptions) -> Outcome:
    clock = _Clock()
    began = clock.now()
    fake = WatchedFake(clock.stop, **{**options, "scenario": scenario, "clock": clock})
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
