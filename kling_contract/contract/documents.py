"""The documents and examples on disk. Only this module knows where `schemas/` and `fixtures/` are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["FIXTURES", "SCHEMAS", "read_json"]

_INSTALLED = Path(__file__).parents[1] / "_data"
_ROOT = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2]

SCHEMAS: Path = _ROOT / "schemas"
"""The contract: one folder for each revision."""

FIXTURES: Path = _ROOT / "fixtures"
"""Examples: requests, responses, scenarios, images and media."""


def read_json(path: Path) -> Any:
    """Return the content of a UTF-8 JSON file. Raise OSError or ValueError if it cannot be read."""
    return json.loads(path.read_text(encoding="utf-8"))
