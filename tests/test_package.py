"""Does what gets published work away from this checkout?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import kling_contract
from tests.support import ROOT
from tests.support.environments import environment

pytestmark = pytest.mark.other_programs

JUNK = [
    ".coverage",
    ".hypothesis/examples/a",
    ".venv/bin/python",
    "dist/old.whl",
    "kling_contract/__pycache__/cli.cpython-311.pyc",
    "schemas/__pycache__/a.pyc",
    "tests/.pytest_cache/a",
    "uv.lock",
]


def run(*command: object, cwd: Path, code: int = 0) -> str:
    """Run to the end, which must be `code`, and return what was printed. A failure shows everything that was."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == code, f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout + (done.stderr if code else "")


def build(target: str, source: Path, into: Path) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", into, cwd=source)
    (built,) = into.iterdir()
    return built


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("package")


@pytest.fixture(scope="module")
def source(workspace: Path) -> Path:
    """A copy of the checkout in which tools have left their junk."""
    copy = workspace / "checkout"
    leftovers = shutil.ignore_patterns(".git", ".*_cache", ".hypothesis", ".venv", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=leftovers)
    for name in JUNK:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("junk")
    return copy


@pytest.fixture(scope="module")
def sdist(source: Path, workspace: Path) -> Path:
    """The unpacked source distribution."""
    archive = build("sdist", source, workspace / "sdist")
    with tarfile.open(archive) as packed:
        # Pythons of before mid-2023 have no filters, and later ones warn without.
        packed.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        packed.extractall(workspace / "unpacked")
    (unpacked,) = (workspace / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel(sdist: Path, workspace: Path) -> Path:
    """The wheel, built from the source distribution as an installer would."""
    return build("wheel", sdist, workspace / "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, workspace: Path) -> Path:
    """The folder of programs of a new environment that holds the wheel and its own dependencies only."""
    return environment(workspace / "environment", wheel)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def test_the_sdist_holds_the_sources_and_no_junk(source: Path, sdist: Path) -> None:
    """The source distribution holds documents, examples and tests, and nothing that tools leave behind."""
    packed = files(sdist)
    assert not packed.intersection(JUNK)
    for folder in ("schemas", "fixtures", "tests"):
        assert {name for name in files(source) if name.startswith(f"{folder}/")} - set(JUNK) <= packed


def test_both_ways_to_build_give_the_same_wheel(source: Path, wheel: Path, workspace: Path) -> None:
    """From the source distribution or from the checkout: the same files with the same contents."""
    assert contents(wheel) == contents(build("wheel", source, workspace / "direct"))


def test_the_wheel_holds_both_packages_and_every_document(source: Path, wheel: Path) -> None:
    """The wheel installs two typed packages and nothing beside them; every document and example is inside."""
    held = contents(wheel)
    metadata = f"kling_contract-{kling_contract.__version__}.dist-info"
    assert {name.partition("/")[0] for name in held} == {"kling_contract", "fake_server", metadata}
    assert {"kling_contract/py.typed", "fake_server/py.typed"} <= held.keys()
    data = "kling_contract/_data/"
    documents = {name for name in files(source) if name.startswith(("schemas/", "fixtures/"))} - set(JUNK)
    assert {name.removeprefix(data): held[name] for name in held if name.startswith(data)} == {
        name: (source / name).read_bytes() for name in documents
    }


def test_the_installed_packages_find_their_documents(installed: Path, tmp_path: Path) -> None:
    """From a foreign folder, with the base dependencies only, the default contract loads."""
    program = "import kling_contract, fake_server; print(kling_contract.Contract.load().revision.id)"
    printed = run(installed / "python", "-I", "-c", program, cwd=tmp_path)
    assert printed.strip() == kling_contract.Contract.load().revision.id


def test_the_installed_commands_do_what_the_readme_shows(installed: Path, tmp_path: Path) -> None:
    """With the base dependencies only, every command of the README does its work; what needs more says so in one line."""
    program = installed / "kling-contract"
    assert kling_contract.__version__ in run(program, "--version", cwd=tmp_path)
    assert "would have been booked" in run(program, "demo", cwd=tmp_path)
    (tmp_path / "schema.json").write_text(run(program, "schema", "create-request", cwd=tmp_path))
    example = ROOT / "fixtures" / "requests" / "valid" / "2025-04-25" / "page-example.json"
    payload = {"$schema": "./schema.json", **json.loads(example.read_text())}
    (tmp_path / "payload.json").write_text(json.dumps(payload))
    run(program, "validate", "--fail-on", "notice", "payload.json", cwd=tmp_path)
    run(program, "generate", "payload.json", "--output", "clip.mp4", cwd=tmp_path)
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"
    assert "static_mask" in run(program, "diff", "2025-04-25", "latest", cwd=tmp_path, code=1)
    assert "kling-contract[testing]" in run(program, "samples", cwd=tmp_path, code=2)
