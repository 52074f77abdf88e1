"""The fields of a create: their types for type checkers, and which of them the documents declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from kling_contract.client.images import Image
from kling_contract.contract import Contract, revisions

__all__ = ["Fields", "declared_fields"]


class Fields(TypedDict, total=False):
    """Every field that the request schema of any revision declares. An image may be a link, a path, bytes or an open file."""

    model: str
    image_url: Image
    prompt: str
    tail_image_url: Image
    static_mask_url: Image
    static_mask: Image
    dynamic_masks: Sequence[Mapping[str, Any]]
    ratio: str
    aspect_ratio: str
    duration: int
    negative_prompt: str
    cfg_scale: float
    type: str
    camera_control: Mapping[str, Any]
    external_task_id: str
    provider: str


def declared_fields(contract: Contract) -> tuple[str, ...]:
    """Return the names of the fields that `contract`, or any revision there is, declares; those of `contract` first."""
    known = (contract, *map(Contract.load, revisions()))
    return tuple(dict.fromkeys(name for each in known for name in each.request_schema["properties"]))
