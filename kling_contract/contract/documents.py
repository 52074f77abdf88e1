"""The documents and examples on disk. Only this module knows where `schemas/` and `fixtures/` are."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["FIXTURES", "SCHEMAS", "Folder", "read_json"]

_INSTALLED = Path(__file__).parents[1] / "_data"
_ROOT = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2]

SCHEMAS: Path = _ROOT / "schemas"
"""The contract: one folder for each revision."""

FIXTURES: Path = _ROOT / "fixtures"
"""Examples: requests, responses, scenarios, images and media."""


def read_json(path: Path) -> Any:
    """Return the content of a UTF-8 JSON file. Raise OSError or ValueError if it cannot be read."""
    return json.loads(path.read_text(encoding="utf-8"))


class Folder(Mapping[str, Any]):
    """The JSON documents in a folder and below it, by path in that folder. Each is read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._read:
            if name not in self._names:
                raise KeyError(name)
            self._read[name] = read_json(self._folder / name)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @functools.cached_property
    def _names(self) -> dict[str, None]:
        found = sorted(path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*.json"))
        return dict.fromkeys(found)
