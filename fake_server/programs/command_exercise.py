"""The exercise of a command: it is run in each scenario, and stopped where it does not stop by itself."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Literal, Protocol, Unpack

from fake_server.exercises import MOST_SECONDS, NEVER_STOPPED, ScenarioRun, WatchedFake
from fake_server.scenario.scenario import scenarios as shipped
from fake_server.server import FakeOptions, FakeServer
from kling_contract.clock import SystemClock, VirtualClock
from kling_contract.errors import DocumentError

__all__ = ["CommandOutcome", "CommandRun", "Process", "Watch", "exercise_command"]

_PATIENCE = 600.0  # real seconds that a command may take, on whatever clock
_GRACE = 2.0  # real seconds between SIGTERM and SIGKILL
_INSTANT = 0.05  # real seconds that count as no time between two requests
_LOOK = 0.05  # real seconds between two looks at the clock


class Process(Protocol):
    """A process that can be stopped, as `subprocess.Popen` can."""

    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Watch:
    """Watches one run of a command, and stops it when it goes on for too long: SIGTERM, and 2 s later SIGKILL.

    Too long is two hours on the fake's clock, 4,000 requests, the same request 30 times while no time passes, or `patience` real
    seconds. `fake` is the fake to run against, made with `options`; `stopped` says whether the command was stopped.
    """

    def __init__(self, *, patience: float = _PATIENCE, **options: Unpack[FakeOptions]) -> None:
        clock = options["clock"] = options.get("clock") or VirtualClock()
        rate = clock.rate if isinstance(clock, VirtualClock) else 1.0
        self._wake = threading.Event()
        self._too_many = False
        self._patience = patience
        self.stopped = False
        self.fake: FakeServer = WatchedFake(self._count_as_too_many, instant=_INSTANT * rate, **options)
        self._began = self.fake.clock.now()

    @property
    def seconds(self) -> float:
        """How long it has gone on, on the fake's clock."""
        return self.fake.clock.now() - self._began

    @contextlib.contextmanager
    def over(self, process: Process) -> Iterator[None]:
        """Watch a process while the context lasts. Enter it when the process has started, and leave it when it has ended."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(process, over), name="watch over a command", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            self._wake.set()
            thread.join()

    def _watch(self, process: Process, over: threading.Event) -> None:
        real = SystemClock()
        end = real.now() + self._patience
        while not self._too_many and self.seconds <= MOST_SECONDS and real.now() < end:
            self._wake.wait(_LOOK)
            if over.is_set():
                return
        if process.poll() is not None:
            return
        self.stopped = True
        process.terminate()
        if not over.wait(_GRACE):
            process.kill()

    def _count_as_too_many(self) -> None:
        self._too_many = True
        self._wake.set()


@dataclass(frozen=True, slots=True)
class CommandRun:
    """One run of a command, as it ended.

    `exit_code` is None if the command was stopped; `last_line` is the last line that it wrote on standard error ("": none);
    `seconds` is how long it took on the clock of `fake`.
    """

    exit_code: int | None
    seconds: float
    fake: FakeServer = field(repr=False)
    last_line: str = ""


@dataclass(frozen=True, slots=True)
class CommandOutcome(ScenarioRun):
    """What a command did in one scenario: it "finished" with exit code 0, it "failed" with another, or it "never stopped"."""

    scenario: str
    ended: Literal["finished", "failed", "never stopped"]
    exit_code: int | None
    last_line: str
    seconds: float
    fake: FakeServer = field(repr=False)

    def _result(self) -> str:
        code = f"exit code {self.exit_code}"
        return f"{code}: {self.last_line}" if self.last_line else code


def exercise_command(
    run_once: Callable[[str], CommandRun],
    *,
    scenarios: Iterable[str] | None = None,
    on_outcome: Callable[[CommandOutcome], object] = lambda outcome: None,
) -> tuple[CommandOutcome, ...]:
    """Run a command once in each scenario, as many at once as there are cores, and return the outcomes in the order of these.

    `run_once` takes a scenario and runs the command to its end against a fresh fake; make that with `Watch`. It is called from
    several threads. `scenarios` are those to run (None: every shipped one that the revision can play). `on_outcome` is called,
    in this thread, with each outcome as soon as it is known. Whatever `run_once` raises is raised, and no further run begins.
    """
    chosen = list(shipped() if scenarios is None else scenarios)
    outcomes: dict[int, CommandOutcome] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="exercise") as pool:
        runs = {pool.submit(run_once, scenario): number for number, scenario in enumerate(chosen)}
        try:
            for done in as_completed(runs):
                with contextlib.suppress(DocumentError) if scenarios is None else contextlib.nullcontext():
                    outcome = _outcome(done.result())
                    outcomes[runs[done]] = outcome
                    on_outcome(outcome)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return tuple(outcomes[number] for number in sorted(outcomes))


def _outcome(run: CommandRun) -> CommandOutcome:
    ended: Literal["finished", "failed", "never stopped"] = "failed"
    if run.exit_code is None:
        ended = NEVER_STOPPED
    elif run.exit_code == 0:
        ended = "finished"
    return CommandOutcome(run.fake.scenario.name, ended, run.exit_code, run.last_line, run.seconds, run.fake)
