"""Claims about every page of the documentation: what it shows runs, and what it points to is there."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fake_server import FakeServer
from fake_server.scenario.scenario import scenarios
from kling_contract import cli
from tests.docs.pages import PAGES, Command, Page, page, run_script
from tests.support import ROOT

pytest_plugins = ["pytester"]

WITH_PYTHON = [page for page in PAGES if page.blocks("python")]
SCRIPTS = [
    pytest.param(script, id=f"{page.name}-{number}")
    for page in PAGES
    for number, script in enumerate(page.blocks("sh"))
]
COMMANDS = [pytest.param(command, id=f"{page.name}-{command.line}") for page in PAGES for command in page.commands]
ELSEWHERE = ("git clone", "pip install", "ffmpeg")  # what test_ci.py runs, and how a picture was made


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_all_python_runs(page: Page, pytester: pytest.Pytester) -> None:
    """The Python of a page is a test module that passes, without a warning, in an empty folder."""
    pytester.makepyfile(test_page=page.program)
    result = pytester.runpytest_inprocess("-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio")
    outcomes = result.parseoutcomes()
    tests = len(re.findall(r"^(?:async )?def test_|^Test\w+ =", page.program, flags=re.MULTILINE))
    assert result.ret == (pytest.ExitCode.OK if tests else pytest.ExitCode.NO_TESTS_COLLECTED)
    assert outcomes.get("passed", 0) >= tests
    assert set(outcomes) <= {"passed", "skipped"}


def test_all_python_is_typed(tmp_path: Path) -> None:
    """A type checker finds nothing wrong with the Python of the pages."""
    programs = []
    for number, shown in enumerate(WITH_PYTHON):
        programs.append(tmp_path / f"page_{number}.py")
        programs[-1].write_text(f"# mypy: allow-untyped-defs, allow-untyped-calls\n{shown.program}")
    checked = subprocess.run([sys.executable, "-m", "mypy", *programs], cwd=ROOT, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_all_shell_scripts_run(script: str, tmp_path: Path) -> None:
    """A shell block ends well, with a fake at $KLING_URL, and fails at its first command that fails."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with FakeServer().listen() as url:
        run_script(script.replace("8099", port), cwd=tmp_path, KLING_URL=url)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_lines_are_understood(command: Command) -> None:
    """Each command line is one that the program, or the Makefile, takes."""
    if command.line.startswith(ELSEWHERE):
        return
    program, name, *arguments = shlex.split(command.line)
    if program == "make":
        assert f"\n{name}:" in (ROOT / "Makefile").read_text()
    elif program != "cat":
        assert program == "kling-contract"
        found = cli.cli.get_command(cli.cli.make_context(program, ["--help"], resilient_parsing=True), name)
        assert found is not None
        found.make_context(name, arguments, resilient_parsing=False)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(command.shown for command in page.commands)], ids=lambda page: page.name
)
def test_commands_print_what_is_shown(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line that is shown below a command is one that the command prints, in that order."""
    monkeypatch.chdir(tmp_path)
    for command in page.commands:
        program, *arguments = shlex.split(command.line.replace("make demo", "kling-contract demo"))
        shown = [line for line in command.shown if line.strip() != "…"]
        if program == "cat":
            Path(arguments[0]).write_text("\n".join(shown))
        elif shown and arguments[0] != "serve":  # which goes on until Ctrl-C: tests/cli/test_serve.py sees its lines
            printed = iter(CliRunner().invoke(cli.cli, arguments).output.splitlines())
            assert all(line in printed for line in shown)


def test_what_serve_prints_is_shown() -> None:
    """The line that is shown below `serve` is the one that it prints."""
    ((command),) = [command for command in page("fake_server/README.md").commands if command.shown]
    source = (ROOT / "kling_contract" / "cli" / "serve.py").read_text()
    shown = command.shown[0].replace("http://127.0.0.1:8080", "{url}")
    assert shown in source


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Page) -> None:
    """A link to a file of the project, or to a heading in it, finds it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page.name).parent / name if name else ROOT / page.name
        assert path.exists(), target
        if anchor:
            known = Page(target, path.read_text(encoding="utf-8")).anchors
            assert anchor in known, target


def test_scenarios_are_counted() -> None:
    """Every page that says how many scenarios there are says the true number."""
    for each in PAGES:
        for number in re.findall(r"\b(\d+)\s+(?:shipped )?(?:scenarios|that are shipped)", each.text):
            assert int(number) == len(scenarios()), each.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_for_users(page: Page) -> None:
    """Nothing in a page is about the machine that it was written on, and no line is hard to read in an editor."""
    assert not re.search(rf"{re.escape(str(ROOT))}/|/simple\b", page.text)
    assert all(len(line) <= 132 for line in page.text.splitlines() if line[:1] not in ("|", "$"))
