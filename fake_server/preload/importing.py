"""Imports: something is done with a module as soon as a program has imported it."""

from __future__ import annotations

import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from typing import Any

__all__ = ["WhenImported"]


class WhenImported:
    """A finder for `sys.meta_path` that finds nothing itself: it calls `then` with the name and the module, once that is imported.

    `names` are the modules in question.
    """

    def __init__(self, names: Container[str], then: Callable[[str, Any], None]) -> None:
        self._names = names
        self._then = then
        self._finding = threading.local()

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in self._names or getattr(self._finding, "name", None) == name:
            return None
        self._finding.name = name
        try:
            found = (finder.find_spec(name, path, target) for finder in sys.meta_path if hasattr(finder, "find_spec"))
            spec = next((each for each in found if each is not None), None)
        finally:
            self._finding.name = None
        loader: Any = spec.loader if spec is not None else None
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type):
            return spec

        def exec_module(module: Any) -> None:
            execute(module)
            self._then(name, module)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            return spec
        return spec
