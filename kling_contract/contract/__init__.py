"""What the documents say: revisions, operations, schemas, statuses and what has been observed."""

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
