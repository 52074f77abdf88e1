"""The fields of a create: their types and names, and the payload made of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from kling_contract.client.images import Image, image_url, with_data_uris
from kling_contract.contract import Contract, revisions
from kling_contract.contract.operation import MODEL
from kling_contract.display import nearest

__all__ = ["IMAGE", "MODEL", "Fields", "build_payload", "check_field_names", "declared_fields"]

IMAGE = "image_url"


class Fields(TypedDict, total=False):
    """Every field that any model of any revision declares. An image may be a link, a path, bytes or an open file."""

    model: str
    image_url: Image | Sequence[Image]
    prompt: str
    tail_image_url: Image
    last_image_url: Image
    image_list: Sequence[Image]
    elements: Sequence[Mapping[str, Any]]
    video_url: str
    audio_url: str
    static_mask_url: Image
    static_mask: Image
    dynamic_masks: Sequence[Mapping[str, Any]]
    multi_prompt: Sequence[str] | Sequence[Mapping[str, Any]] | None
    effect_scene: str
    ratio: str
    aspect_ratio: str
    duration: int
    negative_prompt: str
    cfg_scale: float
    type: str
    shot_type: str
    mode: str
    character_orientation: str
    generate_audio: bool
    keep_audio: bool
    camera_control: Mapping[str, Any] | str
    advanced_camera_control: Mapping[str, Any]
    external_task_id: str
    provider: str


@functools.cache
def declared_fields() -> tuple[str, ...]:
    """Return the names of the fields that any model of any revision declares."""
    known = [contract.for_model(model) for contract in map(Contract.load, revisions()) for model in contract.models]
    return tuple(dict.fromkeys(name for contract in known for name in contract.request_schema["properties"]))


def check_field_names(fields: Mapping[str, Any], options: Sequence[str], *, contract: Contract) -> None:
    """Raise TypeError for a field that no model of any revision declares: it may be misspelt, and would be paid for.

    `options` are the names of the other arguments, one of which may have been meant.
    """
    if all(name in contract.request_schema["properties"] for name in fields):
        return
    declared = dict.fromkeys([*contract.request_schema["properties"], *declared_fields()])
    wrong = [name for name in fields if name not in declared]
    if not wrong:
        return
    described = []
    for name in wrong:
        near = nearest(name, [*declared, *options])
        described.append(f"{name} (did you mean {near[0]}?)" if near else name)
    raise TypeError(
        f"no model of any revision declares {', '.join(described)}; declared are {', '.join(declared)}; "
        f"to send an undeclared field, give it in the payload: payload={{{wrong[0]!r}: …}}"
    )


def build_payload(
    payload: Mapping[str, Any] | None, image: Image | None, fields: Mapping[str, Any], *, contract: Contract
) -> dict[str, Any]:
    """Return the payload to send: `fields` over `payload`, images as text, and the contract's model if there is none.

    Raise ImageError, and TypeError when `payload` is no mapping or the image is given twice.
    """
    if payload is not None and not isinstance(payload, Mapping):
        raise TypeError(
            f"payload must be a mapping of fields to values, not {type(payload).__name__}; "
            "an image is given as image=…, a prompt as prompt=…"
        )
    body = {MODEL: contract.model, **(payload or {}), **fields}
    if image is not None:
        if IMAGE in body:
            raise TypeError(f"the first frame is given twice: give image=… or {IMAGE}, not both")
        body[IMAGE] = image_url(image)
    result: dict[str, Any] = with_data_uris(body)
    return result
