"""Claims about a field that the model of a payload does not take, and another model does."""

from __future__ import annotations

from typing import Any

import pytest

from kling_contract import Contract, revisions, validate
from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.validation.sibling_fields import model_that_takes

LINK = "https://example.com/cat.png"
TEXT = "kling-video/v1.6/standard/text-to-video"
IMAGE = "kling-video/v1/pro/image-to-video"
MEANINGS = read_json(SCHEMAS / "other-names.json")["meanings"]
OF_THE_QUERY = "generation_id"


def advice(model: str, name: str, revision: str) -> tuple[str, str | None]:
    """Return the message and the hint for a field that a payload has besides valid ones."""
    payload: dict[str, Any] = {"model": model, "prompt": "A cat wakes up.", name: LINK}
    (found,) = (
        each
        for each in validate({"image_url": LINK, **payload} if model == IMAGE else payload, revision=revision)
        if each.rule == "undeclared"
    )
    return found.message, found.hint


@pytest.mark.parametrize(
    ("model", "name", "revision", "hint"),
    [
        (TEXT, "image_url", "2025-04-25", "kling-video/v1.6/standard/image-to-video takes it"),
        (TEXT, "start_image", "2025-04-25", "kling-video/v1.6/standard/image-to-video takes it as image_url"),
        (TEXT, "effect_scene", "2025-12-18", "klingai/kling-video-v1.6-standard-effects takes it"),
        (TEXT, "generate_audio", "2025-12-18", "klingai/video-v2-6-pro-text-to-video takes it"),
        (IMAGE, "audio_url", "2025-12-18", "klingai/avatar-pro takes it"),
        (IMAGE, "image_list", "2026-08-30", "kling-video/v1.6/standard/multi-image-to-video takes it"),
        (IMAGE, "sound", "2026-08-30", "kling-video/v3/pro/image-to-video takes it as generate_audio"),
        (IMAGE, "aspect_ratio", "2025-12-18", "it left the contract on 2025-08-19"),
        (
            TEXT,
            "mode",
            "2026-08-30",
            "std and pro are part of the model id here, as in kling-video/v1/pro/image-to-video",
        ),
    ],
)
def test_a_field_of_another_model_names_the_nearest_that_takes_it(
    model: str, name: str, revision: str, hint: str
) -> None:
    """The message says what kind of model ignores the field; what is known of it for this model comes before siblings."""
    kind = model.rpartition("/")[2]
    assert advice(model, name, revision) == (f"{name} is not a field of this {kind} model and would be ignored", hint)


@pytest.mark.parametrize(
    ("model", "name", "hint"),
    [
        (IMAGE, "end_image", "did you mean tail_image_url?"),
        (IMAGE, "last_image_url", "did you mean tail_image_url?"),
        (IMAGE, "start_image", None),
        (IMAGE, "multi_prompt", None),
        (TEXT, "unheard_of", None),
    ],
)
def test_a_field_of_no_other_model_is_none_of_the_revision(model: str, name: str, hint: str | None) -> None:
    """A name that no model of the revision takes is said to be none of its fields, with the advice there is otherwise."""
    assert advice(model, name, "2025-04-25") == (f"{name} is not a field of 2025-04-25", hint)


@pytest.mark.parametrize("revision", revisions())
def test_the_model_that_is_named_takes_the_field(revision: str) -> None:
    """For each model and each field of any other, the proposed model declares the field; own fields have no proposal.

    A field that is deprecated wherever it is declared may lead to what it means, as ratio does to aspect_ratio.
    """
    contract = Contract.load(revision)
    own = {model: contract.for_model(model).request_schema["properties"] for model in contract.models}
    names = {name for properties in own.values() for name in properties}
    current = {name for fields in own.values() for name, schema in fields.items() if not schema.get("deprecated")}
    for model in contract.models:
        for name in names:
            found = model_that_takes(name, contract.for_model(model))
            if name in own[model]:
                assert found is None
            elif found is not None:
                assert found[0] in own[found[1]]
                assert found[0] == name or name not in current
            else:
                assert name not in current


def test_every_known_name_leads_to_a_field() -> None:
    """Each field that a name of another API leads to is one that some model of some revision takes, or one of a poll."""
    declared = {
        name
        for revision in revisions()
        for contract in [Contract.load(revision)]
        for model in contract.models
        for name in _all_names(contract.for_model(model).request_schema)
    }
    for meaning in MEANINGS:
        assert meaning.get("fields") or meaning.get("advice"), meaning["meaning"]
        for field in meaning.get("fields", ()):
            assert field in declared or field == OF_THE_QUERY, (meaning["meaning"], field)


def _all_names(schema: Any) -> set[str]:
    """Return the names of all fields of a schema, at any depth."""
    if isinstance(schema, list):
        return {name for each in schema for name in _all_names(each)}
    if not isinstance(schema, dict):
        return set()
    return {*schema.get("properties", {})} | {name for each in schema.values() for name in _all_names(each)}
