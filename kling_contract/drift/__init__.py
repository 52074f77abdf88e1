"""What changed between two revisions of the contract, and whom it breaks."""

from kling_contract.drift.changes import Change, breaks, diff

__all__ = ["Change", "breaks", "diff"]
