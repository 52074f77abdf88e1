"""Claims about README.md: it is short, says what is true, and names what there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from kling_contract import Contract, cli, revisions
from kling_contract.contract.models import known_models
from tests.docs.pages import page, run_script
from tests.support import ROOT

README = page("README.md")
NUMBERS = {5: "five", 6: "six", 7: "seven"}


def test_the_readme_is_short() -> None:
    """It can be read in a few minutes, and begins with the fixture."""
    assert len(README.text.splitlines()) <= 200
    assert "assert_created_once" in README.blocks("python")[0]


def test_the_scope_is_true() -> None:
    """Its first paragraph says how many models there are, and how many revisions."""
    first = README.text.split("\n\n")[1].replace("\n", " ")
    contracts = [Contract.load(name) for name in revisions()]
    models = {model for contract in contracts for model in contract.models}
    assert f"all {len(models)} Kling video models" in first
    assert f"{sum('timeline' in known for known in known_models().values())} models have a printed run" in README.text
    assert f"in {NUMBERS[len(revisions())]} revisions" in first


def test_every_command_is_documented() -> None:
    """Every command stands in its table, and no other."""
    documented = [re.findall(r"`kling-contract (\w+)", row[0])[0] for row in README.rows("Commands")]
    assert sorted(documented) == sorted(cli._COMMANDS)


def test_the_oldest_python_is_named() -> None:
    """It names the oldest Python that the package can be installed on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Python {project['requires-python'].removeprefix('>=')} or later" in README.section("Install")


def test_completion_is_installed(tmp_path: Path) -> None:
    """The line for shell completion makes bash complete the program."""
    (line,) = README.blocks("sh")
    assert "kling-contract" in run_script(f"{line}\ncomplete -p kling-contract", cwd=tmp_path)


def test_every_page_can_be_found() -> None:
    """It links to each page of the documentation that is not about test data alone."""
    linked = set(re.findall(r"\]\(([^)#]+\.md)", README.text))
    written = {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "schemas/README.md", "fixtures/scenarios/README.md"}
    written |= {
        path.relative_to(ROOT).as_posix()
        for name in ("fake_server", "kling_contract")
        for path in (ROOT / name).rglob("README.md")
    }
    assert written <= linked
