"""Patches of modules, applied when a module is imported, which other tools may wrap or set back, and undone in any order."""

from __future__ import annotations

import sys
import threading

from fake_server.preload.importing import WhenImported

TYPE_CHECKING = False  # that of `typing`, which takes longer to import than all else here
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Make = Callable[[Any], Any]
    Patch = tuple[
        Any, str, Make
    ]  # an owner, the name of an attribute, and what makes its replacement from the original

__all__ = ["AT_THE_END", "PATCHES", "apply", "changing", "renew", "undo"]

PATCHES: dict[str, Callable[[Any], list[Patch]]] = {}
"""By name of a module: what of it is patched once it is imported.

Every replacement acts as the original where no redirection is active.
"""

AT_THE_END: list[Callable[[], object]] = []
"""What to call once all is undone."""

changing = threading.RLock()
"""Is held by whoever changes what is redirected, patched or trusted."""

_applied = False
_patched: list[tuple[Any, str, Any, Any, bool]] = []


def renew() -> None:
    """Patch again what another tool has set back to what it was before, as pytest-socket does after each test."""
    with changing:
        if _applied:
            apply()


def apply() -> None:
    """Patch what is imported, now and whenever it is."""
    global _applied
    _applied = True
    if not any(finder is _LATER for finder in sys.meta_path):
        sys.meta_path.insert(0, _LATER)
    for name in list(PATCHES):
        module = sys.modules.get(name)
        if module is not None:
            _patch(name, module)


def _patch(name: str, module: Any) -> None:
    try:
        patches = PATCHES[name](module)
    except AttributeError:  # another version, or a module that is being imported right now: the finder comes back to it
        return
    with changing:
        for owner, attribute, make in patches:
            original = getattr(owner, attribute, None)
            if original is None or getattr(original, "_is_kling_contract", False):
                continue
            replacement = make(original)
            try:
                replacement._is_kling_contract = True
                own = attribute in vars(owner)
                setattr(owner, attribute, replacement)
            except (AttributeError, TypeError):  # a type that cannot be changed
                continue
            _patched.append((owner, attribute, original, replacement, own))


def undo() -> None:
    """Undo what `apply` has patched, and call AT_THE_END."""
    global _applied
    _applied = False
    if _LATER in sys.meta_path:
        sys.meta_path.remove(_LATER)
    while _patched:
        owner, attribute, original, replacement, own = _patched.pop()
        if getattr(owner, attribute, None) is not replacement:
            continue  # somebody has wrapped it: it acts as the original from now on
        if own:
            setattr(owner, attribute, original)
        else:
            delattr(owner, attribute)
    for call in AT_THE_END:
        call()


def _imported(name: str, module: Any) -> None:
    if _applied:
        _patch(name, module)


_LATER = WhenImported(PATCHES, _imported)
