"""Claims about `kling-contract serve`: what each option does to the fake behind the port, and what is said on the way."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import httpx
import pytest

from fake_server import FakeServer, Request
from fake_server.journal import text
from kling_contract import Contract, revisions
from kling_contract.cli.serve import command
from tests.support import ROOT
from tests.support.calls import KEY, creating, payload, polling

CONTRACT = Contract.load()
END = CONTRACT.observed.timeline.final


@dataclass
class Served:
    """A running `serve`: its URL, what it said about itself, and a client for it."""

    process: subprocess.Popen[str]
    url: str
    said: dict[str, str]
    http: httpx.Client

    def send(self, request: Request) -> httpx.Response:
        target = request.target._replace(scheme="", netloc="").geturl()
        return self.http.request(request.method, target, headers=dict(request.headers), content=request.body)

    def create(self) -> str:
        made = self.send(creating(CONTRACT))
        assert made.status_code == CONTRACT.create.success
        return str(made.json()["id"])

    def status(self, generation_id: str) -> str:
        return str(self.send(polling(CONTRACT, generation_id)).json()["status"])

    def end(self) -> tuple[int, str]:
        """End it as Ctrl-C does. Return its exit code and what it wrote on standard error."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


def run(*options: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kling_contract", "serve", "--port", "0", *map(str, options)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("KLING_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def serving(*options: str | Path) -> Iterator[Served]:
    """Run `serve` on a free port with these options."""
    with run(*options) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            url = first.split()[5]
            said = {}
            for line in process.stdout:
                word, _, rest = line.strip().partition(" ")
                said[word] = rest.strip()
                if word == ("scenario" if "--no-control" in options else "control"):
                    break
            trusted = said.get("trust", "").partition("  ")[0]
            verify = ssl.create_default_context(cafile=trusted) if trusted else False
            with httpx.Client(base_url=url, verify=verify, trust_env=False) as http:
                yield Served(process, url, said, http)
        finally:
            process.kill()


def refused(*options: str | Path) -> str:
    """Run `serve` with what it must refuse. Return the one line that it says."""
    with run(*options) as process:
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    (line,) = errors.splitlines()
    return line


def test_each_option_is_explained() -> None:
    """--help has each option with a sentence, and its default where it has one."""
    shown = command.get_help(click.Context(command, info_name="serve", max_content_width=200))
    for option in command.params:
        assert isinstance(option, click.Option)
        assert option.opts[0] in shown
        assert option.help
        assert option.help.endswith(".")


def test_the_control_path_is_served_and_can_be_left_out() -> None:
    """By default the time is moved over the port; with --no-control there is nothing under /_fake/ but the API's own 404."""
    with serving("--rate", "0") as served:
        made = served.create()
        assert served.said["control"] == f"{served.url}/_fake/health"
        assert served.http.get(served.said["control"]).json()["status"] == "ok"
        assert served.status(made) != END.status
        assert served.http.post("/_fake/clock", json={"advance": END.at}).status_code == 200
        assert served.status(made) == END.status
        assert served.http.get("/_fake/health", headers={"host": "evil.example"}).status_code == 403
        assert served.end() == (0, "")
    with serving("--no-control") as served:
        missing = served.http.get("/_fake/health")
        assert missing.status_code == CONTRACT.observed.refusals.reasons["unknown_path"].status_code
        assert missing.json().keys() == CONTRACT.observed.refusals.body.keys()


@pytest.mark.parametrize("progression", ["immediate", "polls"])
def test_the_progression_is_as_asked(progression: str) -> None:
    """immediate ends at the first poll and polls goes a step with each, whatever the time; the first lines say so."""
    expected = [step.status for step in CONTRACT.observed.timeline.steps]
    with serving("--rate", "0", "--progression", progression) as served:
        made = served.create()
        seen = [served.status(made) for _ in expected]
        assert seen == (expected if progression == "polls" else [END.status] * len(expected))
        assert f"{END.status} at " in served.said["scenario"]


def test_https_is_served_to_whoever_trusts_the_file() -> None:
    """With --tls the URL is https, also those of videos; the certificate to trust is where it says, and gone afterwards."""
    with serving("--tls", "--progression", "immediate") as served:
        trusted = Path(served.said["trust"].partition("  ")[0])
        assert trusted.is_file()
        video = served.send(polling(CONTRACT, served.create())).json()["video"]["url"]
        assert video.startswith(f"{served.url}/")
        assert served.url.startswith("https://")
        assert served.http.get(video).status_code == 200
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(served.url, trust_env=False)
        assert served.end() == (0, "")
        assert not trusted.exists()


def test_the_log_has_a_line_for_each_request() -> None:
    """With --log each request is one line on standard error: time, method, path, status, and what was wrong; never a key.
    Requests to the control path are not in it. Without --log nothing is."""
    with serving("--log", "--rate", "0") as served:
        made = served.create()
        served.http.post("/_fake/clock", json={"advance": 60})
        served.status(made)
        served.send(creating(CONTRACT, {}))
        served.http.get(f"/nowhere?api_key={KEY}")
        code, errors = served.end()
    assert code == 0
    assert KEY not in errors
    lines = errors.splitlines()
    create, get = CONTRACT.create, CONTRACT.get
    expected = [
        (create.method, create.path, create.success),
        (get.method, get.path, get.success),
        (create.method, create.path, CONTRACT.observed.refusals.reasons["invalid_body"].status_code),
        ("GET", "/nowhere", CONTRACT.observed.refusals.reasons["unknown_path"].status_code),
    ]
    assert len(lines) == len(expected)
    for line, (method, path, status) in zip(lines, expected, strict=True):
        assert re.match(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {method} {re.escape(path)}\S*  {status}( |$)", line)
    assert lines[0][:19] < lines[1][:19]
    assert "error /model: " in lines[2]


def test_a_log_line_is_one_line() -> None:
    """Whatever a request holds, its line has nothing in it that a terminal would obey, and has an end."""
    written: list[str] = []
    fake = FakeServer(on_exchange=lambda exchange: written.append(text.line(exchange)))
    wild = "\n\x1b[31m\r\u2028\u202e" + "x" * 10_000
    fake.handle(creating(CONTRACT, payload(CONTRACT, **{wild: wild})))
    fake.handle(creating(CONTRACT, payload(CONTRACT, duration=wild)))
    assert len(written) == 2
    assert all(line.isprintable() and len(line) < 1000 for line in written)


def busy(served: Served, times: int) -> None:
    """Send requests that each make a long line in the log, and check each answer."""
    unknown = CONTRACT.observed.refusals.reasons["unknown_path"].status_code
    for _ in range(times):
        assert served.http.get(f"/nowhere/{'x' * 300}").status_code == unknown


def ended_by_sigterm(served: Served) -> bool:
    """Tell it to end. Return whether it did so by itself, and soon."""
    served.process.terminate()
    return served.process.wait(timeout=3) == 0


def test_a_log_that_nobody_reads_any_more_costs_no_answer() -> None:
    """With --log and standard error closed by its reader, as `| head` does it, each call is answered and billed as ever;
    standard output says once that nothing more is logged."""
    with serving("--log", "--rate", "0") as served:
        assert served.process.stderr is not None
        busy(served, 1)
        served.process.stderr.readline()
        served.process.stderr.close()
        made = [served.create() for _ in range(5)]
        assert [served.status(each) for each in made] == [CONTRACT.observed.timeline.steps[0].status] * len(made)
        assert served.http.get("/_fake/ledger").json()["total"] == len(made)
        assert ended_by_sigterm(served)
        assert served.process.stdout is not None
        (said,) = served.process.stdout
        assert "nothing more is logged" in said


def test_a_log_that_is_not_read_stops_nothing() -> None:
    """With --log and far more lines than a pipe holds, unread, calls are answered, and SIGTERM ends the server."""
    with serving("--log", "--rate", "0") as served:
        busy(served, 1_300)
        assert served.status(served.create()) == CONTRACT.observed.timeline.steps[0].status
        assert ended_by_sigterm(served)
        assert served.process.stderr is not None
        assert 0 < len(served.process.stderr.readlines()) < 1_300


def test_a_log_that_is_read_late_says_what_is_missing() -> None:
    """When an unread log is read again it goes on, and says once how many lines were dropped."""
    with serving("--log", "--rate", "0") as served:
        busy(served, 1_300)
        errors: list[str] = []
        stream = served.process.stderr
        assert stream is not None
        reader = threading.Thread(target=lambda: errors.extend(stream))
        reader.start()
        while not any("missing here" in line for line in errors):
            time.sleep(0.01)
        served.create()
        assert ended_by_sigterm(served)
        reader.join(30)
    (told,) = (line for line in errors if "missing here" in line)
    number = re.search(r"([\d,]+) lines of the log are missing here", told)
    assert number is not None
    assert len(errors) - 1 + int(number[1].replace(",", "")) == 1_301
    operation = CONTRACT.create
    assert f"{operation.method} {operation.path}" in errors[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="a pipe can be made small on Linux only")
def test_warnings_that_nobody_reads_stop_nothing() -> None:
    """Without --log, too: more warnings of the web server than a pipe holds keep no answer back, and no SIGTERM."""
    fcntl = pytest.importorskip("fcntl")
    with serving("--rate", "0") as served:
        assert served.process.stderr is not None
        fcntl.fcntl(served.process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        address = urlsplit(served.url)
        for _ in range(300):
            with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
                connection.sendall(b"no HTTP\r\n\r\n")
                assert connection.recv(100)
        served.create()
        assert ended_by_sigterm(served)
        assert "Invalid HTTP request" in served.process.stderr.readline()


def test_no_standard_error_is_needed() -> None:
    """Started with standard error closed, it serves, and what it would log goes nowhere."""
    command = f"exec {shlex.join([sys.executable, '-m', 'kling_contract', 'serve', '--port', '0', '--log'])} 2>&-"
    with subprocess.Popen(["sh", "-c", command], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[5]
            assert httpx.get(f"{url}/_fake/health", trust_env=False).status_code == 200
            assert httpx.get(f"{url}/nowhere", trust_env=False).headers["x-fake-reason"]
        finally:
            process.terminate()
        assert process.wait(timeout=3) == 0


def test_state_outlives_the_server(tmp_path: Path) -> None:
    """With --state a server that was ended and begun again knows its generations, and goes on with them."""
    state = tmp_path / "kling.state"
    with serving("--state", state, "--rate", "0") as served:
        made = served.create()
        served.http.post("/_fake/clock", json={"advance": 5})
        now = served.http.get("/_fake/clock").json()["now"]
        assert served.end() == (0, "")
        assert list(tmp_path.iterdir()) == [state]
    with serving("--state", state, "--rate", "0") as served:
        assert served.said["state"].startswith(f"{state}: 1 ")
        assert served.http.get("/_fake/clock").json()["now"] == now
        served.http.post("/_fake/clock", json={"advance": END.at})
        assert served.status(made) == END.status
        assert "another fake is using it" in refused("--state", state)
        assert served.end() == (0, "")
    other = next(name for name in revisions() if name != CONTRACT.revision.id)
    assert f"revision {CONTRACT.revision.id}" in refused("--state", state, "--revision", other)
    state.write_text("to be, or not to be")
    assert "not a state file" in refused("--state", state)
    assert state.read_text() == "to be, or not to be"


@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_limit_can_be_moved(chunked: bool) -> None:
    """A body of just the limit is read, and one of a byte more refused as the service does, declared or in chunks."""
    limit = 2**18
    with serving("--body-limit", str(limit / 2**20)) as served:
        request = creating(CONTRACT)
        reasons = CONTRACT.observed.refusals.reasons
        taken = CONTRACT.create.success
        for size, status in ((limit, taken), (limit + 1, reasons["too_large"].status_code)):
            body = request.body + b" " * (size - len(request.body))
            content: Any = iter([body[:1000], body[1000:]]) if chunked else body
            answer = served.http.post(request.target.path, headers=dict(request.headers), content=content)
            assert answer.status_code == status
        assert f"{limit:,} bytes" in answer.headers["x-fake-reason"]


def test_by_default_32_megabytes_are_taken() -> None:
    """Without the option the limit is 32 MB, in Python and on the command line."""
    defaults = {option.name: option.default for option in command.params}
    assert defaults["body_limit"] == 32.0
    assert FakeServer().body_limit == 32 * 2**20


@pytest.mark.parametrize(
    "option",
    [
        "--body-limit=0",
        "--body-limit=inf",
        "--body-limit=nan",
        "--body-limit=1e9",
        "--progression=never",
        "--rate=-1",
        "--rate=nan",
        "--rate=inf",
        "--rate=1e308",
    ],
)
def test_an_option_that_cannot_be_is_refused(option: str) -> None:
    """A value that makes no sense is refused in one line with the name of its option."""
    assert option.partition("=")[0] in refused(option)
