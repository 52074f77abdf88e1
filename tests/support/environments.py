"""Environments of their own, for what must work beside nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin


def environment(home: Path, *packages: str | Path) -> Path:
    """Make an environment with these packages and nothing else, and return the folder of its programs.

    Raise CalledProcessError, with what uv said in `stderr`, when one cannot be installed.
    """
    uv, programs = find_uv_bin(), home / ("Scripts" if sys.platform == "win32" else "bin")
    for command in (
        ["venv", "--python", sys.executable, home],
        ["pip", "install", "--python", programs / "python", *packages],
    ):
        subprocess.run([uv, "--quiet", *command], check=True, capture_output=True, text=True)
    return programs
