"""Where are the documents and examples, and how are they read? The only module that knows where `schemas/` and `fixtures/` lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["FIXTURES", "SCHEMAS", "read_json"]

_INSTALLED = Path(__file__).parents[1] / "_data"
_ROOT = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2]

SCHEMAS: Path = _ROOT / "schemas"
"""The contract: one folder a revision."""

FIXTURES: Path = _ROOT / "fixtures"
"""Examples: requests, responses, scenarios, images and media."""


def read_json(path: Path) -> Any:
    """Return what a UTF-8 JSON file holds. Raise OSError or ValueError when it cannot be read."""
    return json.loads(path.read_text(encoding="utf-8"))
