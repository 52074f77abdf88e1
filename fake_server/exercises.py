"""What does an integration do in each scenario? Runs it through all of them, and says how it ended and what that would cost."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fake_server.adapters.virtual_time import on_virtual_time
from fake_server.journal.text import shortened
from fake_server.messages import Reply, Request
from fake_server.scenario.scenario import Scenario
from fake_server.scenario.scenario import scenarios as shipped
from fake_server.server import FakeServer
from kling_contract.clock import VirtualClock
from kling_contract.errors import DocumentError

__all__ = ["Outcome", "Report", "exercise"]

_PATIENCE = 7200.0  # seconds: programs wait for a video for half an hour at most
_EXCHANGES = 4000
_STANDING = 30  # exchanges while no time passes: nothing that waits between its requests makes so many
_WHAT = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an integration did in one scenario.

    `ended` says how: it "finished" with `result`, it "raised" `error`, or it "went on" and on until it was stopped. `seconds`
    is how long that took on the fake's clock. `fake` is the fake that it met, with journal and ledger, as it was left.
    """

    scenario: str
    ended: Literal["finished", "raised", "went on"]
    result: Any
    error: BaseException | None
    seconds: float
    fake: FakeServer = field(repr=False)

    @property
    def created(self) -> int:
        """How many generations it made."""
        return len(self.fake.generations)

    @property
    def polls(self) -> int:
        """How often it asked for one."""
        return sum(exchange.operation == self.fake.contract.get.id for exchange in self.fake.journal)

    @property
    def cost(self) -> float:
        """What has been booked, and what may still be, in the ledger's unit."""
        return self.fake.ledger.booked + self.fake.ledger.pending

    @property
    def warnings(self) -> tuple[str, ...]:
        """What nobody wants in any scenario: more than one generation paid for, and going on without end."""
        twice = ("created more than one",) if self.created > 1 else ()
        return (*twice, "went on and on") if self.ended == "went on" else twice

    @property
    def what(self) -> str:
        """Its result or its error, in a few words."""
        if self.ended == "went on":
            return f"stopped after {len(self.fake.journal) + self.fake.journal.dropped:,} requests"
        if self.error is None:
            return repr(self.result)
        return f"{type(self.error).__name__}: {self.error}" if str(self.error) else type(self.error).__name__


@dataclass(frozen=True, slots=True)
class Report:
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
        lines = [f"  {'scenario':<{width}}  ended     made  polls  seconds  {unit:>10}  outcome"]
        for each in self:
            mark = "!" if each.warnings else " "
            lines.append(
                f"{mark} {each.scenario:<{width}}  {each.ended:<8}  {each.created:>4}  {each.polls:>5}  "
                f"{each.seconds:>7,.0f}  {each.cost:>10,.0f}  {shortened(' '.join(each.what.split()), _WHAT)}"
            )
        found: dict[str, list[str]] = {}
        for each in self:
            for warning in each.warnings:
                found.setdefault(warning, []).append(each.scenario)
        return "\n".join([*lines, *(f"! {warning}: {', '.join(names)}" for warning, names in found.items())])


def exercise(
    call: Callable[[], Any],
    *,
    scenarios: Iterable[Scenario | Mapping[str, Any] | Path | str] | None = None,
    virtual_time: bool = True,
    **fake_options: Any,
) -> Report:
    """Run `call` once in each scenario, each time against a fresh intercepting fake, and report what it did.

    `call` takes nothing and makes one video with the integration under test, through httpx, httpx2 or requests: other
    libraries are not intercepted, and would reach the real service. What it returns is awaited if it can be. `scenarios` are
    those to run (None: every shipped one that the revision can play); `fake_options` go to FakeServer.

    Client and fake share one virtual clock. With `virtual_time` the integration's own waits move it: see `on_virtual_time` for
    what that reaches. What it does not reach waits really; give `progression="polls"` then, so that each poll moves the
    generation, and no clock has to. A call that goes on for two hours of virtual time, for 4,000 requests, or for 30 requests in
    which no time passes, is stopped by an exception that `except Exception` does not catch.
    """
    if scenarios is not None:
        return Report(tuple([_run(call, each, virtual_time, fake_options) for each in scenarios]))
    outcomes = []
    for name in shipped():
        with contextlib.suppress(DocumentError):
            outcomes.append(_run(call, name, virtual_time, fake_options))
    return Report(tuple(outcomes))


class _Enough(BaseException):
    """Stops an integration that would go on for ever."""


class _Nested(RuntimeError):
    """There is an event loop already."""


class _Clock(VirtualClock):
    """A virtual clock that stops."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False
        self._end = self.now() + _PATIENCE

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        if self.now() > self._end:
            self.stop()

    def stop(self) -> None:
        self.stopped = True
        raise _Enough


class _Fake(FakeServer):
    """A fake that has enough at some time."""

    clock: _Clock
    _last = 0.0
    _asked = _standing = 0

    def handle(self, request: Request) -> Reply:
        self._asked += 1
        self._standing = self._standing + 1 if self.clock.now() == self._last else 0
        self._last = self.clock.now()
        if self._asked > _EXCHANGES or self._standing > _STANDING:
            self.clock.stop()
        return super().handle(request)


def _run(call: Callable[[], Any], scenario: Any, virtual_time: bool, options: Mapping[str, Any]) -> Outcome:
    clock = _Clock()
    began = clock.now()
    fake = _Fake(scenario=scenario, clock=clock, **options)
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
        except BaseException as raised:  # noqa: BLE001 - whatever it ends in, sys.exit as well, is what was asked for
            error = raised
    if clock.stopped:
        return Outcome(fake.scenario.name, "went on", None, None, clock.now() - began, fake)
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
