"""Replacements: functions and classes wherever a module holds them under a name, and methods of some classes."""

from __future__ import annotations

import sys

from fake_server.preload.callers import MACHINERY
from fake_server.preload.importing import WhenImported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["AT_THE_END", "LATER", "REPLACEMENTS"]

LATER: dict[str, Callable[[Any], None]] = {}
"""By name of a module: what to do with it when it has been imported."""

AT_THE_END: list[Callable[[], object]] = []
"""What to call once all is undone."""


class Replacements:
    """What is replaced from `apply` until `undo`."""

    def __init__(self) -> None:
        self._applied = False
        self._stand_ins: dict[int, tuple[Any, Any]] = {}
        self._methods: list[tuple[Any, str, Any]] = []
        self._patched: set[str] = set()

    def apply(self) -> None:
        sys.meta_path.insert(0, _IMPORTED)
        for name in LATER:
            if name in sys.modules:
                self.module(name)
        self._swap({key: new for key, (_, new) in self._stand_ins.items()})
        self._applied = True

    def undo(self) -> None:
        self._applied = False
        sys.meta_path.remove(_IMPORTED)
        for owner, name, original in reversed(self._methods):
            if original is None:  # it was inherited
                delattr(owner, name)
            else:
                setattr(owner, name, original)
        self._methods.clear()
        self._patched.clear()
        self._swap({id(new): old for old, new in self._stand_ins.values()})
        for call in AT_THE_END:
            call()

    def module(self, name: str) -> None:
        """Patch a module that is imported."""
        if name not in self._patched:
            self._patched.add(name)
            LATER[name](sys.modules[name])

    def stand_in(self, real: Any, new: Any) -> None:
        self._stand_ins[id(real)] = (real, new)
        if self._applied:
            self._swap({id(real): new})

    def method(self, owner: Any, name: str, new: Any) -> None:
        self._methods.append((owner, name, owner.__dict__.get(name)))
        setattr(owner, name, new)

    def _swap(self, new: dict[int, Any]) -> None:
        """Replace objects, by their id, wherever a module that is not machinery holds them under a name."""
        ids = set(new)
        for module in list(sys.modules.values()):
            names = getattr(module, "__dict__", None)
            if type(names) is not dict or ids.isdisjoint(map(id, list(names.values()))):
                continue
            if str(names.get("__name__", "")).partition(".")[0] not in MACHINERY:
                for name, value in list(names.items()):
                    if id(value) in ids and not name.startswith("__"):
                        names[name] = new[id(value)]


REPLACEMENTS = Replacements()


def _imported(name: str, _module: Any) -> None:
    if _IMPORTED in sys.meta_path:
        REPLACEMENTS.module(name)


_IMPORTED: Any = WhenImported(LATER, _imported)
