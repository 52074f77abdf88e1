"""Preloads: what is loaded into programs of others, so that they end in a fake and follow its clock.

The files beside this one use the standard library alone, of Python 3.8 or later, and import nothing of this project.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["NODE", "PYTHON", "VARIABLE"]

VARIABLE = "KLING_CONTRACT_RUN"
"""The environment variable with the configuration of the preloads, an object in JSON.

`hosts` and every other name under `domain` lead to `port` of 127.0.0.1, and the certificate in the file `authority` is
trusted. With `refuse_others` any other host is refused, but for this machine and what `allow` names, as HOST:PORT. With
`pace` the program follows the clock of the fake.
"""

PYTHON = Path(__file__).parent / "python"
"""The folder for PYTHONPATH: there is only a `sitecustomize`, so that no module of a program is hidden."""

NODE = Path(__file__).parent / "preload.cjs"
"""The file that Node requires before a program."""
