"""Changes between two revisions of the contract, or two OpenAPI documents, and what they break."""

from kling_contract.drift.changes import Change, breaks, diff
from kling_contract.drift.difference import Breakage
from kling_contract.drift.family import FamilyChanges, ModelChanges, diff_family
from kling_contract.drift.openapi import ApiDocument, load_document
from kling_contract.drift.report import as_json, as_markdown, as_text

__all__ = [
    "ApiDocument",
    "Breakage",
    "Change",
    "FamilyChanges",
    "ModelChanges",
    "as_json",
    "as_markdown",
    "as_text",
    "breaks",
    "diff",
    "diff_family",
    "load_document",
]
