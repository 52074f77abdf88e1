"""Claims about code that waits by itself while it is put on a virtual clock."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import copy
import copyreg
import datetime
import pickle
import queue
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC
from time import sleep as imported_sleep
from typing import Any

import anyio
import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_server import FakeServer
from fake_server.adapters.virtual_time import NeverEnds, on_virtual_time
from fake_server.preload import waits
from kling_contract import SystemClock, VirtualClock

RUNNERS: list[Any] = [asyncio.run]
LOOPS: list[Any] = []
if sys.platform != "win32":  # there is none
    import uvloop

    RUNNERS.append(uvloop.run)
    LOOPS.append(uvloop.Loop)
REAL_NOW = datetime.datetime.now(UTC)
LONG = 1_000_000.0  # seconds that no test can really wait for


def test_waits_are_jumps_and_deadlines_come() -> None:
    """time.sleep takes no time, yet every way of telling the time has seen it pass."""
    clock = VirtualClock()
    with on_virtual_time(clock):
        before = time.time(), time.monotonic(), time.perf_counter(), SystemClock().now(), clock.now()
        time.sleep(LONG)
        after = time.time(), time.monotonic(), time.perf_counter(), SystemClock().now(), clock.now()
    assert all(LONG <= late - early < LONG + 1000 for early, late in zip(before, after, strict=True))


@given(st.lists(st.floats(0, 1e6), max_size=5))
@settings(max_examples=20, deadline=None)
def test_time_never_goes_back(waits: list[float]) -> None:
    """Whatever is waited for, no way of telling the time goes back, and the clock has moved by the sum."""
    clock = VirtualClock()
    began = clock.now()
    told = []
    with on_virtual_time(clock):
        for seconds in waits:
            time.sleep(seconds)
            told.append((time.time(), time.monotonic(), time.perf_counter()))
    assert clock.now() - began == pytest.approx(sum(waits), abs=1e-3)
    for each in zip(*told, strict=True):
        assert list(each) == sorted(each)


@pytest.mark.parametrize("run", RUNNERS, ids=lambda run: str(run.__module__))
def test_coroutines_wait_as_well(run: Callable[..., str]) -> None:
    """asyncio.sleep takes no time and gives its result; others run meanwhile; asyncio's own timeouts come; on uvloop, too."""
    seen: list[str] = []

    async def other() -> None:
        seen.append("other")

    async def poll() -> None:
        while True:  # noqa: ASYNC110 - what programs do
            await asyncio.sleep(10)

    async def main() -> str:
        task = asyncio.ensure_future(other())
        seen.append(await asyncio.sleep(LONG, "slept"))
        await task
        loop = asyncio.get_running_loop()
        cancelled = loop.call_at(loop.time() + 50, seen.append, "cancelled")
        loop.call_later(40, cancelled.cancel)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(poll(), 60)
        return "done"

    clock = VirtualClock()
    began = clock.now()
    with on_virtual_time(clock):
        assert run(main()) == "done"
    assert sorted(seen) == ["other", "slept"]
    assert clock.now() - began == pytest.approx(LONG + 60, abs=1)


def test_everything_is_put_back() -> None:
    """Once the last context has ended, in whatever order and by an exception too, each function and class is the original."""

    def now() -> list[object]:
        return [
            time.time,
            time.monotonic_ns,
            time.sleep,
            datetime.datetime,
            datetime.date,
            imported_sleep,
            threading.Condition.wait,
            threading.Thread.join,
            selectors.DefaultSelector.select,
            *(vars(loop).get(name) for loop in LOOPS for name in ("call_later", "call_at", "time")),
        ]

    before = now()
    first, second = on_virtual_time(VirtualClock()), on_virtual_time(VirtualClock())
    first.__enter__()
    second.__enter__()
    inside = now()
    first.__exit__(None, None, None)
    assert now() == inside
    assert [one is other for one, other in zip(inside, before, strict=True)] == [False] * len(before)
    second.__exit__(KeyError, KeyError(), None)
    assert all(one is other for one, other in zip(now(), before, strict=True))
    assert copyreg.dispatch_table.keys().isdisjoint({datetime.datetime, datetime.date})


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=6), st.booleans())
@settings(max_examples=15, deadline=None)
def test_sleepers_wake_in_order(seconds: list[int], tasks: bool) -> None:
    """Whatever threads or tasks sleep, they wake in the order of their time, and the clock ends with the last of them."""
    woken: list[int] = []

    def sleep(seconds: int) -> None:
        time.sleep(seconds)
        woken.append(seconds)

    async def main() -> None:
        async def asleep(seconds: int) -> None:
            await asyncio.sleep(seconds)
            woken.append(seconds)

        await asyncio.gather(*map(asleep, seconds))

    def together() -> None:
        threads = [threading.Thread(target=sleep, args=(each,)) for each in seconds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    clock = VirtualClock()
    began = clock.now()
    with on_virtual_time(clock):
        asyncio.run(main()) if tasks else together()
    assert woken == sorted(seconds)
    assert clock.now() - began == pytest.approx(max(seconds), abs=0.5)


def spin(seconds: float) -> None:
    """Compute for some seconds."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_loops_wait_as_long_as_was_asked_for() -> None:
    """What an event loop waits for is passed on the clock to the millisecond, so that runs are the same each time."""
    clock = VirtualClock()
    began = clock.now()

    async def poll() -> None:
        for _ in range(20):
            sleeping = asyncio.ensure_future(asyncio.sleep(10))
            await asyncio.sleep(0)
            spin(0.002)
            await sleeping
            time_passed.append(clock.now() - began)

    time_passed: list[float] = []
    with on_virtual_time(clock):
        asyncio.run(poll())
    assert time_passed == [10.0 * count for count in range(1, 21)]


def empty_queue() -> None:
    with pytest.raises(queue.Empty):
        queue.Queue[None]().get(timeout=600)


def future() -> None:
    never: concurrent.futures.Future[None] = concurrent.futures.Future()
    with pytest.raises(TimeoutError):
        never.result(600)


def join() -> None:
    goes_on = threading.Event()
    thread = threading.Thread(target=goes_on.wait)
    thread.start()
    thread.join(600)
    assert thread.is_alive()
    goes_on.set()


def timer() -> None:
    rang = threading.Event()
    threading.Timer(600, rang.set).start()
    assert rang.wait(10_000)


async def task() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 600)


async def anyio_task() -> None:
    with anyio.move_on_after(600):
        await anyio.sleep(10_000)


async def executor() -> None:
    await asyncio.get_running_loop().run_in_executor(None, imported_sleep, 600)


@pytest.mark.parametrize(
    "wait",
    [
        lambda: imported_sleep(600),
        lambda: threading.Event().wait(600),
        lambda: threading.Semaphore(0).acquire(timeout=600),
        empty_queue,
        future,
        join,
        timer,
        lambda: asyncio.run(task()),
        lambda: asyncio.run(executor()),
        lambda: anyio.run(anyio_task),
        lambda: anyio.run(anyio_task, backend="trio"),
        lambda: trio.run(trio.sleep, 600),
        lambda: VirtualClock.sleep(CLOCKS[-1], 600),
        lambda: trio.run(CLOCKS[-1].asleep, 600),
    ],
)
def test_every_usual_wait_moves_the_clock(wait: Callable[[], object]) -> None:
    """Ten minutes pass for whatever waits so long: in a thread, on a lock, a queue, a future, and in each event loop."""
    CLOCKS.append(clock := VirtualClock())
    began, real = clock.now(), time.monotonic()
    with on_virtual_time(clock):
        wait()
    assert clock.now() - began == pytest.approx(600, abs=1)
    assert time.monotonic() - real < 30


CLOCKS: list[VirtualClock] = []


def test_who_was_woken_goes_on_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands until a thread that is due has gone on, even if that notices late, as a join does."""
    monkeypatch.setattr("fake_server.preload.threads._POLL", 0.1)

    def sleep() -> None:
        spin(0.02)
        time.sleep(700)

    with on_virtual_time(VirtualClock()):
        thread = threading.Thread(target=sleep)
        thread.start()
        thread.join(600)
        alive = thread.is_alive()
        thread.join()
    assert alive


class Stopping(VirtualClock):
    """A clock that raises KeyError when it has been moved."""

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        raise KeyError


def sleep_on() -> None:
    for _ in range(100):
        time.sleep(5)


def test_who_is_stopped_as_it_begins_to_wait_holds_nobody_back() -> None:
    """A wait that moves the clock, and is ended by what the clock raises, is over: the next one is not held back by it."""

    with on_virtual_time(Stopping()), pytest.raises(KeyError):
        sleep_on()
    assert waits.idle()


def test_what_a_move_raises_is_not_lost() -> None:
    """What the clock raises comes to the program that waits, also where another thread moves the clock for it."""

    gate = threading.Lock()
    gate.acquire()
    unknown = threading.Thread(target=gate.acquire)
    unknown.start()
    try:
        with on_virtual_time(Stopping()), pytest.raises(KeyError):
            sleep_on()
    finally:
        gate.release()
        unknown.join()


def test_deadlines_in_dates_come() -> None:
    """A deadline by datetime.now or date.today comes, and the dates are real ones: for isinstance, pickle and copies."""
    with on_virtual_time(VirtualClock()):
        deadline, day = datetime.datetime.now(UTC) + datetime.timedelta(days=2), datetime.date.today()  # noqa: DTZ011
        while datetime.datetime.now(UTC) < deadline:
            time.sleep(3600)
        now = datetime.datetime.now()  # noqa: DTZ005
        assert isinstance(now, datetime.datetime)
        assert not isinstance(day, datetime.datetime)
        assert issubclass(datetime.datetime, datetime.date)
        assert type(now) is type(REAL_NOW)
        assert (datetime.date.today() - day).days in (2, 3)  # noqa: DTZ011
        assert abs(now.timestamp() - time.time()) < 60
        for made in (now, day, deadline):
            assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == made
        assert {type(now): 1}[datetime.datetime] == 1

        class Own(datetime.datetime):
            """A class of the program's."""

        assert isinstance(Own.now(), Own)
        assert not isinstance(now, Own)
    assert pickle.loads(pickle.dumps(now)) == now


def test_a_hundred_pollers_meet_no_false_timeout() -> None:
    """A hundred threads that poll at different paces until a deadline each have all their time, and none of it is lost."""
    polls: list[int] = []

    def poll(pause: int) -> None:
        end, count = time.monotonic() + 90, 0
        while time.monotonic() < end:
            time.sleep(pause)
            count += 1
        polls.append(count * pause)

    clock = VirtualClock()
    began = clock.now()
    with on_virtual_time(clock), concurrent.futures.ThreadPoolExecutor(100) as pool:
        list(pool.map(poll, [10 + number % 5 for number in range(100)]))
    assert len(polls) == 100
    assert all(70 <= waited <= 110 for waited in polls)
    assert clock.now() - began == pytest.approx(100, abs=15)


def test_who_is_notified_did_not_wait() -> None:
    """A wait that ends before it is due takes no more time than until then."""
    clock = VirtualClock()
    condition = threading.Condition()
    got: list[bool] = []

    def wait() -> None:
        with condition:
            got.append(condition.wait(1000))

    began = clock.now()
    with on_virtual_time(clock):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(50)
        with condition:
            condition.notify()
        thread.join()
    assert got == [True]
    assert clock.now() - began == 50


def test_a_thread_that_computes_is_waited_for() -> None:
    """While one thread computes, the clock does not run away to the deadline of another."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells what a thread computes")
    clock = VirtualClock()
    began = clock.now()
    done = threading.Event()

    def compute() -> None:
        spin(0.05)
        done.set()

    with on_virtual_time(clock):
        thread = threading.Thread(target=compute)
        thread.start()
        assert done.wait(900)
        thread.join()
    assert clock.now() == began


def test_the_machinery_is_real() -> None:
    """A process is waited for in real time: its timeout does not come before it has ended."""
    with on_virtual_time(VirtualClock()):
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.02)"], timeout=60, check=True)


def test_a_jump_wakes_who_is_due() -> None:
    """Whoever moves the clock, sleepers that are due wake, and the other clocks of overlapping contexts move with it."""
    first, second = VirtualClock(), VirtualClock(0)
    with on_virtual_time(first), on_virtual_time(second), on_virtual_time(first):
        before = time.monotonic()
        second.advance(100)
        assert time.monotonic() - before >= 100
        time.sleep(10)
    assert first.now() - VirtualClock().now() == second.now() == pytest.approx(110, abs=0.001)


def forever() -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(3600)


def threads_for_ever() -> None:
    ended: queue.SimpleQueue[BaseException] = queue.SimpleQueue()  # nobody can know that this thread waits for it

    def run() -> None:
        try:
            while True:
                time.sleep(3600)
        except NeverEnds as stopped:
            ended.put(stopped)

    threading.Thread(target=run).start()
    raise ended.get()


def requests_for_ever() -> None:
    http = httpx.Client(transport=FakeServer().transport())
    while True:
        with contextlib.suppress(Exception):
            http.get("http://fake/")


@pytest.mark.parametrize("program", [forever, threads_for_ever, requests_for_ever])
def test_a_loop_that_never_ends_is_stopped(program: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that waits or asks for ever is stopped, although it catches every Exception, and is told why."""
    monkeypatch.setattr("fake_server.adapters.virtual_time._MOST_REQUESTS", 20)
    monkeypatch.setattr("fake_server.adapters.virtual_time._MOST_HOURS", 5)
    monkeypatch.setattr("fake_server.adapters.virtual_time._MANY", 5)
    with pytest.raises(NeverEnds, match="never ends"), on_virtual_time(VirtualClock()):
        program()


class Refusing(VirtualClock):
    """A clock that stops the program when it is moved, as that of an exercise does."""

    def advance(self, seconds: float) -> None:
        raise KeyError(seconds)


def test_what_a_clock_raises_reaches_the_program() -> None:
    """What a move raises is raised where the program waits, also if another thread had to decide about the move."""
    raised: queue.SimpleQueue[object] = queue.SimpleQueue()  # nobody can know that this thread waits for it

    def sleep() -> None:
        try:
            time.sleep(10)
        except KeyError as error:
            raised.put(error.args[0])

    with on_virtual_time(Refusing()):
        threading.Thread(target=sleep, daemon=True).start()
        assert raised.get(timeout=5) == pytest.approx(10)
        with pytest.raises(KeyError):
            time.sleep(20)


@pytest.mark.parametrize("clock", [SystemClock(), VirtualClock(rate=1)])
def test_a_clock_that_runs_by_itself_is_refused(clock: Any) -> None:
    """A clock that goes with the real time cannot stand for it: its waits would be waits for itself."""
    with pytest.raises(ValueError, match="VirtualClock"), on_virtual_time(clock):
        pytest.fail("it began")


def test_stand_ins_are_pickled_as_what_they_stand_for() -> None:
    """Whoever pickles or names a function of time, as multiprocessing does, need not know of virtual time."""
    with on_virtual_time(VirtualClock()):
        for function in (time.time, time.monotonic_ns, time.perf_counter, time.sleep):
            assert pickle.loads(pickle.dumps(function)) is function
            assert getattr(time, function.__name__) is function
            assert function.__module__ == "time"
