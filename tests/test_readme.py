"""Claims about the documentation: what it shows works, and what there is it names."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fake_server import FakeServer
from fake_server.scenario.scenario import scenarios
from kling_contract import Contract, cli, revisions
from kling_contract.cli.validate import command as validate_command
from tests.support import ROOT
from tests.support.broken_fakes import BROKEN, FOR_FREE

pytest_plugins = ["pytester"]

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_all_python_in_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python of the README runs from top to bottom, as one program, and prints what the README says it prints."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "readme"}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
        for name in [name for name in names if name.startswith("test_")]:
            test = names.pop(name)
            if hasattr(test, "pytestmark"):
                continue  # it needs fixtures: the next test runs it
            test()
    printed = capsys.readouterr().out
    (shown,) = blocks("text")
    assert shown in printed
    assert (tmp_path / "clip.mp4").stat().st_size > 0


def test_all_python_in_the_readme_is_typed(tmp_path: Path) -> None:
    """A type checker finds nothing wrong with the Python of the README, read as one program."""
    program = tmp_path / "readme.py"
    program.write_text("\n".join(["# mypy: allow-untyped-defs", *blocks("python")]))
    checked = subprocess.run([sys.executable, "-m", "mypy", program], cwd=ROOT, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_the_pytest_example_in_the_readme_runs(pytester: pytest.Pytester) -> None:
    """The example with fixtures and marker passes as a test module of its own."""
    (example,) = [block for block in blocks("python") if "@pytest.mark.kling" in block]
    pytester.makepyfile(example)
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio").assert_outcomes(passed=1)


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line that the README shows of the demo is one that the demo prints."""
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(cli.cli, ["demo"]).output.splitlines()
    (block,) = [block for block in blocks("console") if "make demo" in block]
    shown = [line for line in block.splitlines()[1:] if line.strip() != "…"]
    assert len(shown) > 3
    assert set(shown) <= set(printed)


def test_every_shipped_scenario_is_counted() -> None:
    """The README says how many scenarios there are, and names only such as there are."""
    assert f"{len(scenarios())} are shipped" in README
    for name in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", README):
        assert name in scenarios() or name.startswith(("kling-contract", "x-", "create-"))


def test_what_a_free_check_finds_is_counted() -> None:
    """The README says how many kinds of broken servers a free check finds, and how many there are."""
    warned = sum(severity == "warning" for severity in FOR_FREE.values())
    assert f"{len(FOR_FREE)} of the {len(BROKEN)} kinds" in README
    assert warned == 3
    assert "three of them as warnings" in README


def test_every_command_is_documented() -> None:
    """Every command stands in the table of the README, and no other."""
    documented = re.findall(r"^\| `kling-contract (\w+)", README, flags=re.MULTILINE)
    assert sorted(documented) == sorted(cli._COMMANDS)


def test_every_revision_is_documented() -> None:
    """Every revision stands in the table of the README, and no other."""
    assert tuple(re.findall(r"^\| `(\d{4}-\d\d-\d\d)`", README, flags=re.MULTILINE)) == revisions()


@pytest.mark.parametrize("line", re.findall(r"^\$ (kling-contract .*)$", README, flags=re.MULTILINE))
def test_shown_commands_are_understood(line: str) -> None:
    """Every command line of the README is one that the program takes."""
    _, name, *arguments = shlex.split(line, comments=True)
    command = cli.cli.get_command(cli.cli.make_context("kling-contract", ["--help"], resilient_parsing=True), name)
    assert command is not None
    command.make_context(name, arguments, resilient_parsing=False)


def published() -> dict[str, dict[str, Any]]:
    """Return the provider's pages of the newest revision by their paths: one operation each, and no word of aliases."""
    whole = Contract.load("latest").bundled()
    pages: dict[str, dict[str, Any]] = {}
    names = {"post": "Kling-AI/v1-pro-image-to-video.json", "get": "universal-video-fetch.json"}
    for method, name in names.items():
        (path,) = whole["paths"]
        operation = {**whole["paths"][path][method], "operationId": "_of_the_path"}
        pages[name] = {**whole, "paths": {path: {method: operation}}}
    return pages


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder as the CI examples expect it, with a fake in place of the service; its URL."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIMLAPI_KEY", "a-key-for-the-fake")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "payloads").mkdir()
    for example in (ROOT / "fixtures" / "requests" / "valid" / Contract.load().revision.id).glob("*.json"):
        shutil.copy(example, tmp_path / "payloads")
    for name, page in zip(("create.json", "poll.json"), published().values(), strict=True):
        (tmp_path / name).write_text(json.dumps(page))
    with FakeServer(api_key="a-key-for-the-fake").listen() as url:
        monkeypatch.setenv("KLING_URL", url)
        yield url


def test_the_shell_example_runs(project: str) -> None:
    """The shell commands of the README run as they stand, with a fake as the server, and write their reports."""
    (script,) = blocks("sh")
    subprocess.run(["bash", "-euc", script], check=True, capture_output=True)
    assert Path("check.xml").stat().st_size > 0
    assert json.loads(Path("check.sarif").read_text())["version"] == "2.1.0"


def test_the_workflow_example_runs(project: str) -> None:
    """Each command of the workflow runs, with a fake and a folder in place of the service and the provider's pages.

    What is uploaded is there afterwards.
    """
    (text,) = [block for block in blocks("yaml") if "schedule" in block]
    (job,) = yaml.safe_load(text)["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "kling-contract " in step.get("run", "")]
    for name, page in published().items():
        Path("pages", name).parent.mkdir(parents=True, exist_ok=True)
        Path("pages", name).write_text(json.dumps(page))
    elsewhere = r"https://raw\.githubusercontent\.com/\S+"
    assert len(re.findall(elsewhere, "\n".join(commands))) == 1
    for command in commands:
        here = command.replace("--live ", "").replace(Contract.load().base_url, project)
        here = re.sub(elsewhere, Path("pages").resolve().as_uri(), here)
        subprocess.run(["bash", "-eo", "pipefail", "-c", here], check=True, capture_output=True)
    (upload,) = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    for name in upload["with"]["path"].splitlines():
        assert Path(name).stat().st_size > 0


def test_the_hook_judges_payload_files(tmp_path: Path) -> None:
    """The pre-commit hook runs the validator, on files that look like payloads by default."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert re.search(hook["files"], "tests/my-kling-request.json")
    assert not re.search(hook["files"], "package.json")
    program, name = hook["entry"].split()
    assert (program, cli.cli.get_command(None, name)) == ("kling-contract", validate_command)  # type: ignore[arg-type]
    payload = tmp_path / "kling.json"
    payload.write_text("{}")
    assert CliRunner().invoke(validate_command, [str(payload)]).exit_code == 1
    (config,) = [block for block in blocks("yaml") if "repos:" in block]
    assert yaml.safe_load(config)["repos"][0]["hooks"][0]["id"] == hook["id"]
