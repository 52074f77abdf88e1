"""Claims about the model that a wrong model id was meant to be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract.contract.nearest_model import nearest_models

ALIASES = {"kling-video/v2.6/pro/image-to-video": "klingai/video-v2-6-pro-image-to-video"}
KNOWN = [
    *(
        f"kling-video/{version}/{tier}/{kind}-to-video"
        for version in ("v1", "v1.6")
        for tier in ("standard", "pro")
        for kind in ("image", "text")
    ),
    *(f"klingai/v2-master-{kind}-to-video" for kind in ("image", "text")),
    *(f"klingai/v2.5-turbo/pro/{kind}-to-video" for kind in ("image", "text")),
    *("kling-video/v1.6/standard/multi-image-to-video", "klingai/kling-video-v1.6-pro-effects"),
    *("klingai/video-v2-6-pro-motion-control", *(name for pair in ALIASES.items() for name in pair)),
]
IMAGE, TEXT = ("model", "image_url", "prompt"), ("model", "prompt")


def schema_of(model: str) -> dict[str, Any]:
    """Return the schema of a payload, as far as these tests need it."""
    own = {"effects": "effect_scene", "multi": "image_list", "motion": "video_url"}
    fields = [*(TEXT if "text-" in model else IMAGE), *(field for word, field in own.items() if word in model)]
    return {"properties": {field: {} for field in fields}, "required": fields}


def aliases_of(model: str) -> list[str]:
    """Return the other ids of a model."""
    return [other for pair in ALIASES.items() if model in pair for other in pair if other != model]


def near(asked: str, fields: tuple[str, ...] = ()) -> list[str]:
    """Return the nearest models, by the fields of a payload if there are any."""
    return nearest_models(asked, KNOWN, fields=fields, schema_of=schema_of if fields else None, aliases_of=aliases_of)


@pytest.mark.parametrize(
    ("asked", "models"),
    [
        ("kling-video/v1.6/pro", ["kling-video/v1.6/pro/text-to-video", "kling-video/v1.6/pro/image-to-video"]),
        ("kling-video/v1.6/pro/image-to-vide", ["kling-video/v1.6/pro/image-to-video"]),
        ("kling-video/v1.6/standart/text-to-video", ["kling-video/v1.6/standard/text-to-video"]),
        ("fal-ai/kling-video/v1.6/pro/text-to-video", ["kling-video/v1.6/pro/text-to-video"]),
        ("kling/v1/std/image2video", ["kling-video/v1/standard/image-to-video"]),
        ("kling-v2-master-i2v", ["klingai/v2-master-image-to-video"]),
        ("klingai/v2-6-pro-image-to-video", ["klingai/video-v2-6-pro-image-to-video"]),
        ("kling-video/v2-6-pro/image-to-video", ["kling-video/v2.6/pro/image-to-video"]),
        ("kling-v2-5-turbo-t2v", ["klingai/v2.5-turbo/pro/text-to-video"]),
        ("kling", []),
        ("gpt-4o", []),
        ("", []),
    ],
)
def test_a_wrong_id_leads_to_the_nearest(asked: str, models: list[str]) -> None:
    """Version, tier and kind decide, in whatever spelling; of the names of one model only one is given."""
    assert near(asked) == models


def test_the_fields_of_the_payload_decide_between_equals() -> None:
    """Where the id leaves it open, a payload with an image wants an image model, and one without a text model."""
    assert near("kling-video/v1.6/pro", IMAGE) == ["kling-video/v1.6/pro/image-to-video"]
    assert near("kling-video/v1.6/pro", TEXT) == ["kling-video/v1.6/pro/text-to-video"]
    assert near("kling-v1-6-pro-text", IMAGE) == ["kling-video/v1.6/pro/text-to-video"]  # the id does not leave it open


@given(st.sampled_from(KNOWN), st.data())
def test_one_letter_does_not_lead_away(model: str, data: st.DataObject) -> None:
    """An id with a letter of a word left out leads to itself, or to another id of the same model."""
    letters = [i for i, letter in enumerate(model) if letter.isalpha() and letter != "v"]
    gap = data.draw(st.sampled_from(letters))
    found = near(model[:gap] + model[gap + 1 :])
    assert set(found) & {model, *aliases_of(model)}
