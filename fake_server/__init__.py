"""A Kling service that costs nothing: a fake on a clock that a test can move, in process or on a real port.

The names in `__all__` are public; everything deeper is private. Names and submodules are loaded when they are first used, so
that importing the package is fast.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fake_server.adapters.virtual_time import on_virtual_time as on_virtual_time
    from fake_server.exercises import ExerciseReport as ExerciseReport
    from fake_server.exercises import Outcome as Outcome
    from fake_server.exercises import exercise as exercise
    from fake_server.journal.journal import Journal as Journal
    from fake_server.messages import Exchange as Exchange
    from fake_server.messages import Headers as Headers
    from fake_server.messages import Reply as Reply
    from fake_server.messages import Request as Request
    from fake_server.scenario.faults import Fault as Fault
    from fake_server.scenario.scenario import Scenario as Scenario
    from fake_server.server import FakeOptions as FakeOptions
    from fake_server.server import FakeServer as FakeServer
    from fake_server.service.ledger import Ledger as Ledger

_HOMES = {
    "Exchange": "messages",
    "ExerciseReport": "exercises",
    "FakeOptions": "server",
    "FakeServer": "server",
    "Fault": "scenario.faults",
    "Headers": "messages",
    "Journal": "journal.journal",
    "Ledger": "service.ledger",
    "Outcome": "exercises",
    "Reply": "messages",
    "Request": "messages",
    "Scenario": "scenario.scenario",
    "exercise": "exercises",
    "on_virtual_time": "adapters.virtual_time",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Load a public name, or a submodule, when it is first used."""
    if name in _HOMES:
        globals()[name] = value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
