"""Claims about state that survives: whatever was acknowledged is known to the next fake, and time never goes back."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fake_server import FakeServer
from fake_server.service.generation import FakeGeneration
from fake_server.service.service import Progression
from fake_server.service.store import Store
from kling_contract import Contract, VirtualClock, revisions
from kling_contract.contract import Step, Timeline
from kling_contract.errors import StateError
from tests.support import ROOT
from tests.support.calls import creating, polling

CONTRACT = Contract.load()
END = CONTRACT.observed.timeline.final
PROGRESSIONS = get_args(Progression)
seldom = settings(max_examples=25)  # each example writes a file or two


@contextlib.contextmanager
def after_a_crash(path: Path) -> Iterator[Path]:
    """Give a copy of a state file as it would be, had its process been killed just now."""
    with TemporaryDirectory() as folder:
        for each in path.parent.glob(f"{path.name}*"):
            shutil.copy(each, folder)
        yield Path(folder) / path.name


@contextlib.contextmanager
def restarted(path: Path, **options: Any) -> Iterator[FakeServer]:
    """Give the fake that begins after a crash."""
    with after_a_crash(path) as copy:
        fake = FakeServer(state=copy, **options)
        yield fake
        fake.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kling.state"


def created(fake: FakeServer) -> str:
    return str(fake.handle(creating(fake.contract)).json()["id"])


def status(fake: FakeServer, generation_id: str) -> str:
    return str(fake.handle(polling(fake.contract, generation_id)).json()["status"])


def advance(fake: FakeServer, seconds: float) -> None:
    assert isinstance(fake.clock, VirtualClock)
    fake.clock.advance(seconds)


TIMES = st.floats(0, 1e12)
TIMELINES = st.lists(TIMES.filter(bool), unique=True, max_size=3).map(
    lambda starts: Timeline((Step("first", 0.0), *(Step(f"at {at}", at) for at in sorted(starts))))
)
GENERATIONS = st.builds(
    FakeGeneration,
    id=st.text(),
    created_at=TIMES,
    timeline=TIMELINES,
    model=st.text(),
    duration=TIMES,
    price=TIMES | st.integers(0, 10**15),
    video_url=st.just("https://videos.example/a.mp4"),
    image_url=st.text(),
    polls=st.none() | st.integers(0, 10**9),
)


@seldom
@given(st.lists(GENERATIONS, max_size=5))
def test_generations_come_back_as_they_were(generations: list[FakeGeneration]) -> None:
    """Whatever generations are put, the next store has them, each as it was put last, in the order of their first."""
    last = {generation.id: generation for generation in generations}
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "state", "any")
        for generation in generations:
            store.put(generation)
        with after_a_crash(Path(folder) / "state") as copy:
            again = Store(copy, "any")
            assert list(again.generations()) == list(last.values())
            again.close(0.0)
        store.close(0.0)


@seldom
@example([0.5, 0.5], 0.0)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=20), st.sampled_from([0.0, 1.0, 60.0]))
def test_time_never_goes_back(steps: list[float], lead: float) -> None:
    """Killed at any moment, the next fake begins at no time before any that was told, and at most the lead after it."""
    with TemporaryDirectory() as folder:
        store, now = Store(Path(folder) / "state", "any"), 0.0
        for step in steps:
            now += step
            store.reach(now, lead)
        with after_a_crash(Path(folder) / "state") as copy:
            again = Store(copy, "any")
            assert again.time is not None
            assert now <= again.time <= now + lead
            again.close(again.time)
        store.close(now)
        last = Store(Path(folder) / "state", "any")
        assert last.time == now
        last.close(now)


def test_time_is_written_seldom(path: Path) -> None:
    """While the time told lies within the lead nothing is written, so that polls cost no more than without a file."""
    store = Store(path, "any")
    store.reach(100.0, 60.0)
    log = path.with_name(f"{path.name}-wal")
    before = log.stat().st_size
    for now in range(101, 160):
        store.reach(float(now), 60.0)
    assert log.stat().st_size == before
    store.reach(161.0, 60.0)
    assert log.stat().st_size > before
    store.close(161.0)


@pytest.mark.parametrize("rate", [0.0, 60.0])
def test_what_a_poll_was_told_stays_true(path: Path, rate: float) -> None:
    """Killed right after a poll, the next fake begins no earlier than that, and with the status that the poll was told."""
    fake = FakeServer(state=path, clock=VirtualClock(rate=rate))
    made = created(fake)
    advance(fake, END.at)
    now = fake.clock.now()
    assert status(fake, made) == END.status
    with restarted(path) as again:
        assert again.clock.now() >= now
        assert status(again, made) == END.status
    fake.close()


def test_what_is_forgotten_is_not_kept(path: Path) -> None:
    """The file keeps no more generations than the fake remembers."""
    fake = FakeServer(state=path, generation_limit=3)
    made = [created(fake) for _ in range(5)]
    fake.close()
    store = Store(path, CONTRACT.revision.id)
    assert [generation.id for generation in store.generations()] == made[-3:]
    store.close(0.0)


@seldom
@given(st.data())
def test_whatever_happens_the_next_fake_goes_on(data: st.DataObject) -> None:
    """After any sequence of calls a fake that is killed is followed by one with the same generations, ledger and time."""
    progression = data.draw(st.sampled_from(PROGRESSIONS))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        fake = FakeServer(state=path, progression=progression, generation_limit=3)
        for step in data.draw(st.lists(st.sampled_from(["create", "poll", "wait", "redirect", "reset"]), max_size=12)):
            known = list(fake.generations)
            if step == "create":
                created(fake)
            elif step == "wait":
                advance(fake, data.draw(st.floats(0, END.at)))
            elif step == "reset" and data.draw(st.booleans()):
                fake.reset()
            elif known and step == "poll":
                status(fake, data.draw(st.sampled_from(known)))
            elif known and step == "redirect":
                with contextlib.suppress(Exception):  # it may have ended
                    fake.reschedule(data.draw(st.sampled_from(known)), "failure")
        now, charges = fake.now(), fake.ledger.charges
        with restarted(path, progression=progression, generation_limit=3) as again:
            assert list(again.generations.items()) == list(fake.generations.items())
            assert again.now() == now
            assert again.ledger.charges == charges
            assert [status(again, known) for known in fake.generations] == [
                status(fake, known) for known in fake.generations
            ]
            assert created(again) not in fake.generations
        fake.close()


def test_a_fake_that_ended_well_is_taken_up_to_the_second(path: Path) -> None:
    """Closed and begun again, a fake with a running clock goes on from the very time at which it ended."""
    clock = VirtualClock(rate=60)
    fake = FakeServer(state=path, clock=clock)
    made = created(fake)
    advance(fake, 1000)
    clock.rate = 0.0  # hold it, to know the time
    now = clock.now()
    fake.close()
    fake.close()
    again = FakeServer(state=path)
    assert again.now() == now
    assert status(again, made) == END.status
    again.close()


def test_ids_are_never_drawn_twice(path: Path) -> None:
    """With one seed throughout, no fake on a state file draws an id that one before it drew; without a file each draws the same."""
    drawn = []
    for _ in range(4):
        fake = FakeServer(state=path, seed=7)
        drawn += [created(fake) for _ in range(3)]
        fake.close()
    assert len(set(drawn)) == 12
    assert drawn[0] == created(FakeServer(seed=7))


def test_a_clock_that_is_ahead_stays_there(path: Path) -> None:
    """A file from an earlier time does not turn a clock back."""
    fake = FakeServer(state=path)
    fake.now()
    fake.close()
    again = FakeServer(state=path, clock=VirtualClock(start=4e9))
    assert again.now() == 4e9
    again.close()


def foreign(path: Path, what: str) -> None:
    """Put something else where a state file is asked for."""
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("to be, or not to be")
    elif what == "short":
        path.write_bytes(b"SQLite")
    elif what == "database":
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE facts (name, value)")
    else:
        Store(path, CONTRACT.revision.id).close(0.0)
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute(what)
            database.commit()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("folder", "cannot be used"),
        ("text", "not a state file"),
        ("short", "not a state file"),
        ("database", "not a state file"),
        ("PRAGMA user_version = 99", "another version"),
        ("PRAGMA application_id = 99", "not a state file"),
        ("DROP TABLE facts", "cannot be used"),
        ("DROP TABLE generations", "damaged"),
        ("INSERT INTO generations (id, data) VALUES ('a', 'no json')", "damaged"),
        ("INSERT INTO generations (id, data) VALUES ('a', '{}')", "damaged"),
    ],
)
def test_what_is_no_state_file_is_left_alone(path: Path, what: str, said: str) -> None:
    """Anything else under that name is refused in one line with the name and what to do, and is still what it was."""
    foreign(path, what)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StateError, match=said) as refused:
        FakeServer(state=path)
    assert str(path) in str(refused.value)
    assert "name another" in str(refused.value)
    assert "\n" not in str(refused.value)
    if said == "not a state file":
        assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    """A state file in a folder that does not exist is refused in one line."""
    with pytest.raises(StateError, match=r"nowhere.*name a file in a folder that exists"):
        FakeServer(state=tmp_path / "nowhere" / "state")


def test_a_file_of_another_revision_is_refused(path: Path) -> None:
    """Generations of one revision are not served under another: the line names both, and the file keeps what it has."""
    one, other = revisions()[0], revisions()[-1]
    fake = FakeServer(state=path, revision=one)
    made = created(fake)
    fake.close()
    with pytest.raises(StateError, match=rf"revision {one}, not of {other}; ask for revision {one}"):
        FakeServer(state=path, revision=other)
    again = FakeServer(state=path, revision=one)
    assert list(again.generations) == [made]
    again.close()


def test_one_fake_at_a_time(path: Path) -> None:
    """While one fake has the file, another is refused and told why; when it is closed, not any more."""
    fake = FakeServer(state=path)
    with pytest.raises(StateError, match="another fake is using it"):
        FakeServer(state=path)
    created(fake)
    fake.close()
    again = FakeServer(state=path)
    assert len(again.generations) == 1
    again.close()


def test_a_closed_fake_can_be_read(path: Path) -> None:
    """After a fake is closed, whatever happened can be asked for as before; another may have the file, and close is harmless."""
    fake = FakeServer(state=str(path))
    made = created(fake)
    fake.advance(END.at)
    fake.close()
    with contextlib.closing(FakeServer(state=path)) as again:
        fake.advance(END.at)
        fake.close()
        assert (fake.now(), again.now()) == (again.now() + END.at, fake.now() - END.at)
        assert list(fake.generations) == list(again.generations) == [made]
        assert fake.ledger.booked == again.ledger.booked > 0
        fake.assert_created_once()


@contextlib.contextmanager
def serving(state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `serve` on a state file; give the process and its URL. It is killed in the end, if it was not before."""
    command = [sys.executable, "-m", "kling_contract", "serve", "--port", "0", "--state", str(state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[5]
        finally:
            process.kill()


def test_killed_under_load_it_knows_whatever_it_acknowledged(path: Path) -> None:
    """Killed with SIGKILL while eight threads create and poll, and begun again, a server knows every generation that it
    acknowledged, in no earlier status, and no earlier time."""
    seen: dict[str, str] = {}
    times: list[float] = []
    enough = threading.Event()

    def work(url: str) -> None:
        with httpx.Client(base_url=url, verify=False) as client, contextlib.suppress(httpx.TransportError):
            while True:
                made = _sent(client, creating(CONTRACT)).json()
                seen[made["id"]] = made["status"]
                seen[made["id"]] = _sent(client, polling(CONTRACT, made["id"])).json()["status"]
                times.append(client.get("/_fake/clock").json()["now"])
                if len(seen) > 300:
                    enough.set()

    with serving(path) as (process, url):
        threads = [threading.Thread(target=work, args=(url,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert process.wait() == -signal.SIGKILL
    with serving(path) as (_, url), httpx.Client(base_url=url, verify=False) as client:
        assert client.get("/_fake/clock").json()["now"] >= max(times)
        ledger = client.get("/_fake/ledger", params={"limit": 10_000}).json()
        assert {charge["generation_id"] for charge in ledger["charges"]} >= set(seen)
        for generation, status in seen.items():
            answer = _sent(client, polling(CONTRACT, generation))
            assert answer.status_code == CONTRACT.get.success
            order = [step.status for step in CONTRACT.observed.timeline.steps]
            assert order.index(answer.json()["status"]) >= order.index(status)


def _sent(client: httpx.Client, request: Any) -> httpx.Response:
    target = request.target._replace(scheme="", netloc="").geturl()
    return client.request(request.method, target, headers=dict(request.headers), content=request.body)
