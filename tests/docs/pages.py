"""The pages of the documentation, and what they show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

__all__ = ["PAGES", "Command", "Page", "page", "run_script"]

_FOLDERS = ("fake_server", "fixtures", "kling_contract", "schemas")


@dataclass(frozen=True, slots=True)
class Command:
    """A command line after `$` in a console block, and the output that is shown below it."""

    line: str
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file. `name` is its path below the root of the checkout."""

    name: str
    text: str

    def blocks(self, language: str) -> list[str]:
        """Return the code blocks in a language, in their order."""
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, flags=re.MULTILINE | re.DOTALL)

    @property
    def program(self) -> str:
        """All Python of the page, as one module."""
        return "\n\n".join(self.blocks("python"))

    @property
    def commands(self) -> list[Command]:
        """Every command line in a console block."""
        found = []
        for block in self.blocks("console"):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, *shown = part.splitlines()
                found.append(Command(re.sub(r"\s{2,}#.*", "", line), tuple(shown)))
        return found

    def section(self, title: str) -> str:
        """Return what stands under a heading, up to the next one."""
        found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", self.text, flags=re.MULTILINE | re.DOTALL)
        assert found, f"{self.name} has no section {title!r}"
        return found[1]

    def rows(self, title: str) -> list[list[str]]:
        """Return the cells of each table row under a heading, without the rows above and below the dashes."""
        rows = [
            re.split(r" *\| *", line.strip("| ")) for line in self.section(title).splitlines() if line.startswith("|")
        ]
        dashes = [number for number, row in enumerate(rows) if set(row[0]) == {"-"}]
        heads = {number - 1 for number in dashes}
        return [row for number, row in enumerate(rows) if number not in heads and number not in dashes]

    @property
    def anchors(self) -> set[str]:
        """The names by which links can point to the headings, as GitHub makes them."""
        headings = re.findall(
            r"^#+ (.*)$", re.sub(r"^```.*?^```", "", self.text, flags=re.M | re.S), flags=re.MULTILINE
        )
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def page(name: str) -> Page:
    """Return the page at a path below the root of the checkout."""
    return Page(name, (ROOT / name).read_text(encoding="utf-8"))


PAGES = [
    page(path.relative_to(ROOT).as_posix())
    for path in [
        *sorted(ROOT.glob("*.md")),
        *(path for name in _FOLDERS for path in sorted((ROOT / name).rglob("*.md"))),
    ]
]


def run_script(script: str, *, cwd: Path, code: int = 0, **variables: str) -> str:
    """Run a script as GitHub runs a step of a workflow, `bash -e FILE`: without pipefail. Return what it printed.

    The programs of this environment come first on the PATH. `code` is how it must end.
    """
    file = cwd / "script.sh"
    file.write_text(script)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", file], cwd=cwd, env={**os.environ, "PATH": path, **variables}, capture_output=True, text=True
    )
    assert done.returncode == code, f"exit code {done.returncode}:\n{script}\n{done.stdout}{done.stderr}"
    return done.stdout
