"""Claims about the files that are loaded into programs in Python: whatever runs those can read them, and nothing is missing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fake_server import preload

FOLDER = preload.PYTHON.parent
ENTRY = preload.PYTHON / "sitecustomize.py"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if path.name != "__init__.py"}


def _imported(path: Path) -> list[str]:
    """Return the modules that a file imports anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 8))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return found


def _loaded(names: str) -> tuple[str, ...]:
    """Return the modules that the entry loads under one of its names, in their order."""
    values = {
        node.targets[0].id: node.value
        for node in ast.parse(ENTRY.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    found: tuple[str, ...] = ast.literal_eval(values[names])
    return found


@pytest.mark.parametrize("path", [ENTRY, *FILES.values()], ids=lambda path: str(path.stem))
def test_any_python_since_3_8_can_load_it(path: Path) -> None:
    """Each file is in the grammar of Python 3.8, and imports the standard library and its neighbours alone, by full names."""
    for name in _imported(path):
        neighbour = name.removeprefix("fake_server.preload.")
        assert (
            neighbour in FILES if name.startswith("fake_server") else name.partition(".")[0] in sys.stdlib_module_names
        )


def test_each_file_is_loaded_after_those_that_it_imports() -> None:
    """The entry loads every file once, and each after those it needs, so that no package has to be found."""
    order = [*_loaded("_CONNECTIONS"), *_loaded("_WAITS")]
    assert sorted(order) == sorted(FILES)
    for number, name in enumerate(order):
        needed = {each.rpartition(".")[2] for each in _imported(FILES[name]) if each.startswith("fake_server")}
        assert needed <= set(order[:number])


def test_the_folder_hides_nothing() -> None:
    """The folder that stands first in the path of programs holds the entry, and no other module that a program could import."""
    assert [path.name for path in preload.PYTHON.iterdir() if path.name != "__pycache__"] == [ENTRY.name]


def test_a_program_needs_neither_the_package_nor_a_site() -> None:
    """Where this project is not installed, all is loaded: connections to the API lead elsewhere, and time follows a run."""
    run = {"hosts": ["api.test"], "domain": "", "port": 9, "authority": "", "pace": True}
    code = (
        "import sitecustomize, socket, time; print(socket.gethostbyname('api.test'), time.sleep.__code__.co_filename)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(preload.PYTHON), preload.VARIABLE: json.dumps(run)},
        cwd=preload.PYTHON,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    assert done.stdout.split() == ["127.64.0.0", str(FOLDER / "threads.py")]
