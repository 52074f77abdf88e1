"""Claims about CONTRIBUTING.md: its map and its table of targets are complete."""

from __future__ import annotations

import re

from kling_contract import cli
from tests.docs.pages import page
from tests.support import ROOT

CONTRIBUTING = page("CONTRIBUTING.md")
PACKAGES = ("kling_contract", "fake_server")


def entries() -> list[str]:
    """Return every path that the map names, below the root."""
    (tree,) = CONTRIBUTING.blocks("text")
    found, folder = [], ""
    for line in tree.splitlines():
        names = re.split(r"\s{2,}(?=\S*/)", re.split(r"\s{2,}(?!\S*/)", line.strip())[0])
        if not line.startswith(" "):
            folder = names[0]
            found.append(folder)
        else:
            found.extend(folder + name for name in names)
    return found


def test_the_map_names_what_there_is() -> None:
    """Every line of the map is a file or a folder that there is, named once."""
    named = entries()
    assert len(set(named)) == len(named)
    for name in named:
        path = ROOT / name
        assert path.is_dir() if name.endswith("/") else path.is_file(), name


def test_the_map_is_complete() -> None:
    """The map names each package, each module at the front of one, and each folder of tests that mirrors none."""
    there = set()
    for package in PACKAGES:
        for path in (ROOT / package).iterdir():
            if path.suffix == ".py":
                there.add(f"{package}/{path.name}")
            elif (path / "__init__.py").is_file():
                there.add(f"{package}/{path.name}/")
    mirrors = {path.name for package in PACKAGES for path in (ROOT / package).iterdir()} | {*PACKAGES, "__pycache__"}
    there |= {
        f"tests/{path.name}/" for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name not in mirrors
    }
    there |= {f"fixtures/{path.name}/" for path in (ROOT / "fixtures").iterdir()}
    assert there <= set(entries())


def test_every_target_is_described() -> None:
    """The table has every target of the Makefile, and no other."""
    (targets,) = re.findall(r"^\.PHONY: help (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    documented = re.findall(r"^\| `make ([\w-]+)`", CONTRIBUTING.text, flags=re.MULTILINE)
    assert documented == targets.split()


def test_what_a_newcomer_is_sent_to_is_there() -> None:
    """Each file that the page names by its path is there, and so is each name of a module that it gives."""
    for name in re.findall(r"`((?:tests|kling_contract|fake_server|fixtures|schemas)/[\w/.]+)`", CONTRIBUTING.text):
        assert (ROOT / name).exists(), name
    assert hasattr(cli, "_COMMANDS")
    assert list((ROOT / "kling_contract" / "checks").glob("*_claims.py"))


def test_new_names_are_in_use() -> None:
    """What the changelog calls a new name is a word of the sources; a class or function with an old one there is none."""
    sources = "".join(path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    defined = set(re.findall(r"^\s*(?:class|def) (\w+)", sources, flags=re.MULTILINE))
    rows = page("CHANGELOG.md").rows("Changed")
    assert len(rows) > 10
    for old, new in rows:
        for name in re.findall(r"[A-Za-z_]\w{3,}", " ".join(re.findall(r"`([^`]+)`", new))):
            assert re.search(rf"\b{name}\b", f"{sources} make all test"), name
        for name in re.findall(r"`([A-Z]\w+)`", old):
            assert name not in defined, name
