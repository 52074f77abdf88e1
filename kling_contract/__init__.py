"""Test against AI/ML API's Kling video endpoints without calling them: the contract as data, a validator and a thin client.

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kling_contract.client import AsyncClient as AsyncClient
    from kling_contract.client import Client as Client
    from kling_contract.client import Generation as Generation
    from kling_contract.client import Video as Video
    from kling_contract.clock import Clock as Clock
    from kling_contract.clock import SystemClock as SystemClock
    from kling_contract.clock import VirtualClock as VirtualClock
    from kling_contract.contract import Contract as Contract
    from kling_contract.contract import revisions as revisions
    from kling_contract.errors import KlingError as KlingError
    from kling_contract.exchanges import check_request as check_request
    from kling_contract.exchanges import check_response as check_response
    from kling_contract.lifecycle import Timeline as Timeline
    from kling_contract.validation import Violation as Violation
    from kling_contract.validation import validate as validate

_HOMES = {
    "AsyncClient": "client",
    "Client": "client",
    "Clock": "clock",
    "Contract": "contract",
    "Generation": "client",
    "KlingError": "errors",
    "SystemClock": "clock",
    "Timeline": "lifecycle",
    "Video": "client",
    "Violation": "validation",
    "VirtualClock": "clock",
    "check_request": "exchanges",
    "check_response": "exchanges",
    "revisions": "contract",
    "validate": "validation",
}

__all__ = sorted([*_HOMES, "__version__"])

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
