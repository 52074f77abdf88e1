"""Claims about the clock of a run, which other processes follow over a connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fake_server.adapters.asgi import app
from fake_server.adapters.delivery import TRAFFIC
from fake_server.adapters.pacer import Pacer
from fake_server.messages import Headers, Reply
from fake_server.preload import PYTHON
from kling_contract import SystemClock, VirtualClock

LOAD = f"""
import importlib.util, json, os, sys
os.environ["KLING_CONTRACT_RUN"] = json.dumps({{"hosts": [], "domain": "", "port": int(sys.argv[1])}})
spec = importlib.util.spec_from_file_location("entry", {str(PYTHON / "sitecustomize.py")!r})
entry = importlib.util.module_from_spec(spec)
spec.loader.exec_module(entry)
waits = entry._load({str(PYTHON.parent)!r}, entry._WAITS)
waits.follow(int(sys.argv[1]), lambda connection: connection.gettimeout() != 0.3)
"""


@contextlib.contextmanager
def port(pacer: Pacer) -> Iterator[int]:
    """Accept connections as the port of a run does, and give its number."""

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                line = b""
                while not line.endswith(b"\n"):
                    line += connection.recv(1)
                pacer.serve(connection, line)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def run(code: str, number: int) -> Any:
    """Run Python code in a child that follows the clock, and return what it prints, from JSON."""
    done = subprocess.run([sys.executable, "-c", LOAD + code, str(number)], capture_output=True, text=True, timeout=30)
    assert not done.stderr
    return json.loads(done.stdout)


class Peer:
    """A process that follows the clock, played by the test."""

    def __init__(self, pacer: Pacer) -> None:
        self._here, there = socket.socketpair()
        self._here.settimeout(5)
        pacer.serve(there, b'KLING-PACE {"pid": 7}\n')
        self._lines = self._here.makefile("r")

    def wait(self, seconds: float | None) -> None:
        self._here.sendall(json.dumps({"wait": seconds}).encode() + b"\n")

    def read(self) -> dict[str, float]:
        message: dict[str, float] = json.loads(self._lines.readline())
        return message

    def answer(self, seconds: float | None) -> None:
        asked = self.read()
        self._here.sendall(json.dumps({"answer": asked["ask"], "wait": seconds}).encode() + b"\n")

    def silent(self, seconds: float) -> bool:
        self._here.settimeout(seconds)
        try:
            return not self._here.recv(1)
        except TimeoutError:
            return True
        finally:
            self._here.settimeout(5)

    def close(self) -> None:
        self._lines.close()
        self._here.close()


@contextlib.contextmanager
def peer(may_move: Callable[[], bool] = lambda: True) -> Iterator[tuple[Peer, Pacer]]:
    with Pacer(VirtualClock(rate=1.0), may_move=may_move) as pacer, contextlib.closing(Peer(pacer)) as other:
        assert other.read() == {"offset": 0.0}
        yield other, pacer


def test_a_child_follows() -> None:
    """In a child all waits together take no time: the clock moves from one to the next, and so do dates, tasks and threads."""
    code = """
import asyncio, datetime, json, threading, time
began, day, told = time.monotonic(), datetime.datetime.now(), []
def sleep(seconds):
    time.sleep(seconds)
    told.append(seconds)
threads = [threading.Thread(target=sleep, args=(seconds,)) for seconds in (300, 100, 200)]
for thread in threads: thread.start()
asyncio.run(asyncio.sleep(400))
for thread in threads: thread.join()
print(json.dumps([told, time.monotonic() - began, (datetime.datetime.now() - day).total_seconds()]))
"""
    clock = VirtualClock(rate=1.0)
    before, real = clock.now(), time.monotonic()
    with Pacer(clock, may_move=lambda: True) as pacer, port(pacer) as number:
        told, *passed = run(code, number)
    assert told == [100, 200, 300]
    assert passed == [pytest.approx(400, abs=20)] * 2
    assert clock.now() - before == pytest.approx(400, abs=20)
    assert time.monotonic() - real < 20
    assert pacer.moves >= 4
    assert pacer.moved == pytest.approx(400, abs=20)


def test_reads_of_a_child_time_out_on_the_clock() -> None:
    """A read of a connection to the fake gets what comes before its timeout, and ends with that; elsewhere that does not count."""
    code = """
import json, socket, threading, time
def timed(read):
    began = time.monotonic()
    try:
        got = read().decode()
    except socket.timeout as error:
        got = str(error)
    return got, time.monotonic() - began
def send():
    time.sleep(20)
    there.sendall(b"early")
    time.sleep(300)
    there.sendall(b"late")
here, there = socket.socketpair()
here.settimeout(60)
threading.Thread(target=send).start()
told = [timed(lambda: here.recv(9)), timed(here.makefile("rb").readline), timed(lambda: here.recv(9))]
other, silent = socket.socketpair()
other.settimeout(0.3)
print(json.dumps([*told, timed(lambda: other.recv(9))]))
"""
    with Pacer(VirtualClock(rate=1.0), may_move=lambda: True) as pacer, port(pacer) as number:
        *told, real = run(code, number)
    assert [got for got, _ in told] == ["early", "timed out", "timed out"]
    assert [seconds for _, seconds in told] == [pytest.approx(seconds, abs=5) for seconds in (20, 60, 60)]
    assert real == [
        "timed out",
        pytest.approx(320 - 140, abs=20),
    ]  # meanwhile the clock moves to the end of the last sleep


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_a_fork_follows_by_itself() -> None:
    """A forked process has a connection of its own, and its waits move the clock, too; nothing keeps either alive."""
    code = """
import json, os, time
before = time.monotonic()
if not os.fork():
    time.sleep(500)
    os._exit(0)
os.wait()
time.sleep(1)
print(json.dumps(time.monotonic() - before))
"""
    with Pacer(VirtualClock(rate=1.0), may_move=lambda: True) as pacer, port(pacer) as number:
        assert run(code, number) == pytest.approx(501, abs=20)
        assert len(pacer.following) == 2


def test_without_a_run_time_is_real() -> None:
    """If nobody listens, or the connection ends while something waits, the waits are real ones, and nothing hangs."""
    code = """
import json, time
before = time.monotonic()
time.sleep(0.05)
print(json.dumps(time.monotonic() - before))
"""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        number = unused.getsockname()[1]
    assert 0.05 <= run(code, number) < 10
    with Pacer(VirtualClock(rate=1.0), may_move=lambda: False) as pacer, port(pacer) as number:
        threading.Timer(0.02, pacer.__exit__).start()
        assert 0.05 <= run(code, number) < 10


def test_it_moves_to_the_earliest_once_all_have_answered() -> None:
    """The clock moves to the earliest wait of two processes, as they state it in their answers, and tells both."""
    with peer() as (first, pacer), contextlib.closing(Peer(pacer)) as second:
        second.read()
        second.wait(50)
        second.answer(50)
        assert second.read()["offset"] == pytest.approx(50, abs=1)
        assert first.read()["offset"] == pytest.approx(50, abs=1)
        second.wait(1000)
        first.wait(70)
        second.answer(1000)
        first.answer(60)
        for one in (first, second):
            assert one.read()["offset"] == pytest.approx(110, abs=1)


def test_nothing_moves_while_it_must_not() -> None:
    """While no generation is unfinished, or while a request is unanswered, waits are real; afterwards the clock moves."""
    allowed: list[None] = []
    with peer(lambda: bool(allowed)) as (other, pacer):
        other.wait(100)
        assert other.silent(0.05)
        with TRAFFIC.request():
            allowed.append(None)
            TRAFFIC.touch()
            assert other.silent(0.05)
        other.answer(100)
        assert other.read()["offset"] == pytest.approx(100, abs=1)
        assert pacer.moves == 1


def test_one_that_does_not_answer_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that never answers holds the others back for a while only."""
    monkeypatch.setattr("fake_server.adapters.pacer._PATIENCE", 0.05)
    with peer() as (other, _):
        other.wait(100)
        assert "ask" in other.read()
        assert other.read()["offset"] == pytest.approx(100, abs=1)


def test_a_process_that_computes_holds_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a watched process computes, the clock stands; it goes on when that has ended."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells what a process computes")
    code = "import sys\nprint(flush=True)\nwhile True: pass"
    with peer() as (other, pacer), subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        pacer.watch(lambda: [busy.pid])
        other.wait(100)
        assert other.silent(0.1)
        busy.kill()
        busy.wait()
        other.answer(100)
        assert other.read()["offset"] == pytest.approx(100, abs=1)


def test_another_first_line_is_refused() -> None:
    """A connection that does not begin as it should is closed, and the message says what was expected; so with a clock."""
    here, there = socket.socketpair()
    with here, Pacer(VirtualClock(rate=1.0), may_move=lambda: True) as pacer:
        with pytest.raises(ValueError, match="expected KLING-PACE"):
            pacer.serve(there, b"GET / HTTP/1.1\r\n")
        assert not here.recv(1)
    with pytest.raises(ValueError, match=r"rate=1\.0"):
        Pacer(VirtualClock(), may_move=lambda: True)


def late(clock: Any, seconds: float, meanwhile: Callable[[], None]) -> tuple[list[str], int]:
    """Ask for a reply that is late on `clock`; return what was sent, and how many requests were unanswered meanwhile."""
    application = app(lambda _: Reply(200, Headers(), b"", delay=seconds), body_limit=10, clock=clock)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    sent: list[str] = []

    async def ask() -> int:
        received: asyncio.Queue[Any] = asyncio.Queue()
        received.put_nowait({"type": "http.request"})

        async def send(message: Any) -> None:
            sent.append(message["type"])

        asking = asyncio.ensure_future(application(scope, received.get, send))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        unanswered = TRAFFIC.unanswered
        meanwhile()
        await asyncio.wait_for(asking, 20)
        return unanswered

    return sent, asyncio.run(ask())


def test_a_late_reply_follows_the_clock() -> None:
    """A reply that a fault holds back is sent as soon as the clock is moved past its time, and in its real time otherwise."""
    sent, unanswered = late(clock := VirtualClock(rate=1.0), 1000, lambda: clock.advance(1001))
    assert sent == ["http.response.start", "http.response.body"]
    assert (unanswered, TRAFFIC.unanswered, TRAFFIC.earliest) == (0, 0, None)
    for other in (SystemClock(), VirtualClock(rate=60), VirtualClock()):
        before = other.now()
        sent, _ = late(other, 0.02, lambda: None)
        assert len(sent) == 2
        assert other.now() - before >= 0.0199


def test_a_pacer_ends_a_late_reply() -> None:
    """A reply that is held back is a wake-up like any other, even where no generation is unfinished."""
    clock = VirtualClock(rate=1.0)
    with Pacer(clock, may_move=lambda: False):
        assert len(late(clock, 1000, lambda: None)[0]) == 2
