"""The contract as data: revisions, operations, schemas, statuses, and what was observed of the service."""

from kling_contract.contract.lifecycle import Lifecycle, Step, Timeline
from kling_contract.contract.revision import REVISION_VARIABLE, Contract, Operation, Revision, chosen, revisions

__all__ = [
    "REVISION_VARIABLE",
    "Contract",
    "Lifecycle",
    "Operation",
    "Revision",
    "Step",
    "Timeline",
    "chosen",
    "revisions",
]
