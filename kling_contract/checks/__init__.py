"""Checks of a server against the contract: as a function, as tests for pytest, and as a state machine.

Names are loaded when they are first used: not everybody who checks a server has Hypothesis installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kling_contract.checks.findings import Finding as Finding
    from kling_contract.checks.runner import check as check
    from kling_contract.checks.stateful import machine_for as machine_for
    from kling_contract.checks.suite import contract_tests as contract_tests
    from kling_contract.checks.target import Target as Target

_HOMES = {
    "Finding": "findings",
    "Target": "target",
    "check": "runner",
    "contract_tests": "suite",
    "machine_for": "stateful",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
