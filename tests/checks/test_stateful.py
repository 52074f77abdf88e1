"""Claims about what may be done to a server in any order, by one client or by several at once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from fake_server import FakeServer
from kling_contract.checks.stateful import GenerationMachine, machine_for
from kling_contract.checks.target import Target
from kling_contract.clock import VirtualClock
from kling_contract.contract import revisions
from tests.support.targets import KEY, in_process, over_a_port, over_asgi

FEW = settings(
    max_examples=8,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


class OnTheFake(GenerationMachine):
    """The fake, called in process, keeps the contract whatever is done to it."""

    def connect(self) -> Target:
        return in_process(FakeServer(api_key=KEY))


TestOnTheFake = OnTheFake.TestCase
TestOnTheFake.settings = settings(FEW, max_examples=20)


@pytest.mark.parametrize("revision", revisions())
def test_every_revision_of_the_fake(revision: str) -> None:
    """The fake keeps each revision of the contract."""
    run_state_machine_as_test(machine_for(lambda: in_process(FakeServer(api_key=KEY, revision=revision))), settings=FEW)


def test_the_asgi_application() -> None:
    """The ASGI application keeps the contract."""
    run_state_machine_as_test(machine_for(lambda: over_asgi(FakeServer(api_key=KEY))), settings=FEW)


def test_a_real_port() -> None:
    """A fake on a real port keeps the contract, the same one through all examples."""
    with over_a_port(FakeServer(api_key=KEY)) as target:
        run_state_machine_as_test(machine_for(lambda: target), settings=FEW)


def test_everything_is_done() -> None:
    """The machine does all that it can, and sees generations in every status, refusals, and calls that fail."""
    seen: set[str] = set()
    fakes: list[FakeServer] = []

    class Watched(OnTheFake):
        def connect(self) -> Target:
            fakes.append(FakeServer(api_key=KEY))
            return in_process(fakes[-1])

        def teardown(self) -> None:
            for exchange in fakes.pop().journal:
                reply = exchange.reply
                seen.add(str(reply.status) if reply.status >= 400 else exchange.operation or "download")
                if exchange.generation_id and reply.body.startswith(b"{"):
                    seen.add(reply.json()["status"])
                if reply.cut is not None:
                    seen.add("cut")

    contract = FakeServer().contract
    reasons = contract.observed.refusals.reasons
    expected = {str(reasons[name].status_code) for name in ("unauthorized", "invalid_body", "unknown_generation")}
    expected |= {*contract.lifecycle.statuses, *contract.operations, "download", "cut"}
    for number in range(8):
        if not expected <= seen:
            run_state_machine_as_test(seed(number)(Watched), settings=settings(FEW, max_examples=30, derandomize=False))
    assert expected <= seen


def test_a_machine_needs_a_server() -> None:
    """A machine that was not told which server it is for says how to tell it."""
    with pytest.raises(NotImplementedError, match="machine_for"):
        GenerationMachine()


@dataclass(frozen=True, slots=True)
class Look:
    """One poll of one thread: between which two moments it was, and what it saw. Moments are counted, not timed."""

    began: int
    ended: int
    generation_id: str
    status: str


THREADS = 4


@pytest.mark.parametrize("door", [lambda fake: nullcontext(in_process(fake)), over_a_port], ids=["in process", "port"])
def test_threads_see_one_history(door: Callable[[FakeServer], AbstractContextManager[Target]]) -> None:
    """Of two polls of any two threads, one of which ended before the other began, the later one never sees an earlier status."""
    fake = FakeServer(api_key=KEY)
    moments, together = itertools.count(), threading.Barrier(THREADS)
    clock = fake.clock
    assert isinstance(clock, VirtualClock)
    ids: list[str] = []

    def life(target: Target) -> Iterator[Look]:
        together.wait()
        for _ in range(3):
            ids.append(target.generation(target.create(), target.creation).id)
            for generation_id in tuple(ids):
                began = next(moments)
                seen = target.generation(target.poll(generation_id), target.polling)
                yield Look(began, next(moments), seen.id, seen.status)
                assert seen.id == generation_id
                clock.advance(fake.contract.observed.timeline.final.at / 40)

    with door(fake) as target, ThreadPoolExecutor(THREADS) as pool:
        looks = [look for seen in pool.map(lambda _: list(life(target)), range(THREADS)) for look in seen]
    assert len(set(ids)) == len(ids) == THREADS * 3
    assert len(fake.journal) == len(ids) + len(looks)
    lifecycle = fake.contract.lifecycle
    for earlier, later in itertools.permutations(looks, 2):
        if earlier.generation_id == later.generation_id and earlier.ended < later.began:
            assert lifecycle.allows(earlier.status, later.status), (earlier, later)
    assert {look.status for look in looks} > {lifecycle.initial}
