"""Test programs that use AI/ML API's Kling video endpoints without calling them: the contract, a validator, a thin client.

Names and submodules are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from kling_contract.version import __version__ as __version__

if TYPE_CHECKING:
    from kling_contract import checks as checks
    from kling_contract import drift as drift
    from kling_contract import errors as errors
    from kling_contract import mutations as mutations
    from kling_contract import payloads as payloads
    from kling_contract import strategies as strategies
    from kling_contract.client import AsyncClient as AsyncClient
    from kling_contract.client import Client as Client
    from kling_contract.client import Generation as Generation
    from kling_contract.client import Video as Video
    from kling_contract.clock import Clock as Clock
    from kling_contract.clock import SystemClock as SystemClock
    from kling_contract.clock import VirtualClock as VirtualClock
    from kling_contract.contract import Contract as Contract
    from kling_contract.contract import Model as Model
    from kling_contract.contract import Operation as Operation
    from kling_contract.contract import Timeline as Timeline
    from kling_contract.contract import revisions as revisions
    from kling_contract.errors import ApiError as ApiError
    from kling_contract.errors import ContractBroken as ContractBroken
    from kling_contract.errors import CreationUncertain as CreationUncertain
    from kling_contract.errors import DocumentError as DocumentError
    from kling_contract.errors import DownloadError as DownloadError
    from kling_contract.errors import Forbidden as Forbidden
    from kling_contract.errors import GenerationFailed as GenerationFailed
    from kling_contract.errors import ImageError as ImageError
    from kling_contract.errors import InvalidJson as InvalidJson
    from kling_contract.errors import InvalidPayload as InvalidPayload
    from kling_contract.errors import IsolationError as IsolationError
    from kling_contract.errors import KlingError as KlingError
    from kling_contract.errors import ListenError as ListenError
    from kling_contract.errors import NotFound as NotFound
    from kling_contract.errors import RateLimited as RateLimited
    from kling_contract.errors import ServerError as ServerError
    from kling_contract.errors import ServerUnreachable as ServerUnreachable
    from kling_contract.errors import StateError as StateError
    from kling_contract.errors import TransportError as TransportError
    from kling_contract.errors import Unauthorized as Unauthorized
    from kling_contract.errors import UnexpectedResponse as UnexpectedResponse
    from kling_contract.errors import UnknownModel as UnknownModel
    from kling_contract.errors import UnknownRevision as UnknownRevision
    from kling_contract.errors import UnknownStatus as UnknownStatus
    from kling_contract.errors import WaitTimeout as WaitTimeout
    from kling_contract.validation import check_request as check_request
    from kling_contract.validation import check_response as check_response
    from kling_contract.validation import validate as validate
    from kling_contract.violation import Severity as Severity
    from kling_contract.violation import Strictness as Strictness
    from kling_contract.violation import Violation as Violation

_HOMES = {
    "ApiError": "errors",
    "AsyncClient": "client",
    "Client": "client",
    "Clock": "clock",
    "Contract": "contract",
    "ContractBroken": "errors",
    "CreationUncertain": "errors",
    "DocumentError": "errors",
    "DownloadError": "errors",
    "Forbidden": "errors",
    "Generation": "client",
    "GenerationFailed": "errors",
    "ImageError": "errors",
    "InvalidJson": "errors",
    "InvalidPayload": "errors",
    "IsolationError": "errors",
    "KlingError": "errors",
    "ListenError": "errors",
    "NotFound": "errors",
    "Model": "contract",
    "Operation": "contract",
    "RateLimited": "errors",
    "ServerError": "errors",
    "ServerUnreachable": "errors",
    "Severity": "violation",
    "StateError": "errors",
    "Strictness": "violation",
    "SystemClock": "clock",
    "Timeline": "contract",
    "TransportError": "errors",
    "Unauthorized": "errors",
    "UnexpectedResponse": "errors",
    "UnknownModel": "errors",
    "UnknownRevision": "errors",
    "UnknownStatus": "errors",
    "Video": "client",
    "Violation": "violation",
    "VirtualClock": "clock",
    "WaitTimeout": "errors",
    "check_request": "validation",
    "check_response": "validation",
    "revisions": "contract",
    "validate": "validation",
}

__all__ = sorted([*_HOMES, "__version__"])


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
