"""What the tests of programs share: a command run as `run` runs it, and a skip where namespaces are not permitted."""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fake_server.programs.child import Isolate, Streams, prepare
from kling_contract.errors import IsolationError


@dataclasses.dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, what it wrote (both streams), and the lines said to a person."""

    code: int
    output: str
    said: list[str]


@functools.cache
def _why_not() -> str | None:
    """Return why no command can be isolated here, or None."""
    try:
        with prepare(folder=Path(tempfile.mkdtemp()), isolate="require"):
            return None
    except IsolationError as error:
        return str(error)


@pytest.fixture
def namespaces() -> None:
    """Skip the test where the system does not permit namespaces."""
    if why := _why_not():
        pytest.skip(why)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that belongs to the child."""
    made = tmp_path / "of the child"
    made.mkdir()
    return made


@pytest.fixture
def run(tmp_path: Path, folder: Path) -> Callable[..., Ended]:
    """Return a function that runs a command to its end."""

    def run_to_the_end(
        command: Sequence[str | os.PathLike[str]],
        *,
        isolate: Isolate = "auto",
        environment: Mapping[str, str] = os.environ,
        bound: Mapping[Path, Path] | None = None,
        **options: Any,
    ) -> Ended:
        said: list[str] = []
        with (
            (tmp_path / "output").open("w+b") as output,
            prepare(
                folder=folder, isolate=isolate, say=said.append, streams=Streams(None, output, output), **options
            ) as child,
        ):
            child.go(command, environment=environment, bound=bound)
            code = child.wait()
            output.seek(0)
            return Ended(code, output.read().decode(errors="surrogateescape"), said)

    return run_to_the_end
