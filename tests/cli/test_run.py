"""Claims about `kling-contract run`: what a program meets, what is its own, and what is said afterwards."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fake_server.scenario.scenario import scenarios
from kling_contract import Contract
from tests.support import ROOT
from tests.support.calls import payload

CONTRACT = Contract.load()
CREATE = f"{CONTRACT.base_url}{CONTRACT.create.path}"
SECRET = "sk-a-secret-that-nobody-may-see"
POST = """
import json, os, sys, urllib.request
key = os.environ["AIMLAPI_KEY"]
headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), headers)
print(json.load(urllib.request.urlopen(request))["status"], key)
"""
other_programs = pytest.mark.other_programs
either_way = pytest.mark.parametrize("isolate", ["auto", "off"])


def run(
    *arguments: str | Path, environment: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command, with an environment in which no key is set."""
    variables = {name: value for name, value in os.environ.items() if not name.endswith("_KEY")}
    return subprocess.run(
        [sys.executable, "-m", "kling_contract", "run", *arguments],
        cwd=ROOT,
        env=variables | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def creating(url: str = CREATE, body: Any = None, *, code: str = POST) -> list[str]:
    """Return a program that creates a generation."""
    return [sys.executable, "-c", code, url, json.dumps(body or payload(CONTRACT))]


def test_a_program_creates_and_pays_nothing() -> None:
    """An unedited program creates a generation at the API's own address; the summary says what it did, and what it would cost."""
    done = run("--", *creating())
    assert (done.returncode, done.stdout) == (0, "queued a-false-key\n"), done.stderr
    assert done.stderr.startswith("kling-contract: 1 exchange, no violations")
    assert f"{CONTRACT.price(5):,}" in done.stderr.replace(",", ",")
    assert "1 never polled" in done.stderr


@other_programs
@either_way
def test_what_is_known_of_other_connections_is_said(isolate: str) -> None:
    """With a namespace it is a fact that nothing left this machine; without one the summary says what is not guaranteed."""
    done = run("--isolate", isolate, "--", "true")
    fact = "no connection left this machine: it could not" in done.stderr
    assert fact != ("not guaranteed" in done.stderr)
    assert fact or isolate == "off" or "(" in done.stderr
    assert "no request reached the fake" in done.stderr


@other_programs
@pytest.mark.parametrize("command", [["sh", "-c", "exit 7"], ["sh", "-c", "kill -TERM $$"], ["no-such-program"]])
def test_the_exit_code_is_the_programs_own(command: list[str]) -> None:
    """The exit code is that of the program; 128 and the signal that ended it; 127 if there is none."""
    assert run("--", *command).returncode == {"exit 7": 7, "kill -TERM $$": 143}.get(command[-1], 127)


@other_programs
def test_what_cannot_be_executed_is_126(tmp_path: Path) -> None:
    """A file that cannot be executed gives 126 and one line, also where its path has blanks."""
    file = tmp_path / "a file"
    file.touch()
    for options in ([], ["--quiet"]):
        done = run(*options, "--", file)
        assert done.returncode == 126
        assert len(done.stderr.splitlines()) == 1
        assert "a file" in done.stderr


@other_programs
@either_way
def test_other_hosts_are_refused_and_named(isolate: str) -> None:
    """A request to another host fails, is named once at once and again in the summary, and fails the run if told to."""
    program = ["sh", "-c", "curl -sS http://example.com; curl -sS http://example.com; true"]
    done = run("--isolate", isolate, "--fail-on", "escape", "--", *program)
    assert done.returncode == 90
    assert done.stderr.count("refused a connection to example.com:80: --allow example.com:80 lets it through") == 1
    assert "example.com:80 (refused, 2 times)" in done.stderr


@other_programs
def test_another_name_of_the_api_is_told_of_its_mistake() -> None:
    """A program that calls another name under the API's domain is told that the fake does not stand for it."""
    done = run("--", "curl", "-sSi", "http://api-staging.aimlapi.com/")
    assert done.stdout.startswith("HTTP/1.1 4")
    assert "api-staging.aimlapi.com" in done.stdout


@other_programs
@pytest.mark.parametrize("passing", [["fast"], ["rate", "--rate", "600"], ["polls"]], ids=str)
def test_no_program_waits(passing: list[str], tmp_path: Path) -> None:
    """However time passes, a program that polls every ten seconds has its video after a few."""
    code = (
        POST.rpartition("\n")[0].rpartition("\n")[0]
        + """
import time
made = json.load(urllib.request.urlopen(request))["id"]
polls = 0
while True:
    polls += 1
    url = f"{sys.argv[1]}?generation_id={made}"
    found = json.load(urllib.request.urlopen(urllib.request.Request(url, None, headers)))
    if found["status"] == "completed":
        break
    time.sleep(float(sys.argv[3]))
assert len(urllib.request.urlopen(found["video"]["url"]).read()) > 1000
print("done")
"""
    )
    pause = "10" if passing[0] == "fast" else "0.02"
    done = run("--time", *passing, "--report", f"json={tmp_path / 'report'}", "--", *creating(code=code), pause)
    assert done.stdout == "done\n", done.stderr
    assert json.loads((tmp_path / "report").read_text())["run"]["ends"] == {"succeeded": 1}


IMPATIENT = """
import http.client, json, sys, time, urllib.parse, urllib.request
import httpx, requests
_, url, body, library = sys.argv
headers = {"authorization": "Bearer a-false-key", "content-type": "application/json"}
def by_http_client():
    connection = http.client.HTTPSConnection(urllib.parse.urlsplit(url).netloc, timeout=30)
    connection.request("POST", urllib.parse.urlsplit(url).path, body, headers)
    return connection.getresponse().status
def by_urllib():
    return urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=30).status
def by_requests():
    return requests.post(url, body, headers=headers, timeout=30).status_code
def by_httpx():
    return httpx.post(url, content=body, headers=headers, timeout=30).status_code
began = time.monotonic()
for _ in range(3):
    try:
        print(globals()["by_" + library](), round(time.monotonic() - began, -1))
        break
    except (OSError, httpx.ReadTimeout) as error:
        print("timed out" in str(error), round(time.monotonic() - began, -1))
"""


@other_programs
@pytest.mark.parametrize(
    ("library", "isolate"),
    [("http_client", "auto"), ("urllib", "auto"), ("requests", "auto"), ("httpx", "auto"), ("httpx", "off")],
)
def test_an_impatient_program_pays_twice(library: str, isolate: str) -> None:
    """A client whose read timeout is shorter than a reply takes gives up as soon as it would in reality, and pays again."""
    program = [*creating(code=IMPATIENT), library]
    done = run("--scenario", "slow-to-accept", "--isolate", isolate, "--", *program)
    assert done.stdout == f"True 30.0\n{CONTRACT.create.success} 30.0\n", done.stderr
    assert "created twice 1" in done.stderr


@other_programs
def test_a_program_that_backs_off_does_not_wait(tmp_path: Path) -> None:
    """A program that waits for two minutes before it repeats a refused request does that at once, too."""
    code = POST.replace(
        "\nprint(", "\nimport time\ntry: urllib.request.urlopen(request)\nexcept OSError: time.sleep(120)\nprint("
    )
    began = time.monotonic()
    done = run("--scenario", "refused-once", "--", *creating(code=code))
    assert done.stdout == "queued a-false-key\n", done.stderr
    assert time.monotonic() - began < 60


@other_programs
def test_no_key_is_shown_or_written(tmp_path: Path) -> None:
    """A key in the environment reaches the program, and neither standard error nor any report."""
    formats = ("text", "json", "github", "sarif", "junit", "har")
    reports = [f"--report={name}={tmp_path / name}" for name in formats]
    done = run("--log", *reports, "--", *creating(), environment={"AIMLAPI_KEY": SECRET})
    assert done.stdout == f"queued {SECRET}\n"
    written = [done.stderr, *(path.read_text() for path in tmp_path.iterdir())]
    assert len(written) == len(formats) + 1
    assert all(written)
    assert not [text for text in written if SECRET in text]


@other_programs
@pytest.mark.parametrize(("fail_on", "code"), [([], 0), (["error"], 90), (["warning"], 90), (["escape"], 0)])
def test_a_violation_can_fail_the_run(fail_on: list[str], code: int) -> None:
    """A program that ends with 0 although its request broke the contract fails with 90 if --fail-on says so, else not."""
    program = POST.replace("urllib.request.urlopen(request)", "os.popen('echo \\'{\"status\": 1}\\'')")
    program = f"{POST.rpartition('print')[0]}\ntry: urllib.request.urlopen(request)\nexcept OSError: pass\n"
    options = [f"--fail-on={each}" for each in fail_on]
    done = run(*options, "--", *creating(body={**payload(CONTRACT), "prompt": 7}, code=program))
    assert done.returncode == code
    assert "/prompt" in done.stderr


@other_programs
@either_way
def test_the_users_own_preloads_go_on(tmp_path: Path, isolate: str) -> None:
    """What the user has in PYTHONPATH, NODE_OPTIONS and NO_COLOR arrives, also a sitecustomize of the user's own."""
    (tmp_path / "sitecustomize.py").write_text("import os; 'KLING_CONTRACT_RUN' in os.environ and print('own')")
    (tmp_path / "module.py").write_text("print('module')")
    environment = {"PYTHONPATH": str(tmp_path), "NODE_OPTIONS": "--no-warnings", "MARK": "x"}
    code = "import module, os; print(os.environ['NODE_OPTIONS'].split()[0], os.environ['MARK'])"
    done = run("--isolate", isolate, "-q", "--", sys.executable, "-c", code, environment=environment)
    assert done.stdout.split() == ["own", "module", "--no-warnings", "x"], done.stderr


@other_programs
def test_a_folder_with_blanks_does_no_harm(tmp_path: Path) -> None:
    """A temporary folder whose name has blanks is usable, for every variable that names it."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    done = run("-q", "--", *creating(), environment={"TMPDIR": str(folder)})
    assert done.returncode == 0, done.stderr
    assert not list(folder.iterdir())


@other_programs
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a folder that nobody can write")
def test_an_unusable_folder_is_said_in_one_line() -> None:
    """Where no temporary file can be written, one line says so, and the program is not started."""
    code = "import tempfile; tempfile.tempdir = '/proc'; from kling_contract.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "--", "echo", "started"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


@other_programs
@either_way
def test_nothing_is_left_when_it_is_killed(isolate: str, tmp_path: Path) -> None:
    """After SIGKILL of `run` neither the program nor its temporary folder is there any more."""
    command = [
        sys.executable,
        "-m",
        "kling_contract",
        "run",
        "--isolate",
        isolate,
        "--",
        "sh",
        "-c",
        "echo $$; exec sleep 60",
    ]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert list(tmp_path.iterdir())
        process.kill()
    end = time.monotonic() + 10
    while (list(tmp_path.iterdir()) or _runs(pid)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not list(tmp_path.iterdir())
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@other_programs
def test_a_program_is_exercised() -> None:
    """With --exercise the program is run once in each scenario, and the table says how each run ended."""
    done = run("--exercise", "--time", "polls", "--", *creating())
    lines = done.stdout.splitlines()
    ended = {line[2:].split()[0]: line[2:].split()[1] for line in lines[1:] if not line.startswith("!")}
    assert done.returncode == 0, done.stderr
    assert set(ended) == set(scenarios())
    assert (ended["happy"], ended["unauthorized"]) == ("finished", "failed")
    assert "exit code 1: urllib.error.HTTPError" in done.stdout


def test_no_key_is_in_the_last_line_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program wrote last is shown without the key that it has from our environment, however long its output is."""
    from kling_contract.cli.run import _TAIL, _last_line

    monkeypatch.setenv("AIMLAPI_KEY", SECRET)
    for written, shown in {
        f"first\nno {SECRET} here\n\n": "no ",
        f"{'x' * _TAIL}{SECRET}{'x' * (_TAIL - len(SECRET) // 2)}": "",
        "": "",
    }.items():
        last = _last_line(io.BytesIO(written.encode()))
        assert last.startswith(shown)
        assert bool(last) == bool(shown)
        assert SECRET[-5:] not in last


@pytest.mark.parametrize("place", ["", "host", "host:", ":1", "host:0", "host:65536", "host:1x"])
def test_a_place_is_host_and_port(place: str) -> None:
    """--allow refuses what is no host and port, and says what is."""
    from click.testing import CliRunner

    from kling_contract.cli.run import command

    done = CliRunner().invoke(command, ["--allow", place, "--", "true"])
    assert done.exit_code == 2
    assert "HOST:PORT" in done.output
