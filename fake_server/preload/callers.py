"""Callers: whether a patched function was called by the program, or by machinery whose waits stay real."""

from __future__ import annotations

import _thread
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MACHINERY", "in_machinery", "is_aside", "package", "stays_real"]

MACHINERY = frozenset(
    "_pytest coverage execnet fake_server hypothesis multiprocessing pluggy pytest_timeout subprocess uvicorn xdist".split()
)
"""Packages whose own waits, and whose threads, stay real."""

# Modules that wait on behalf of their callers: whether a wait is real is decided by who called these.
_PLUMBING = frozenset(["threading", "queue", "concurrent", "selectors", "contextlib"])
_local: Any = _thread._local()


def in_machinery() -> bool:
    """Return whether this thread was started by the machinery."""
    try:
        return bool(_local.is_aside)
    except AttributeError:
        _local.is_aside = is_aside(sys._getframe(1))
        return bool(_local.is_aside)


def package(frame: Any) -> str:
    """Return the package that a frame runs in."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_ours(frame: Any) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("fake_server.preload.")


def is_aside(frame: Any) -> bool:
    """Return whether a thread was started by the machinery: everything in it is real."""
    first = ""
    while frame is not None:
        name = package(frame)
        if name != "threading" and not _is_ours(frame):
            first = name
        frame = frame.f_back
    return first in MACHINERY


def stays_real() -> bool:
    """Return whether the caller of a patched function is machinery. To be called by the patched function itself."""
    if in_machinery():
        return True
    frame: Any = sys._getframe(2)
    while frame is not None:
        name = package(frame)
        if name not in _PLUMBING and not _is_ours(frame):
            return name in MACHINERY
        frame = frame.f_back
    return False
