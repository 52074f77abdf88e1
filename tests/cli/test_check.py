"""Claims about `kling-contract check`: its exit codes, its reports, and what it asks before anything is paid for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_server import FakeServer
from fake_server.adapters.listen import listen
from kling_contract.checks.plan import CLAIMS, EXPLORATIONS
from kling_contract.cli import cli
from kling_contract.contract import Contract, revisions
from tests.checks.test_findings import ASSUMED, Otherwise
from tests.support.broken_fakes import broken_named
from tests.support.targets import KEY, in_process, served

CONTRACT = Contract.load()
FREE = [claim for claim in CLAIMS if claim.free]


def kling_check(*arguments: str, key: str | None = KEY) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli, ["check", *arguments], env={"AIMLAPI_KEY": key})


def test_exit_codes() -> None:
    """0: kept, 1: broken, 2: wrong usage, 3: unreachable."""
    with served() as (url, _):
        assert kling_check(url).exit_code == 0
        assert kling_check(url, "--spend", "1").exit_code == 2
        assert kling_check(url, "--spend", "1", "--allow-create").exit_code == 2
        assert kling_check(url, "--remote", key=None).exit_code == 2
        assert kling_check(url, "--report", "html=x").exit_code == 2
        assert kling_check().exit_code == 2
        assert kling_check(url, "--revision", "1999-01-01").exit_code != 0
        assert kling_check(url, key="another-key").exit_code == 3
    with served(strictness="off") as (url, _):
        assert kling_check(url).exit_code == 1
        assert kling_check(url.replace("http:", "https:")).exit_code == 3
    assert kling_check("http://127.0.0.1:9").exit_code == 3


@pytest.mark.parametrize("options", [[], ["--spend", "1"], ["--revision", "all"], ["--allow-create"]])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("foo", "scheme"),
        ("localhost:8080", "scheme"),
        ("http://localhost:99999", "not a URL"),
        ("http://me:secret@localhost", "no user name"),
        ("https://api.example.com", "--remote"),
    ],
)
def test_a_url_that_cannot_be_asked_is_wrong_usage(url: str, said: str, options: list[str]) -> None:
    """A URL that cannot be asked, whatever a server does, is wrong usage (2); it is said before a price is."""
    refused = kling_check(url, *options)
    assert refused.exit_code == 2
    assert said in refused.output
    assert "secret" not in refused.output
    assert "cost" not in refused.output


def test_the_cost_is_told_before_it_is_paid() -> None:
    """Without --yes nobody pays where nobody can be asked, and the documented cost is told."""
    with served() as (url, fake):
        refused = kling_check(url, "--spend", "2")
        assert not len(fake.journal)
        assert f"{2 * (CONTRACT.price(5) or 0):,.0f} {CONTRACT.observed.price.unit}" in refused.output
        assert kling_check(url, "--spend", "1", "--yes").exit_code == 0
        assert len(fake.generations) == 1


def test_the_model_is_what_is_asked_for() -> None:
    """With --model the creates are of that model, the report names it, and an unknown price is called so."""
    latest = Contract.load("latest")
    model = next(model for model in latest.models if latest.for_model(model).price(5) is None and "avatar" in model)
    with served(revision="latest") as (url, fake):
        asked = ("--revision", "latest", "--model", model)
        assert "cost an unknown price" in kling_check(url, *asked, "--spend", "1").output
        done = kling_check(url, *asked, "--spend", "1", "--yes")
        assert done.exit_code == 0
        assert model in done.output
        assert [generation.model for generation in fake.generations.values()] == [model]
        free = json.loads(kling_check(url, *asked, "--format", "json").stdout)
        assert free["model"] == model


def test_only_the_revisions_of_a_model_are_tried() -> None:
    """--revision all with --model tries the revisions that have the model."""
    model = next(model for model in Contract.load("latest").models if model not in CONTRACT.models)
    with served(revision="latest") as (url, _):
        told = json.loads(kling_check(url, "--revision", "all", "--model", model, "--format", "json").stdout)
    assert list(told["revisions"]) == [name for name in revisions() if model in Contract.load(name).models]


@pytest.mark.parametrize("format_", ["text", "json", "junit", "sarif", "github"])
def test_every_format_shows_a_finding_and_no_key(format_: str, tmp_path: Any) -> None:
    """Each format, on the terminal and in a file, names the broken claim and how to ask again, without the key."""
    path = tmp_path / "report"
    with listen(broken_named("echoes_key").fake().asgi) as url:
        shown = kling_check(str(url), "--format", format_, "--report", f"{format_}={path}", "--seed", "1")
    assert shown.exit_code == 1
    text = path.read_text()
    assert text.strip() == shown.output.strip()
    assert "refusals-are-well-formed" in text
    assert "curl" in text
    assert "repeats the key" in text
    assert KEY not in text
    if format_ in ("json", "sarif"):
        json.loads(text)


def test_reports_of_what_is_kept(tmp_path: Any) -> None:
    """Several reports are written at once; a JUnit report has a case for each claim, and none that failed."""
    from junitparser import JUnitXml

    with served() as (url, _):
        done = kling_check(url, "--report", f"junit={tmp_path / 'a.xml'}", "--report", f"json={tmp_path / 'a.json'}")
    assert done.exit_code == 0
    assert "10 kept" in done.output
    suites = JUnitXml.fromfile(str(tmp_path / "a.xml"))
    assert (suites.tests, suites.failures, suites.errors, suites.skipped) == (len(FREE), 0, 0, 1)
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["summary"] == {"kept": len(FREE) - 1, "broken": 0, "not_as_assumed": 0, "skipped": 1}


@pytest.mark.parametrize("path", ["folder", "no/such/folder", "file/x"])
def test_a_report_that_cannot_be_opened_costs_nothing(path: str, tmp_path: Any) -> None:
    """A report that cannot be written is wrong usage before anything is asked or paid for."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with served() as (url, fake):
        refused = kling_check(url, "--spend", "1", "--yes", "--report", f"junit={tmp_path / path}")
        assert len(fake.journal) == 0
    assert refused.exit_code == 2
    assert path in refused.output.replace("\n", "")


def test_a_report_that_fails_loses_no_other(tmp_path: Any) -> None:
    """Where a report cannot be written after all, that is said, and the one on the terminal and the others are there."""
    path = tmp_path / "a.json"
    path.write_text("x" * 100_000)
    with served() as (url, fake):
        reports = ("--report", "junit=/dev/full", "--report", f"json={path}")
        done = kling_check(url, "--spend", "1", "--yes", *reports)
        assert len(fake.generations) == 1
    assert done.exit_code == 1
    assert "/dev/full: " in done.stderr
    assert f"{len(FREE) + 1} kept" in done.stdout
    assert json.loads(path.read_text())["summary"]["broken"] == 0


def test_everything_is_checked_and_nothing_is_left_behind(tmp_path: Any) -> None:
    """With --allow-create everything is checked, and the command leaves no file where it was called."""
    with served() as (url, _):
        program = (
            "from kling_contract import cli; from kling_contract.checks.runner import CheckRun; "
            "CheckRun.__init__.__kwdefaults__['examples'] = 4; cli.main()"
        )
        arguments = [sys.executable, "-c", program, "check", url, "--allow-create"]
        environment = {**os.environ, "AIMLAPI_KEY": KEY, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(CLAIMS) + len(EXPLORATIONS)} kept" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("revision", [*revisions()[::2], Contract.load("latest").revision.id])
def test_which_revision_a_server_speaks(revision: str) -> None:
    """With --revision all the one that a server speaks is among the best matches, and is the one that is reported."""
    with served(revision=revision) as (url, _):
        told = kling_check(url, "--revision", "all", "--format", "json", "--seed", "0")
    found = json.loads(told.output)
    assert told.exit_code == 0
    assert found["revisions"][revision] == 0 == found["revisions"][found["revision"]]
    assert list(found["revisions"]) == list(revisions())


def test_a_seed_repeats_a_run() -> None:
    """Two runs with one seed send the same, and another seed something else."""

    def bodies(seed: str) -> list[bytes]:
        with served() as (url, fake):
            kling_check(url, "--seed", seed)
            return [each.request.body for each in fake.journal]

    assert bodies("1") == bodies("1") != bodies("2")


def test_a_recording_is_checked(tmp_path: Any) -> None:
    """With --har a recording is checked without any server."""
    fake = FakeServer(api_key=KEY)
    target = in_process(fake)
    target.poll(target.generation(target.create(), target.creation).id)
    path = tmp_path / "session.har"
    path.write_text(json.dumps(fake.journal.har()))
    assert kling_check("--har", str(path)).exit_code == 0
    assert kling_check("--har", str(path), "--revision", "all").output.startswith("* ")
    target.create({**target.minimal_payload(), "duration": 7})
    path.write_text(json.dumps(fake.journal.har()))
    refused = kling_check("--har", str(path))
    assert refused.exit_code == 1
    assert "/duration" in refused.output
    assert kling_check("--har", str(path), "http://localhost").exit_code == 2


def test_assumptions_are_warnings() -> None:
    """A broken assumption does not fail a check, unless --fail-on says so; the summary tells it from a broken claim."""
    with listen(Otherwise(api_key=KEY).asgi) as url:
        lenient, strict = kling_check(str(url), "--seed", "0"), kling_check(str(url), "--fail-on", "warning")
        report = json.loads(kling_check(str(url), "--format", "json").output)
    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    findings = [finding for result in report["results"] for finding in result["findings"]]
    assert [line.startswith("assumed   ") for line in lenient.output.splitlines()].count(True) == len(findings)
    assert f"{len(ASSUMED)} not as assumed" in lenient.output
    assert f"{len(ASSUMED)} broken" in strict.output
    assert report["summary"]["not_as_assumed"] == len(ASSUMED)


def test_a_fake_that_takes_any_key_is_told_how_to_take_one() -> None:
    """The finding on a fake without a key says with which option it is given one."""
    with FakeServer().listen() as url:
        done = kling_check(str(url))
    assert done.exit_code == 1
    assert "other-keys-are-refused" in done.output
    assert "--api-key" in done.output
