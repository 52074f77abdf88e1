"""Claims about a create whose model is missing, or is one that no revision knows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from fake_server import FakeServer
from kling_contract import Contract, revisions, validate
from kling_contract.contract.documents import SCHEMAS
from kling_contract.contract.models import facts_about
from kling_contract.errors import UnknownModel
from kling_contract.validation.unknown_model import served_models
from tests.support.calls import creating

LINK = "https://example.com/cat.png"
IMAGE: dict[str, Any] = {"image_url": LINK, "prompt": "A cat wakes up."}
TEXT: dict[str, Any] = {"prompt": "A cat wakes up."}
AS_LINES = ("2025-04-25", "2025-08-19", "2025-11-11")


def advice(payload: Any, revision: str = "2025-12-18") -> tuple[str, str | None]:
    """Return the message and the hint of the one violation of a payload, which is of its model."""
    (found,) = validate(payload, revision=revision)
    assert (found.pointer, found.severity) == ("/model", "error")
    return found.message, found.hint


@pytest.mark.parametrize(
    ("model", "fields", "hint"),
    [
        ("kling-video/v1.6/pro", IMAGE, "did you mean kling-video/v1.6/pro/image-to-video?"),
        ("kling-video/v1.6/pro", TEXT, "did you mean kling-video/v1.6/pro/text-to-video?"),
        (
            "kling-video/v1.6/pro",
            {},
            "did you mean kling-video/v1.6/pro/text-to-video, or kling-video/v1.6/pro/image-to-video?",
        ),
        ("kling-v1-6-std-i2v", IMAGE, "did you mean kling-video/v1.6/standard/image-to-video?"),
        ("klingai/v2-6-pro-image-to-video", IMAGE, "did you mean klingai/video-v2-6-pro-image-to-video?"),
        ("kling-video/v1/std/ai-avatar", {"audio_url": LINK}, "did you mean klingai/avatar-standard?"),
        (
            "klingai/video-v3-standart-text-to-video",
            TEXT,
            "did you mean klingai/video-v3-standard-text-to-video (since 2026-08-21)?",
        ),
        ("gpt-4o", IMAGE, "kling-video/v1/pro/image-to-video takes such a payload"),
        ("gpt-4o", {"image_list": [LINK]}, "kling-video/v1.6/standard/multi-image-to-video takes image_list"),
        ("gpt-4o", {}, "one of them is kling-video/v1/pro/image-to-video"),
        ("gpt-4o", {"unheard_of": 1}, "one of them is kling-video/v1/pro/image-to-video"),
    ],
)
def test_a_model_that_nobody_knows_leads_to_the_nearest(model: str, fields: dict[str, Any], hint: str) -> None:
    """The message speaks of all models, and the hint names that which the id and the fields of the payload fit best."""
    assert advice({"model": model, **fields}) == (f'"{model}" is not a Kling model of any revision', hint)


def test_a_model_that_has_left_is_said_to_have() -> None:
    """A proposal of an earlier revision names the last one that has it."""
    hint = advice({"model": "kling-video/v1.5/standart/image-to-video", **IMAGE}, "2026-08-30")[1]
    assert hint == "did you mean kling-video/v1.5/standard/image-to-video (until 2026-08-21)?"


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        ({}, "one of them is kling-video/v1/pro/image-to-video"),
        ({"image_url": LINK}, "kling-video/v1/pro/image-to-video takes image_url"),
        (TEXT, "kling-video/v1.5/pro/text-to-video takes prompt"),
        ({"model_name": "kling-v1", **IMAGE}, "is model_name meant to be model?"),
        ({"effect_scene": "hug", "image_url": LINK}, "klingai/kling-video-v1.6-pro-effects takes such a payload"),
    ],
)
def test_a_missing_model_is_found_by_the_other_fields(payload: dict[str, Any], hint: str) -> None:
    """The hint names the field that stands in for the model, or else the model that takes the fields there are."""
    assert advice(payload) == ("model is missing, and is required", hint)
    if "model_name" not in payload:
        assert advice({"model": None, **payload})[1] == hint


@pytest.mark.parametrize("revision", revisions())
@pytest.mark.parametrize(("fields", "kind"), [(IMAGE, "image-to-video"), (TEXT, "text-to-video")])
def test_the_allowed_values_are_those_that_the_service_lists(revision: str, fields: dict[str, Any], kind: str) -> None:
    """Refusals of lines list the models of the kind that the payload is for, as captured; later ones list all models."""
    contract = Contract.load(revision)
    of_kind = [model for model in contract.models if facts_about(model)["kind"] == kind]
    expected = of_kind if revision in AS_LINES else list(contract.models)
    assert contract.model in of_kind or kind != "image-to-video"
    for wrong in ({"model": "nobody"}, {}, {"model": 5}):
        (found,) = validate({**wrong, **fields}, contract=contract)
        assert (found.schema or {})["enum"] == expected
        assert found.limit == (expected if found.rule == "enum" else "string" if found.rule == "type" else found.limit)


@pytest.mark.parametrize("revision", revisions())
def test_the_fake_lists_the_models(revision: str) -> None:
    """A refusal for the model names other models than the contract's own as well."""
    fake = FakeServer(revision=revision)
    others = [model for model in served_models(fake.contract, IMAGE) if model != fake.contract.model]
    body = fake.handle(creating(fake.contract, {"model": "nobody", **IMAGE})).body.decode()
    assert others
    assert all(model in body for model in others)


def test_documents_of_your_own_stand_alone(tmp_path: Path) -> None:
    """Under a contract from a folder, the message speaks of that and no model of another revision is proposed."""
    shutil.copytree(SCHEMAS / "2025-04-25", tmp_path / "mine")
    contract = Contract.from_folder(tmp_path / "mine")
    (found,) = validate({"model": "kling-video/v3/pro/image-to-vido", **IMAGE}, contract=contract)
    assert found.message == '"kling-video/v3/pro/image-to-vido" is not a model of 2025-04-25'
    assert "v3" not in (found.hint or "")


@pytest.mark.parametrize(
    ("revision", "model", "message"),
    [
        (
            "2025-04-25",
            "kling-video/v1.6/pro/text2video",
            "no revision has a model 'kling-video/v1.6/pro/text2video'; "
            "the nearest is kling-video/v1.6/pro/text-to-video",
        ),
        (
            "2025-04-25",
            "klingai/v2.5-turbo-pro-text-to-vido",
            "no revision has a model 'klingai/v2.5-turbo-pro-text-to-vido'; "
            "the nearest is klingai/v2.5-turbo/pro/text-to-video of revision 2025-11-11, 2025-12-18, 2026-08-21, 2026-08-30",
        ),
        (
            "2025-04-25",
            "kling-video/v3/pro/text-to-video",
            "revision 2025-04-25 has no model 'kling-video/v3/pro/text-to-video'; it is one of revision 2026-08-30",
        ),
    ],
)
def test_an_unknown_model_of_a_revision_leads_to_one(revision: str, model: str, message: str) -> None:
    """UnknownModel says which revision has the model, or else which model was probably meant."""
    with pytest.raises(UnknownModel) as wrong:
        Contract.load(revision, model=model)
    assert str(wrong.value) == message
