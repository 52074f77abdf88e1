"""Claims about recordings and the command that makes them: all is in them but the keys, and they are kept whatever happens."""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer, Reply, Request
from fake_server.adapters.listen import listen
from fake_server.journal.har import declared_length, read
from fake_server.messages import Exchange, Headers
from fake_server.recording.recorder import Recording
from fake_server.recording.traffic import validate_recording
from kling_contract import Contract, VirtualClock, cli
from kling_contract.cli.recording_session import recording_session
from kling_contract.contract.documents import FIXTURES
from tests.fake_server.journal.test_har import CHECK
from tests.support import ROOT
from tests.support.calls import KEY, creating, payload, polling

CONTRACT = Contract.load()
KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=20).map("k-{}".format)


@dataclass
class Recorder:
    """The command as it runs."""

    process: subprocess.Popen[str]
    url: str
    folder: Path

    def send(self, request: Request) -> httpx.Response:
        return send(self.url, request)

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Return exit code, what was said and what went wrong."""
        self.process.send_signal(how)
        said, wrong = self.process.communicate(timeout=60)
        return self.process.returncode, said, wrong


def send(url: str, request: Request) -> httpx.Response:
    """Send a request to the proxy at `url`."""
    target = request.target
    url = f"{url}{target.path}?{target.query}" if target.query else url + target.path
    return httpx.request(request.method, url, content=request.body, headers=dict(request.headers.items()), timeout=30)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., Recorder]]:
    """Start the command on an upstream, in an empty folder."""
    started = []

    def start(upstream: str, *options: str) -> Recorder:
        process = subprocess.Popen(
            [sys.executable, "-m", "kling_contract", "record", "--upstream", upstream, *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return Recorder(process, process.stdout.readline().split()[4], tmp_path)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[Any, str, str]]:
    """Run the command in this process, in an empty folder, where it ends by itself.

    Return the exit code, what was said and what went wrong.
    """
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["kling-contract", "record", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said, wrong = capfd.readouterr()
        return ended.value.code, said, wrong

    return run


@pytest.fixture
def record_here(
    run: Callable[..., tuple[Any, str, str]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, str, str]]:
    """Run the command in this process while a function sends requests to its URL, and end it then."""

    def record_here(upstream: str, send: Callable[[str], object], *options: str) -> tuple[Any, str, str]:
        def serve(proxy: Any, *, port: int, on_ready: Callable[[str], None]) -> None:
            with listen(proxy, port=port) as url:
                on_ready(url)
                send(url)

        monkeypatch.setattr("fake_server.adapters.listen.serve", serve)
        return run("--upstream", upstream, *options)

    return record_here


def test_a_session_is_recorded(record: Callable[..., Recorder]) -> None:
    """What passed until Ctrl-C is in the file, judged and replayable, without the key; a clean session ends with 0."""
    fake = FakeServer(clock=VirtualClock(rate=3_000))
    with fake.listen() as upstream:
        recorder = record(upstream)
        made = recorder.send(creating(CONTRACT)).json()["id"]
        while recorder.send(polling(CONTRACT, made)).json()["status"] != CONTRACT.observed.timeline.final.status:
            pass
        code, said, wrong = recorder.end(signal.SIGINT)
    path = recorder.folder / "session.har"
    assert (code, wrong) == (0, "")
    assert f"{len(fake.journal)} exchanges in session.har; nothing is wrong" in said
    assert [each.name for each in recorder.folder.iterdir()] == [path.name]
    text = path.read_text()
    assert KEY not in text
    CHECK.validate(json.loads(text))
    assert [each.request.method for each in read(path)] == [each.request.method for each in fake.journal]
    assert not [each for each in validate_recording(path) if each.violations]
    assert FakeServer(replay=path).handle(creating(CONTRACT)).json()["id"] == made


def test_violations_are_told_as_they_pass(record: Callable[..., Recorder]) -> None:
    """What breaks the contract is printed while the session goes on, in words without the key, and makes the exit code 1."""
    with FakeServer().listen() as upstream:
        recorder = record(upstream, "--output", "other.har")
        recorder.send(creating(CONTRACT, payload(CONTRACT, prompt=7, **{KEY: 1})))
        assert recorder.process.stdout is not None
        said = next(line for line in recorder.process.stdout if "/prompt" in line)
        code, rest, _ = recorder.end()
    assert "/prompt" in said
    assert KEY not in said + rest
    assert "1 error, 1 warning" in rest
    assert code == 1
    (exchange,) = json.loads((recorder.folder / "other.har").read_text())["log"]["entries"]
    assert any("/prompt" in each for each in exchange["_violations"])


def test_a_session_has_reports(record_here: Callable[..., tuple[Any, str, str]], tmp_path: Path) -> None:
    """--report writes every exchange with its violations; --strictness and --fail-on decide what they are and do."""
    options = ["--report", "json=a.json", "--report", "junit=a.xml", "--strictness", "strict", "--fail-on", "warning"]
    undeclared = creating(CONTRACT, payload(CONTRACT, undeclared=1))
    with FakeServer().listen() as upstream:
        code, _, wrong = record_here(
            upstream, lambda url: (send(url, undeclared), send(url, creating(CONTRACT))), *options
        )
        lax, _, _ = record_here(upstream, lambda url: send(url, undeclared), "--output", "lax.har")
    assert (code, wrong, lax) == (1, "", 0)
    first, second = json.loads((tmp_path / "a.json").read_text())["results"]
    assert [violation["pointer"] for violation in first["violations"]] == ["/undeclared"]
    assert second["violations"] == []
    assert 'tests="2" failures="1"' in (tmp_path / "a.xml").read_text()


def test_an_upstream_that_dies_ends_no_recording(
    record_here: Callable[..., tuple[Any, str, str]], tmp_path: Path
) -> None:
    """When the upstream goes, that is said, the program is answered, and what passed before and after is kept."""
    with contextlib.ExitStack() as alive:
        upstream = alive.enter_context(FakeServer().listen())
        statuses: list[int] = []

        def twice(url: str) -> None:
            statuses.append(send(url, creating(CONTRACT)).status_code)
            alive.close()
            statuses.append(send(url, creating(CONTRACT)).status_code)

        code, said, wrong = record_here(upstream, twice)
    assert (code, wrong, statuses) == (0, "", [CONTRACT.create.success, 502])
    assert upstream in said.partition("output")[2].partition("exchanges in")[0]
    first, second = read(tmp_path / "session.har")
    assert (first.reply.status, second.reply.status) == (CONTRACT.create.success, 0)


def test_nothing_is_left_of_nothing(record_here: Callable[..., tuple[Any, str, str]], tmp_path: Path) -> None:
    """Where nothing passed there is no file, and that is no failure."""
    code, said, _ = record_here("http://127.0.0.1:1", lambda url: None)
    assert code == 0
    assert "nothing was recorded" in said
    assert not list(tmp_path.iterdir())


def test_a_recording_with_a_key_is_not_kept(record_here: Callable[..., tuple[Any, str, str]], tmp_path: Path) -> None:
    """A key that stood in an earlier body, before it was known for one, costs the recording, and that is said."""
    early = creating(CONTRACT, payload(CONTRACT, prompt=f"not to be told: {KEY}"))
    early = Request(early.method, early.url, Headers({"content-type": "application/json"}), early.body)
    with FakeServer().listen() as upstream:
        code, _, wrong = record_here(upstream, lambda url: (send(url, early), send(url, creating(CONTRACT))))
    assert code == 1
    assert "session.har is not written" in wrong
    assert KEY not in wrong
    assert not list(tmp_path.iterdir())


def test_a_key_that_is_known_before_costs_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A key that is known from the beginning is neither shown nor written, although no request was sent with it yet."""
    path = tmp_path / "session.har"
    options: Any = {"strictness": "lax", "fail_on": "error", "color": None}
    request = creating(CONTRACT, payload(CONTRACT, prompt=KEY, **{KEY: 1}))
    early = Request(request.method, request.url, Headers(), request.body)
    with recording_session(path, [], contract=CONTRACT, keys=[KEY], **options) as session:
        session.on_exchange(Exchange(0.0, early, Reply(400)))
    assert session.kept
    assert "/***" in capfd.readouterr().out
    assert KEY not in path.read_text()


def test_a_session_can_leave_standard_output_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Beside a command, whose standard output is its own, everything is said on standard error."""
    path = tmp_path / "session.har"
    options: Any = {"strictness": "lax", "fail_on": "error", "color": None}
    with recording_session(path, [], contract=CONTRACT, aside=True, **options) as session:
        request = creating(CONTRACT, payload(CONTRACT, prompt=7))
        session.on_exchange(Exchange(0.0, request, FakeServer().handle(request)))
    said, aside = capfd.readouterr()
    assert said == ""
    assert "/prompt" in aside
    assert f"1 exchange in {path}" in aside
    assert (session.kept, session.found(["error"]), len(read(path))) == (True, True, 1)


@given(key=KEYS, header=st.sampled_from(["authorization", "x-api-key", "cookie", "proxy-authorization"]))
def test_no_key_gets_into_a_recording(key: str, header: str) -> None:
    """A key is nowhere in the file, in whatever header it came and wherever it was repeated, later exchanges included."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Recording(Path(folder) / "session.har")
        body = json.dumps({"prompt": key, key: [key]}).encode()
        length = str(len(body))
        secrets = {header: f"Bearer {key}", "user-agent": key, "content-length": length}
        sent = Request("POST", "https://x.example/a", Headers(secrets), body)
        back = Reply(200, Headers({"x-request-id": key, "set-cookie": "theirs", "content-length": length}), body)
        recording.add(recording.without_keys(Exchange(0, sent, back)))
        later = Request("POST", "https://x.example/b", Headers(), body)
        recording.add(recording.without_keys(Exchange(1, later, back)))
        parts = list(Path(folder).iterdir())
        assert [part.stat().st_mode & 0o077 for part in parts] == [0]
        assert recording.keep()
        text = recording.path.read_text()
        found = read(recording.path)
    assert key not in text
    assert "theirs" not in text
    assert json.dumps(key)[1:-1] not in text
    assert json.dumps(json.dumps(key)[1:-1])[1:-1] not in text
    assert all(each.arrived and declared_length(each.request.headers) in (0, len(each.request.body)) for each in found)
    assert json.loads(found[0].request.body) == {"prompt": "***", "***": ["***"]}


def test_the_file_is_searched_across_its_blocks(tmp_path: Path) -> None:
    """A key is found wherever in the file it stands, at the seam of two blocks that are read as well."""
    for before in range(2**20 - 600, 2**20, 7):
        recording = Recording(tmp_path / "session.har")
        early = Request("POST", "https://x.example/", Headers(), b"a" * before + KEY.encode())
        recording.add(recording.without_keys(Exchange(0, early, Reply(200))))
        recording.without_keys(Exchange(0, creating(CONTRACT), Reply(200)))
        assert not recording.keep()
    assert not list(tmp_path.iterdir())


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Of two recordings that end in the same file the second is kept beside it."""
    path = tmp_path / "session.har"
    first, second = Recording(path), Recording(path)
    for recording in (first, second):
        recording.add(recording.without_keys(Exchange(0, creating(CONTRACT), Reply(200))))
    assert first.keep()
    with pytest.raises(FileExistsError) as wrong:
        second.keep()
    (part,) = set(tmp_path.iterdir()) - {path}
    assert str(part) in str(wrong.value)
    assert len(read(part)) == 1


def test_a_full_disk_stops_no_traffic(
    record_here: Callable[..., tuple[Any, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where there is no room for an exchange it passes all the same; that is said once, and what was written is kept."""
    written = Recording.add

    def full(recording: Recording, exchange: Exchange) -> None:
        if recording.exchanges:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(recording, exchange)

    def pass_three(url: str) -> None:
        for _ in range(3):
            assert httpx.get(f"{url}/x").status_code == 404

    monkeypatch.setattr(Recording, "add", full)
    with FakeServer().listen() as upstream:
        code, _, wrong = record_here(upstream, pass_three)
    assert code == 1
    assert wrong.count(os.strerror(errno.ENOSPC)) == 1
    assert len(read(tmp_path / "session.har")) == 1


def test_wrong_usage_is_one_line(run: Callable[..., tuple[Any, str, str]], tmp_path: Path) -> None:
    """What cannot be recorded is refused in one line, with exit code 2, and leaves nothing behind."""
    (tmp_path / "there.har").write_text("precious")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        api = "http://api.example"
        for arguments in (
            ["--upstream", "api.example"],
            ["--upstream", "http://api.example/v2"],
            ["--upstream", f"http://localhost:{port}", "--port", port],
            ["--upstream", api, "--port", port],
            ["--upstream", api, "--output", "there.har"],
            ["--upstream", api, "--output", "nowhere/session.har"],
            ["--upstream", api, "--output", "."],
            ["--upstream", api, "--revision", "never"],
            ["--upstream", api, "--report", "json=nowhere/a.json"],
            [],
        ):
            code, _, wrong = run(*arguments)
            assert (code, wrong.count("\n")) == (2, 1), wrong
            assert ("listen itself" in wrong) == (f"http://localhost:{port}" in arguments)
    assert [each.name for each in tmp_path.iterdir()] == ["there.har"]
    assert (tmp_path / "there.har").read_text() == "precious"


def test_large_bodies_are_recorded(record_here: Callable[..., tuple[Any, str, str]], tmp_path: Path) -> None:
    """A picture of megabytes as a data URI passes, is judged and recorded whole."""
    picture = (FIXTURES / "images" / "cat.jpg").read_bytes() * 200
    uri = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
    request = creating(CONTRACT, payload(CONTRACT, image_url=uri))
    with FakeServer().listen() as upstream:
        code, said, _ = record_here(upstream, lambda url: send(url, request))
    assert (code, "nothing is wrong" in said) == (0, True)
    (exchange,) = read(tmp_path / "session.har")
    assert exchange.request.body == request.body
    assert exchange.reply.status == CONTRACT.create.success


def test_output_that_nobody_reads_stops_no_traffic(record: Callable[..., Recorder], tmp_path: Path) -> None:
    """While nobody reads what is printed, exchanges pass and are recorded, more of them than a pipe has room for."""
    fake = FakeServer()
    with fake.listen() as upstream:
        recorder = record(upstream)
        wrong = creating(CONTRACT, payload(CONTRACT, **{f"surprise{number}": 1 for number in range(200)}))
        for _ in range(5):  # about 20 kB each are printed, and a pipe holds 64
            assert recorder.send(wrong).status_code == CONTRACT.create.success
        recorder.process.send_signal(signal.SIGTERM)
        assert recorder.process.wait(60) == 0
    assert len(read(recorder.folder / "session.har")) == len(fake.journal) == 5


def test_output_that_is_closed_is_said_once(record: Callable[..., Recorder]) -> None:
    """When the reader of standard output goes, that is said once on standard error, and the recording goes on."""
    with FakeServer().listen() as upstream:
        recorder = record(upstream)
        assert recorder.process.stdout is not None
        assert recorder.process.stderr is not None
        recorder.process.stdout.close()
        for _ in range(3):
            assert recorder.send(creating(CONTRACT, b"{")).status_code == 400
        recorder.process.send_signal(signal.SIGTERM)
        assert recorder.process.wait(60) == 1
        assert recorder.process.stderr.read().count("nothing more is printed") == 1
    assert len(read(recorder.folder / "session.har")) == 3


def test_a_recording_that_is_killed_is_an_archive(record: Callable[..., Recorder]) -> None:
    """However the process ends, the hidden file beside the output is an archive of what had passed."""
    with FakeServer().listen() as upstream:
        recorder = record(upstream)
        for passed in range(3):
            assert recorder.send(creating(CONTRACT)).status_code == CONTRACT.create.success
            wait_for_entries(recorder.folder, passed + 1)
        recorder.process.kill()
        recorder.process.wait(60)
    assert len(_entries(recorder.folder)) == 3


def wait_for_entries(folder: Path, count: int) -> None:
    for _ in range(3_000):
        with contextlib.suppress(ValueError):  # the file was read while it was written
            if len(_entries(folder)) == count:
                return
        time.sleep(0.01)
    pytest.fail(f"there were no {count} entries within 30 seconds")


def _entries(folder: Path) -> list[Any]:
    (part,) = folder.iterdir()
    return list(json.loads(part.read_text())["log"]["entries"])
