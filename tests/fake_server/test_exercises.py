"""Claims about running an integration through the scenarios: each integration here has one habit, and is found out."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests
import trio

from fake_server import ExerciseReport, FakeServer, Outcome, exercise
from fake_server.scenario.scenario import scenarios
from kling_contract import AsyncClient, Client, Contract, KlingError
from kling_contract.errors import DocumentError, GenerationFailed

CONTRACT = Contract.load()
CREATE, GET = CONTRACT.create, CONTRACT.get
(PARAMETER,) = GET.query["required"]
URL = CONTRACT.base_url + CREATE.path
HEADERS = {"authorization": "Bearer a-key-for-tests"}
PAYLOAD = {
    "model": CONTRACT.request_schema["properties"]["model"]["enum"][0],
    "image_url": "https://example.com/a.png",
    "prompt": "A cat.",
}
SUCCESS = next(status for status, outcome in CONTRACT.lifecycle.outcomes.items() if outcome == "success")
LOST = {"name": "lost", "faults": [{"operation": CREATE.id, "times": 1, "drop": "after_processing"}]}


def ours() -> Any:
    return Client("a-key-for-tests").generate(PAYLOAD)


async def ours_async() -> Any:
    return await AsyncClient("a-key-for-tests").generate(PAYLOAD)


def loop(*, until: Callable[[], bool] = lambda: False, pause: float = 10.0) -> str:
    """Poll as many programs do: until there is a video, whatever else is said."""
    made = requests.post(URL, json=PAYLOAD, headers=HEADERS, timeout=30).json()["id"]
    while not until():
        answer = requests.get(URL, params={PARAMETER: made}, headers=HEADERS, timeout=30).json()
        if answer["status"] == SUCCESS:
            return str(answer["video"]["url"])
        time.sleep(pause)
    raise TimeoutError("no video in time")


def test_every_shipped_scenario_is_played() -> None:
    """Each shipped scenario is run; the client of this package finishes or raises in each, and pays once at most."""
    report = exercise(ours)
    assert [outcome.scenario for outcome in report] == list(scenarios())
    for outcome in report:
        assert not outcome.warnings
        assert outcome.ended == "finished" or isinstance(outcome.error, KlingError)
    happy = report["happy"]
    assert (happy.ended, happy.created, happy.error) == ("finished", 1, None)
    assert happy.result.video.url == next(iter(happy.fake.generations.values())).video_url
    assert happy.cost == CONTRACT.price(CONTRACT.video_seconds(PAYLOAD))
    assert happy.seconds >= CONTRACT.observed.timeline.final.at
    assert happy.polls == sum(exchange.operation == GET.id for exchange in happy.fake.journal)
    assert isinstance(report["fails"].error, GenerationFailed)
    assert report["fails"].cost == 0


def test_coroutines_are_run() -> None:
    """What a coroutine function does, under asyncio or trio, is the same as what its synchronous twin does."""
    names = ["happy", "fails", "answer-lost", "never-finishes"]
    reports = [exercise(call, scenarios=names) for call in (ours, ours_async, lambda: trio.run(ours_async))]
    for one, *others in zip(*reports, strict=True):
        for other in others:
            assert (one.ended, one.polls, one.cost, one.what) == (other.ended, other.polls, other.cost, other.what)
            assert one.seconds == pytest.approx(other.seconds, abs=1)


@pytest.mark.parametrize("revision", [None, "latest"])
def test_an_endless_poller_is_stopped(revision: str | None) -> None:
    """A program that polls until there is a video is stopped where there will be none, and named in the table."""
    report = exercise(loop, scenarios=["happy", "never-finishes"], revision=revision)
    assert [outcome.ended for outcome in report] == ["finished", "never stopped"]
    assert report["never-finishes"].warnings
    assert [line[:2] for line in str(report).splitlines()] == ["  ", "  ", "! ", "! "]


def test_a_deadline_comes() -> None:
    """A program with a deadline of its own meets it on the virtual clock, and is not taken for an endless one."""

    def call() -> str:
        end = time.monotonic() + 1800
        return loop(until=lambda: time.monotonic() > end)

    (outcome,) = exercise(call, scenarios=["never-finishes"])
    assert (outcome.ended, type(outcome.error)) == ("raised", TimeoutError)
    assert outcome.seconds == pytest.approx(1800, abs=30)


def test_who_repeats_a_create_pays_twice() -> None:
    """A program that repeats a create whose answer was lost has made two, and the report says so."""

    def call() -> None:
        for _ in range(2):
            try:
                httpx.post(URL, json=PAYLOAD, headers=HEADERS, verify=False)
            except httpx.TransportError:
                time.sleep(1)
            else:
                return

    (outcome,) = exercise(call, scenarios=[LOST])
    assert (outcome.ended, outcome.created) == ("finished", 2)
    assert outcome.cost == 2 * (CONTRACT.price(CONTRACT.video_seconds(PAYLOAD)) or 0)
    assert str(ExerciseReport((outcome,))).splitlines()[-1].startswith("! created more than one: lost")


def swallowing() -> None:
    made = requests.post(URL, json=PAYLOAD, headers=HEADERS, timeout=30).json()["id"]
    while True:
        try:
            requests.get(URL, params={PARAMETER: made}, headers=HEADERS, timeout=30).raise_for_status()
        except Exception:  # noqa: BLE001 - the habit in question
            time.sleep(1)


async def swallowing_async() -> None:
    async with httpx.AsyncClient(headers=HEADERS, verify=False) as http:
        while True:
            try:
                await http.get(URL, params={PARAMETER: "none"})
            except Exception:  # noqa: BLE001 - the habit in question
                await asyncio.sleep(1)


def waiting() -> None:
    while True:
        time.sleep(5)


@pytest.mark.parametrize("call", [swallowing, swallowing_async, waiting])
def test_nothing_goes_on_for_ever(call: Callable[[], Any]) -> None:
    """A program that polls without a pause, that catches every Exception, or that waits without asking, is stopped."""
    (outcome,) = exercise(call, scenarios=["happy"])
    assert (outcome.ended, outcome.error) == ("never stopped", None)
    assert outcome.seconds > 3600 or len(outcome.fake.journal) < 100


def test_without_virtual_time_polls_can_move_a_generation() -> None:
    """Where the program's waits are real and no clock moves, each poll can be a step; nothing in `time` is replaced then."""
    before = time.sleep
    seen = []

    def call() -> str:
        seen.append(time.sleep)
        return loop(pause=0)

    (outcome,) = exercise(call, scenarios=["happy"], virtual_time=False, progression="polls")
    assert (outcome.ended, seen, outcome.seconds) == ("finished", [before], 0)
    assert outcome.polls <= len(CONTRACT.observed.timeline.steps) + 1


def test_the_end_of_the_program_is_an_outcome() -> None:
    """sys.exit is reported like any exception; Ctrl-C is not, and stops everything."""
    (outcome,) = exercise(lambda: sys.exit("no video"), scenarios=["happy"])
    assert (outcome.ended, outcome.what) == ("raised", "SystemExit: no video")

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exercise(interrupted, scenarios=["happy"])


def test_what_cannot_be_is_refused() -> None:
    """An unknown scenario, an unknown option and a loop inside a loop are refused with a reason, not reported as outcomes."""
    with pytest.raises(DocumentError, match="choose one of"):
        exercise(ours, scenarios=["nonsense"])
    with pytest.raises(TypeError, match="nonsense"):
        exercise(ours, scenarios=["happy"], nonsense=1)  # type: ignore[call-arg]

    async def nested() -> None:
        exercise(ours_async, scenarios=["happy"])

    with pytest.raises(RuntimeError, match="from a plain function"):
        asyncio.run(nested())


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ({"state": "a-file"}, "begins with an empty"),
        ({"scenario": "fails"}, "scenarios="),
        ({"clock": None}, "of its own"),
    ],
)
def test_what_each_run_has_of_its_own_is_refused(option: Any, advice: str) -> None:
    """A state file, one scenario or a clock for all runs is refused before anything runs, and the message says why."""
    ran: list[None] = []
    with pytest.raises(TypeError, match=advice):
        exercise(lambda: ran.append(None), scenarios=["happy"], **option)
    assert not ran


def test_each_run_begins_anew() -> None:
    """Two runs share neither fake, journal nor time."""
    first, second = exercise(ours, scenarios=["happy", "happy"])
    assert first.fake is not second.fake
    assert (first.created, first.seconds, first.polls) == (second.created, second.seconds, second.polls)


def test_the_table_stays_a_table() -> None:
    """However long and wild a result is, each outcome is one printable line."""
    fake = FakeServer()
    outcomes = [
        Outcome("a", "finished", "x" * 1000 + "\n\x1b[2J", None, 0.0, fake),
        Outcome("b-longer-name", "raised", None, ValueError("two\nlines \x1b[2J" * 99), 0.0, fake),
        Outcome("c", "raised", None, ValueError(), 0.0, fake),
    ]
    lines = str(ExerciseReport(tuple(outcomes))).splitlines()
    assert len(lines) == 1 + len(outcomes)
    assert all(line.isprintable() and len(line) < 140 for line in lines)
    assert lines[-1].endswith("ValueError")
    assert str(ExerciseReport(()))
