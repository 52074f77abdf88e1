"""Claims about the trust bundles of a command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fake_server.programs import bundles
from fake_server.programs.bundles import bundles_of


def _made(path: Path, text: str = "", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder like that of a Python with packages, where the system has one bundle with two names."""
    system = _made(tmp_path / "etc" / "system.crt")
    (tmp_path / "etc" / "other.crt").symlink_to(system)
    names = (str(system), str(tmp_path / "etc" / "other.crt"), str(tmp_path / "no.crt"))
    monkeypatch.setattr(bundles, "_OF_THE_SYSTEM", names)
    monkeypatch.chdir(tmp_path)
    prefix = tmp_path / "a python"
    _made(prefix / "bin" / "python3", mode=0o755)
    for name in ("certifi/cacert.pem", "pip/_vendor/certifi/cacert.pem", "botocore/cacert.pem"):
        _made(prefix / "lib" / "python3.13" / "site-packages" / name)
    return prefix


def _packages(prefix: Path) -> set[Path]:
    packages = prefix / "lib" / "python3.13" / "site-packages"
    return {packages / each for each in ("certifi/cacert.pem", "pip/_vendor/certifi/cacert.pem", "botocore/cacert.pem")}


def test_the_bundles_of_the_system_are_found(python: Path, tmp_path: Path) -> None:
    """The bundles of the system that exist are found, each once, whatever the command is."""
    for command in ("no-such-command", "/no/such/file", ""):
        assert bundles_of([command], "/no/such/folder") == [tmp_path / "etc" / "system.crt"]


def test_the_packages_of_the_commands_python_are_found(python: Path, tmp_path: Path) -> None:
    """The bundles of the Python that the command is, names in its first line, links to or finds in its PATH are found."""
    interpreter = python / "bin" / "python3"
    nested = _made(tmp_path / "scripts" / "nested", f"#!{tmp_path}/link\n", 0o755)
    (tmp_path / "link").symlink_to(python / "bin" / "python3")
    # a space in the path of an interpreter cannot be named in a first line: the link has none
    scripts = tmp_path / "scripts"
    _made(scripts / "by-path", f"#!{nested}\n", 0o755)
    _made(scripts / "by-env", "#!/usr/bin/env -S A=1 python3 -I\n", 0o755)
    for command, path in (
        ([str(interpreter), "x.py"], "/no"),
        (["python3"], str(python / "bin")),
        ([str(tmp_path / "link")], "/no"),
        (["by-path"], str(scripts)),
        ([str(scripts / "by-env")], f"/no{os.pathsep}{python / 'bin'}"),
        (["make"], str(python / "bin")),
    ):
        found = bundles_of(command, path)
        assert set(found) == {tmp_path / "etc" / "system.crt", *_packages(python)}
        assert len(found) == 4


def test_the_packages_of_the_projects_environment_are_found(python: Path, tmp_path: Path) -> None:
    """The bundles of `.venv` in the current folder are found, as tools such as uv run commands there, and so are its Python's."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(python / "bin" / "python3")
    own = _made(tmp_path / ".venv" / "lib" / "python3.13" / "site-packages" / "certifi" / "cacert.pem")
    assert set(bundles_of(["uv", "run", "x"], "/no")) == {tmp_path / "etc" / "system.crt", own, *_packages(python)}


def test_scripts_that_name_each_other_end(python: Path, tmp_path: Path) -> None:
    """Scripts whose first lines name each other for ever, or nothing, or no text, are followed no further."""
    for name, text in {
        "a": f"#!{tmp_path}/b\n",
        "b": f"#!{tmp_path}/a\n",
        "c": "#!\n",
        "d": "#!/usr/bin/env\n",
    }.items():
        _made(tmp_path / name, text, 0o755)
        assert bundles_of([f"./{name}"], "/no") == [tmp_path / "etc" / "system.crt"]
