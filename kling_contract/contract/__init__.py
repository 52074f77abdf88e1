"""The contract as data: revisions, models, operations, schemas, statuses, and what was observed of the service."""

from kling_contract.contract.lifecycle import Lifecycle, Step, Timeline
from kling_contract.contract.operation import Operation
from kling_contract.contract.revision import REVISION_VARIABLE, Contract, chosen, revisions
from kling_contract.contract.revision_documents import Model, Revision

__all__ = [
    "REVISION_VARIABLE",
    "Contract",
    "Lifecycle",
    "Model",
    "Operation",
    "Revision",
    "Step",
    "Timeline",
    "chosen",
    "revisions",
]
