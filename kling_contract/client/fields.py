"""The fields of a create: their types and names, and the payload made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from kling_contract.client.images import Image, image_url, with_data_uris
from kling_contract.contract import Contract, revisions
from kling_contract.display import nearest

__all__ = ["IMAGE", "MODEL", "Fields", "build_payload", "check_field_names", "declared_fields"]

MODEL, IMAGE = "model", "image_url"


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
    """Return the names of the fields that `contract` or any revision declares, those of `contract` first."""
    known = (contract, *map(Contract.load, revisions()))
    return tuple(dict.fromkeys(name for revision in known for name in revision.request_schema["properties"]))


def check_field_names(fields: Mapping[str, Any], options: Sequence[str], *, contract: Contract) -> None:
    """Raise TypeError for a field that no revision declares: it may be misspelt, and would be paid for.

    `options` are the names of the other arguments, one of which may have been meant.
    """
    if all(name in contract.request_schema["properties"] for name in fields):
        return
    declared = declared_fields(contract)
    wrong = [name for name in fields if name not in declared]
    if not wrong:
        return
    described = []
    for name in wrong:
        near = nearest(name, [*declared, *options])
        described.append(f"{name} (did you mean {near[0]}?)" if near else name)
    raise TypeError(
        f"no revision declares {', '.join(described)}; declared are {', '.join(declared)}; "
        f"to send an undeclared field, give it in the payload: payload={{{wrong[0]!r}: …}}"
    )


def build_payload(
    payload: Mapping[str, Any] | None, image: Image | None, fields: Mapping[str, Any], *, contract: Contract
) -> dict[str, Any]:
    """Return the payload to send: `fields` over `payload`, images as text, and the contract's first model if there is none.

    Raise ImageError, and TypeError when `payload` is no mapping or the image is given twice.
    """
    if payload is not None and not isinstance(payload, Mapping):
        raise TypeError(
            f"payload must be a mapping of fields to values, not {type(payload).__name__}; "
            "an image is given as image=…, a prompt as prompt=…"
        )
    first_model = contract.request_schema["properties"][MODEL]["enum"][0]
    body = {MODEL: first_model, **(payload or {}), **fields}
    if image is not None:
        if IMAGE in body:
            raise TypeError(f"the first frame is given twice: give image=… or {IMAGE}, not both")
        body[IMAGE] = image_url(image)
    result: dict[str, Any] = with_data_uris(body)
    return result
