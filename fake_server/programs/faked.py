"""A program against a fake: what the program asks of the API is answered by the fake, whose clock follows the program's waits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from fake_server.adapters.asgi import app
from fake_server.adapters.control import ControlApi
from fake_server.adapters.delivery import Traffic
from fake_server.adapters.pacer import Pacer
from fake_server.adapters.redirect import only_for
from fake_server.programs.child import Child, Isolate, Streams, signals_passed_to
from fake_server.programs.program import Ended, Others, run_program
from fake_server.server import FakeServer
from kling_contract.clock import VirtualClock
from kling_contract.contract.family import hosts

__all__ = ["Faked", "clock_of"]

_FAILURES = 400  # the first status that is one
_BACKING_OFF = 900.0  # seconds on the fake's clock: programs wait no longer before they repeat a request
_PATIENCE = 10.0  # real seconds after which it is said that a program does not follow the clock


def clock_of(rate: float | None) -> VirtualClock:
    """Return the clock for a fake: one that runs at a rate, or, with None, in real time until a program's waits move it."""
    return VirtualClock(rate=1.0 if rate is None else rate)


@dataclass(frozen=True, slots=True)
class Faked:
    """A program that is to run against a fake.

    `follows` says that the program's waits move the fake's clock, once the program has done nothing else for `settle`
    seconds. `inherited` is the environment that it would have had. The rest is as for `run_program` and `prepare`.
    """

    command: Sequence[str]
    inherited: Mapping[str, str]
    follows: bool
    settle: float = 0.005
    control: bool = True
    isolate: Isolate = "auto"
    publish: Sequence[int] = ()

    def run(
        self,
        fake: FakeServer,
        others: Others,
        *,
        say: Callable[[str], None],
        streams: Streams | None = None,
        during: Callable[[Child], AbstractContextManager[object]] = signals_passed_to,
    ) -> Ended:
        """Run it until it and all that it started have ended. The fake has a clock that `clock_of` made."""
        stands_for = hosts(fake.contract)
        handle = ControlApi(fake).handle if self.control else fake.handle
        answer = only_for(stands_for, handle, on_refused=others.refuse_name)
        traffic = Traffic()
        application = app(answer, body_limit=fake.body_limit, clock=fake.clock, traffic=traffic)
        with contextlib.ExitStack() as stack:
            pacer = None
            if self.follows and isinstance(fake.clock, VirtualClock):
                pacer = Pacer(fake.clock, may_move=lambda: _waits_for(fake), traffic=traffic, settle=self.settle)
                stack.enter_context(_hint(fake, pacer, say))
            return run_program(
                self.command,
                application,
                hosts=stands_for,
                inherited=self.inherited,
                others=others,
                pacer=pacer,
                isolate=self.isolate,
                publish=self.publish,
                streams=streams,
                during=during,
                say=say,
            )


def _waits_for(fake: FakeServer) -> bool:
    """Return whether a program that waits may be waiting for the fake: for a generation, or to repeat what has failed."""
    if _unfinished(fake):
        return True
    if not len(fake.journal):
        return False
    last = fake.journal[-1]
    failed = not last.arrived or last.reply.status >= _FAILURES
    return failed and fake.clock.now() - last.at < _BACKING_OFF


def _unfinished(fake: FakeServer) -> bool:
    """Return whether a generation is under way. The newest are looked at first: those are."""
    now, is_final = fake.clock.now(), fake.contract.lifecycle.is_final
    return any(not is_final(generation.status(now)) for generation in reversed(tuple(fake.generations.values())))


@contextlib.contextmanager
def _hint(fake: FakeServer, pacer: Pacer, say: Callable[[str], None]) -> Iterator[None]:
    """Say, after a while, if a generation is waited for in real time because nothing follows the fake's clock."""

    def look() -> None:
        if not pacer.following and _unfinished(fake):
            say("the program does not follow the fake's clock, so its waits are real: try --time rate, or --time polls")

    timer = threading.Timer(_PATIENCE, look)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
