"""Claims about the exercise of a command: how each run ends is in the table, and none goes on for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from fake_server.exercises import table
from fake_server.messages import Reply
from fake_server.programs.command_exercise import CommandRun, Watch, exercise_command
from fake_server.scenario.scenario import scenarios
from kling_contract import Contract, VirtualClock
from kling_contract.errors import DocumentError
from tests.support.calls import creating, payload, polling

CONTRACT = Contract.load()


class Command:
    """A command that is a function of this process: it takes the fake, and is asked to end by an exception."""

    def __init__(self, main: Callable[[Command], int], watch: Watch, *, stubborn: bool = False) -> None:
        self.fake = watch.fake
        self.signals: list[str] = []
        self._main = main
        self._stubborn = stubborn
        self._ended = threading.Event()

    def poll(self) -> int | None:
        return None

    def terminate(self) -> None:
        self.signals.append("TERM")
        if not self._stubborn:
            self._ended.set()

    def kill(self) -> None:
        self.signals.append("KILL")
        self._ended.set()

    def go_on(self) -> bool:
        """Return False once it was told to stop."""
        return not self._ended.is_set()

    def run(self) -> int:
        return self._main(self)


def run_once(main: Callable[[Command], int], *, last_line: str = "", **options: Any) -> Callable[[Any], CommandRun]:
    def run(scenario: Any) -> CommandRun:
        watch = Watch(scenario=scenario, **options)
        command = Command(main, watch)
        with watch.over(command):
            code = command.run()
        return CommandRun(None if watch.stopped else code, watch.seconds, watch.fake, last_line)

    return run


def careful(command: Command) -> int:
    """Create, poll every ten seconds until the end, and tell a failure by the exit code."""
    made = answer(command.fake.handle(creating(CONTRACT)))
    for _ in range(100):
        if made is None:
            return 2
        if CONTRACT.lifecycle.is_final(made["status"]):
            return 0 if CONTRACT.lifecycle.succeeded(made["status"]) else 3
        command.fake.advance(10)
        made = answer(command.fake.handle(polling(CONTRACT, made["id"])))
    return 4


def answer(reply: Reply) -> Any:
    """Return the generation in a reply, None if there is none."""
    try:
        found = reply.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("id") and "status" in found else None


def poller(pause: float) -> Callable[[Command], int]:
    def main(command: Command) -> int:
        while command.go_on():
            command.fake.advance(pause)
            command.fake.handle(polling(CONTRACT, "none"))
        return -15

    return main


def waiter(command: Command) -> int:
    while command.go_on():
        command.fake.advance(60)
        time.sleep(0.001)
    return -15


def idle(command: Command) -> int:
    while command.go_on():
        time.sleep(0.001)
    return -15


def test_the_table_has_the_exit_codes() -> None:
    """A command that ends with 0 has finished, one with another code has failed, and its last line is beside the code."""
    outcomes = exercise_command(run_once(careful, last_line="no\x1b[2J video"), scenarios=["fails", "happy"])
    assert [(each.scenario, each.ended, each.exit_code) for each in outcomes] == [
        ("fails", "failed", 3),
        ("happy", "finished", 0),
    ]
    head, fails, happy = table(outcomes).splitlines()
    assert head.split()[:3] == ["scenario", "ended", "created"]
    assert "exit code 3: no" in fails
    assert "\x1b" not in fails
    assert f"{CONTRACT.price(CONTRACT.video_seconds(payload(CONTRACT))):,.0f}" in happy


@pytest.mark.parametrize(
    ("main", "options"),
    [
        (poller(0), {}),
        (poller(5), {}),
        (poller(0.001), {"clock": VirtualClock(rate=1)}),
        (waiter, {}),
        (idle, {"patience": 0.02}),
    ],
)
def test_nothing_goes_on_for_ever(main: Callable[[Command], int], options: dict[str, Any]) -> None:
    """A command that polls without a pause, or 4,000 times, that waits for hours, or that does nothing at all, is stopped."""
    (outcome,) = exercise_command(run_once(main, **options), scenarios=["happy"])
    assert (outcome.ended, outcome.exit_code) == ("never stopped", None)
    assert outcome.what.startswith("stopped after")
    assert table([outcome]).splitlines()[-1] == "! never stopped: happy"


def test_who_ignores_the_first_signal_gets_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that goes on after SIGTERM is killed."""
    monkeypatch.setattr("fake_server.programs.command_exercise._GRACE", 0.01)
    watch = Watch(patience=0.01)
    command = Command(idle, watch, stubborn=True)
    with watch.over(command):
        command.run()
    assert (watch.stopped, command.signals) == (True, ["TERM", "KILL"])


def test_many_different_requests_at_once_are_allowed() -> None:
    """A test suite that sends a hundred requests without a pause is not taken for a program that never stops."""

    def main(command: Command) -> int:
        for number in range(100):
            command.fake.handle(creating(CONTRACT, payload(CONTRACT, prompt=f"{number}")))
        return 0 if command.go_on() else 1

    (outcome,) = exercise_command(run_once(main), scenarios=["happy"])
    assert (outcome.ended, outcome.created) == ("finished", 100)


def test_every_scenario_is_run() -> None:
    """Without a choice each shipped scenario is run, and each outcome is told once; the order is that of the scenarios."""
    told: list[str] = []
    outcomes = exercise_command(run_once(careful), on_outcome=lambda outcome: told.append(outcome.scenario))
    assert [outcome.scenario for outcome in outcomes] == list(scenarios())
    assert sorted(told) == sorted(scenarios())


def test_what_fails_here_is_raised() -> None:
    """An unknown scenario that was asked for is refused; an error of the machinery is no outcome, and ends the exercise."""
    with pytest.raises(DocumentError, match="choose one of"):
        exercise_command(run_once(careful), scenarios=["nonsense"])
    begun: list[str] = []

    def broken(scenario: str) -> CommandRun:
        begun.append(scenario)
        raise OSError("no process")

    with pytest.raises(OSError, match="no process"):
        exercise_command(broken, scenarios=["happy"] * 100)
    assert len(begun) < 100
