"""Claims about `kling-contract record -- CMD`: any program, unchanged, is recorded, and reaches only what it may reach."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fake_server import FakeServer
from fake_server.journal.har import read
from fake_server.programs.program import Ended
from fake_server.recording.traffic import validate_recording
from kling_contract import Contract, VirtualClock, cli
from kling_contract.contract.family import hosts
from tests.support import ROOT
from tests.support.calls import creating, payload

CONTRACT = Contract.load()
API, *MEDIA = hosts(CONTRACT)
CREATE = f"{CONTRACT.base_url}{CONTRACT.create.path}"
SECRET = "sk-a-secret-that-nobody-may-see"
PROGRAM = """
import json, os, sys, time, urllib.error, urllib.request

def ask(url, body=None):
    headers = {"authorization": "Bearer " + os.environ["AIMLAPI_KEY"], "content-type": "application/json"}
    return urllib.request.urlopen(urllib.request.Request(url, body, headers))

url = sys.argv[1]
try:
    made = json.load(ask(url, sys.argv[2].encode()))["id"]
except urllib.error.HTTPError:
    sys.exit(int(sys.argv[3]))
while (found := json.load(ask(url + "?generation_id=" + made)))["status"] != "completed":
    time.sleep(0.02)
assert len(urllib.request.urlopen(found["video"]["url"]).read()) == found["video"]["file_size"]
print("done")
"""
other_programs = pytest.mark.other_programs
either_way = pytest.mark.parametrize("isolate", ["auto", "off"])


def start(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command in a folder, with an environment in which no key is set."""
    variables = {name: value for name, value in os.environ.items() if not name.endswith("_KEY")}
    return subprocess.Popen(
        [sys.executable, "-m", "kling_contract", "record", *arguments],
        cwd=folder,
        env={**variables, "PYTHONPATH": str(ROOT), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def record(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run the command, and return its exit code, standard output and standard error."""
    with start(folder, *arguments, environment=environment) as process:
        said, aside = process.communicate(timeout=60)
    return process.returncode, said, aside


def program(body: Any = None, code: int = 0) -> list[str]:
    """Return a program that makes a video at the API's own address. Refused, it ends with `code`."""
    return ["--", sys.executable, "-c", PROGRAM, CREATE, json.dumps(body or payload(CONTRACT)), str(code)]


@other_programs
@either_way
def test_an_unchanged_program_is_recorded(tmp_path: Path, isolate: str) -> None:
    """A program that knows only the API's own address is recorded, without its key; standard output is its own."""
    fake = FakeServer(clock=VirtualClock(rate=3_000), api_key=SECRET)
    with fake.listen() as upstream:
        options = ["--isolate", isolate, "--upstream", upstream]
        code, said, aside = record(tmp_path, *options, *program(), environment={"AIMLAPI_KEY": SECRET})
    assert (code, said) == (0, "done\n"), aside
    assert f"requests for {API} are forwarded to {upstream}" in aside
    assert "no connection left this machine: it could not" in aside or "isolation: not guaranteed (" in aside
    assert "exchanges in session.har; nothing is wrong" in aside
    path = tmp_path / "session.har"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert SECRET not in path.read_text() + aside
    asked = [each for each in fake.journal if each.operation in (CONTRACT.create.id, CONTRACT.get.id)]
    assert [each.request.method for each in read(path)] == [each.request.method for each in asked]
    assert not [each for each in validate_recording(path) if each.violations]


@other_programs
@pytest.mark.parametrize(("own", "code"), [(0, 90), (7, 7)])
def test_violations_are_reported(tmp_path: Path, own: int, code: int) -> None:
    """What breaks the contract is printed on standard error and reported, and makes the exit code 90 if that was 0."""
    with FakeServer().listen() as upstream:
        wrong = program({**payload(CONTRACT), "prompt": 7}, own)
        options = ["--upstream", upstream, "--report", "json=report.json"]
        ended, said, aside = record(tmp_path, *options, *wrong, environment={"AIMLAPI_KEY": SECRET})
    assert (ended, said) == (code, "")
    assert "/prompt" in aside
    (result,) = json.loads((tmp_path / "report.json").read_text())["results"]
    assert [violation["pointer"] for violation in result["violations"]] == ["/prompt"]


@other_programs
def test_the_exit_code_is_the_programs_own(tmp_path: Path) -> None:
    """The exit code is that of the program, 127 if there is none; where nothing was recorded, that is said and no failure."""
    for command, expected in (["true"], 0), (["sh", "-c", "exit 7"], 7), (["no-such-program"], 127):
        code, _, aside = record(tmp_path, "--upstream", "http://127.0.0.1:1", "--", *command)
        assert code == expected
        assert "nothing was recorded" in aside
        assert not list(tmp_path.iterdir())


@other_programs
def test_a_signal_is_the_programs_and_what_passed_is_kept(tmp_path: Path) -> None:
    """A signal ends the program, and the recording of what has passed is kept."""
    waiting = "import os, time; print('created', flush=True); time.sleep(60)"
    created = f"{PROGRAM.partition('while')[0]}\n{waiting}"
    with FakeServer().listen() as upstream:
        body = json.dumps(payload(CONTRACT))
        command = ["--", sys.executable, "-c", created, CREATE, body]
        with start(tmp_path, "--upstream", upstream, *command, environment={"AIMLAPI_KEY": SECRET}) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "created\n"
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert len(read(tmp_path / "session.har")) == 1


@other_programs
@either_way
def test_other_hosts_are_refused_and_named(tmp_path: Path, isolate: str) -> None:
    """Another host is refused and named, and so are other names of the API, and the videos of the real service."""
    staging = f"api-staging.{API.partition('.')[2]}"
    asked = ["http://example.com", f"https://{staging}/", f"https://{MEDIA[0]}/"]
    command = ["sh", "-c", 'for each; do curl -sS "$each"; done; true', "sh", *asked]
    options = ["--isolate", isolate, "--upstream", "http://127.0.0.1:1"]
    code, said, aside = record(tmp_path, *options, "--", *command)
    assert code == 0
    assert "refused a connection to example.com:80: --allow example.com:80 lets it through" in aside
    for host in (staging, MEDIA[0]):
        assert f"refused a request for {host}:443" in aside
        assert f"forwards only to {API}, and the request is for {host}" in said


@other_programs
def test_a_program_gets_no_false_key(tmp_path: Path) -> None:
    """Where no key is set there is none, as without `record`, and no address of a fake."""
    look = "import os; print([name for name in os.environ if name.endswith('_KEY') or name == 'KLING_FAKE_URL'])"
    command = ["--", sys.executable, "-c", look]
    assert record(tmp_path, "--upstream", "http://127.0.0.1:1", *command)[1] == "[]\n"


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[Any, str]]:
    """Run the command in this process, in an empty folder. Return its exit code and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["kling-contract", "record", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capfd.readouterr().err

    return run


@pytest.mark.parametrize(
    ("options", "program", "advice"),
    [
        ([], True, "write either --live"),
        (["--live", "--upstream", "http://127.0.0.1:1"], True, "write either --live"),
        (["--upstream", "http://api.example"], True, "unencrypted"),
        (["--upstream", CONTRACT.base_url], True, "write --live"),
        (["--upstream", CONTRACT.base_url.upper()], True, "write --live"),
        (["--upstream", f"https://{MEDIA[0]}.:8443"], True, "write --live"),
        (["--upstream", "https://api.example/v2"], True, "scheme and host"),
        (["--live", "--output", "nowhere/session.har"], True, "no such folder"),
        (["--upstream", "https://api.example", "--port", "0"], True, "--port goes with no program"),
        ([], False, "-- CMD"),
        (["--live"], False, "-- CMD"),
        (["--upstream", "http://127.0.0.1:1", "--live"], False, "--live is about a program"),
        (["--upstream", "http://127.0.0.1:1", "--allow", "localhost:1"], False, "--allow is about a program"),
    ],
)
def test_wrong_usage_starts_nothing(
    run: Callable[..., tuple[Any, str]], tmp_path: Path, options: list[str], program: bool, advice: str
) -> None:
    """Nothing is started, forwarded or recorded unless it is clear where to; one line says what to write."""
    code, wrong = run(*options, *(["--", "touch", str(tmp_path / "started")] if program else []))
    assert (code, wrong.count("\n")) == (2, 1), wrong
    assert advice in wrong
    assert not list(tmp_path.iterdir())


def test_only_live_reaches_the_service(run: Callable[..., tuple[Any, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """With --live requests go to the API itself, and downloads to their hosts; what is said of connections names them."""
    sent: list[tuple[str, str | None]] = []

    async def upstream(_: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        sent.append((str(request.url.copy_with(path="/")), request.headers.get("authorization")))
        return httpx.Response(404, stream=httpx.ByteStream(b"{}"), headers={"content-type": "application/json"})

    def run_program(command: Any, application: Any, *, hosts: Any, is_fake: bool, **_: Any) -> Ended:
        async def ask() -> None:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(application)) as client:
                for host in (*hosts, "other.example"):
                    await client.get(f"https://{host}/x", headers={"authorization": f"Bearer {SECRET}"})

        monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", upstream)
        asyncio.run(ask())
        assert not is_fake
        return Ended(0, isolated=True, why_not=None, followed=False)

    monkeypatch.setattr("fake_server.programs.program.run_program", run_program)
    code, aside = run("--live", "--", "true")
    assert code == 90  # the API has no such path
    assert sent == [(f"https://{host}/", f"Bearer {SECRET}") for host in (API, *MEDIA)]
    assert f"requests for {API} are forwarded to {CONTRACT.base_url}, which may bill them" in aside
    places = ", ".join(f"{host}:443" for host in (API, *MEDIA))
    assert f"isolation: no connection left this machine, but to {places}\n" in aside
    assert "refused a request for other.example:443" in aside
    assert "1 exchange in session.har" in aside


def test_an_early_request_costs_no_recording(
    run: Callable[..., tuple[Any, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A key that the program finds in its environment is neither shown nor written, even before it was sent as one."""
    request = creating(CONTRACT, payload(CONTRACT, prompt=7, **{SECRET: 1}))

    def run_program(command: Any, application: Any, **_: Any) -> Ended:
        async def ask() -> None:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(application)) as client:
                await client.post(request.url, content=request.body)

        asyncio.run(ask())
        return Ended(0, isolated=False, why_not="this is a test", followed=False)

    monkeypatch.setattr("fake_server.programs.program.run_program", run_program)
    monkeypatch.setenv("AIML_API_KEY", f" {SECRET} ")
    _, aside = run("--upstream", "http://127.0.0.1:1", "--", "true")
    assert "/***" in aside
    assert SECRET not in (tmp_path / "session.har").read_text() + aside
