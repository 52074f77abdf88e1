"""Claims about the advice on names: what an undeclared or a missing field was meant to be."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from kling_contract import Contract, revisions, validate
from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.contract.other_names import known_names, plain
from kling_contract.validation.messages import check_query
from kling_contract.validation.validator import Validator

CONTRACT = Contract.load()
DOCUMENT = read_json(SCHEMAS / "other-names.json")
NAMES = [name for meaning in DOCUMENT["meanings"] for name in meaning["names"]]
MINIMAL: dict[str, Any] = {
    "model": CONTRACT.request_schema["properties"]["model"]["enum"][0],
    "image_url": "https://example.com/cat.png",
    "prompt": "A cat wakes up.",
}
WITHOUT_IMAGE = {name: value for name, value in MINIMAL.items() if name != "image_url"}
CALLBACK = "this API has no callback; poll instead"
TIER = "std and pro are part of the model id here, as in kling-video/v1/pro/image-to-video"
VERSION = "the version is part of the model id here, as in kling-video/v1.6/pro/image-to-video"
PROPOSED = re.compile(r"did you mean (\w+)\?|meant to be (\w+)\?|it is called (\w+)")


def hints(payload: Any, revision: str | None = None) -> dict[str, str | None]:
    """Return the hint of each undeclared or missing member, by its pointer."""
    found = validate(payload, revision=revision)
    return {each.pointer: each.hint for each in found if each.rule in ("undeclared", "required")}


def proposed(hint: str | None) -> set[str]:
    """Return the fields that a hint proposes."""
    return {name for match in PROPOSED.finditer(hint or "") for name in match.groups() if name}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("image_tail", "did you mean tail_image_url?"),
        ("imageTail", "did you mean tail_image_url?"),
        ("image-tail", "did you mean tail_image_url?"),
        ("image_tail_url", "did you mean tail_image_url?"),
        ("image_end_url", "did you mean tail_image_url?"),
        ("end_image", "did you mean tail_image_url?"),
        ("end_image_url", "did you mean tail_image_url?"),
        ("last_image", "did you mean tail_image_url?"),
        ("last_image_url", "did you mean tail_image_url?"),
        ("lastFrame", "did you mean tail_image_url?"),
        ("last_frame_image", "did you mean tail_image_url?"),
        ("tailImageUrl", "did you mean tail_image_url?"),
        ("tali_image_url", "did you mean tail_image_url?"),
        ("image_tial", "did you mean tail_image_url?"),
        ("start_image", None),
        ("start_image_url", None),
        ("first_frame", None),
        ("image", None),
        ("imageUrl", None),
        ("images_url", None),
        ("image_list", None),
        ("promptText", None),
        ("promts", None),
        ("model_name", None),
        ("mode", TIER),
        ("version", VERSION),
        ("callback_url", CALLBACK),
        ("callBackUrl", CALLBACK),
        ("webhook", CALLBACK),
        ("seed", "this API has no seed"),
        ("durationSeconds", "did you mean duration?"),
        ("durration", "did you mean duration?"),
        ("negativePrompt", "did you mean negative_prompt?"),
        ("negativ_prompt", "did you mean negative_prompt?"),
        ("guidance_scale", "did you mean cfg_scale?"),
        ("CFGScale", "did you mean cfg_scale?"),
        ("aspectRatio", None),  # it is deprecated for this model
        ("sound", None),
        ("elements", None),
        ("static_mask", "it is called static_mask_url in 2025-04-25, and static_mask since 2025-08-19"),
        ("external_task_id", "it is in the contract since 2025-08-19, not yet in 2025-04-25"),
        ("unheard_of", None),
    ],
)
def test_a_name_beside_a_whole_payload(name: str, hint: str | None) -> None:
    """An undeclared name gets the hint that fits what it means, and none rather than a field that is there or a wrong one."""
    assert hints({**MINIMAL, name: "x"}, "2025-04-25") == {f"/{name}": hint}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "start_image",
            "start_image_url",
            "first_frame",
            "firstFrameImage",
            "promptImage",
            "image",
            "imageUrl",
            "img_url",
        ),
        *("image_urls", "image_list", "images_url", "start_imge_url"),
    ],
)
def test_a_name_for_the_missing_first_frame(name: str) -> None:
    """Both violations say that the undeclared name was meant to be the missing image_url."""
    assert hints({**WITHOUT_IMAGE, name: "x"}, "2025-04-25") == {
        f"/{name}": "did you mean image_url?",
        "/image_url": f"is {name} meant to be image_url?",
    }


@pytest.mark.parametrize(
    "name", ["image_tail", "end_image_url", "image_end_url", "lastFrame", "last_image", "image_tial"]
)
def test_a_last_frame_is_no_missing_first_frame(name: str) -> None:
    """A name for the last frame is never taken for the missing first one."""
    assert hints({**WITHOUT_IMAGE, name: "x"}, "2025-04-25") == {
        f"/{name}": "did you mean tail_image_url?",
        "/image_url": None,
    }


@pytest.mark.parametrize("name", ["image_url_last", "end_imag_url2", "end_pic_url", "the_last_image_url"])
def test_a_word_for_one_frame_never_leads_to_the_other(name: str) -> None:
    """A name that nobody knows is not taken for the first frame if a word in it says last."""
    assert "image_url" not in {
        field for hint in hints({**WITHOUT_IMAGE, name: "x"}).values() for field in proposed(hint)
    }


def test_a_known_name_comes_before_a_similar_one() -> None:
    """Of two undeclared names, a missing field was meant by that which other APIs know, wherever it stands."""
    found = hints({"imag_url": "x", "start_frame": "x", **WITHOUT_IMAGE})
    assert found["/image_url"] == "is start_frame meant to be image_url?"


def test_a_spelling_comes_before_a_typing_error() -> None:
    """Of two undeclared names, a missing field was meant by that which is the same but for its spelling."""
    found = hints({"imag_url": "x", "ImageUrl": "x", **WITHOUT_IMAGE})
    assert found["/image_url"] == "is ImageUrl meant to be image_url?"


def test_the_tier_is_not_the_model() -> None:
    """A mode is not taken for a missing model, however similar the two words are."""
    payload = {"mode": "pro", "image_url": MINIMAL["image_url"], "prompt": "x"}
    assert hints({**MINIMAL, **payload}) == {"/mode": TIER}
    assert hints(payload) == {"/model": "kling-video/v1/pro/image-to-video takes such a payload"}
    assert hints({**payload, "model_name": "kling-v1"})["/model"] == "is model_name meant to be model?"


def test_a_renamed_field_is_not_proposed_twice() -> None:
    """If the new name is there already, the old one is not said to be called so."""
    old = {**MINIMAL, "static_mask_url": "x"}
    assert hints(old, "2025-08-19") == {"/static_mask_url": "it is called static_mask since 2025-08-19"}
    assert hints({**old, "static_mask": "x"}, "2025-08-19") == {"/static_mask_url": None}


def test_names_are_known_at_any_depth() -> None:
    """Inside of an object, the fields of that object are proposed, and not those of the payload."""
    found = hints({**MINIMAL, "dynamic_masks": [{"mask": "x", "image_tail": "x"}]}, "2025-04-25")
    assert found["/dynamic_masks/0/mask_url"] == "is mask meant to be mask_url?"
    assert found["/dynamic_masks/0/image_tail"] is None


def test_names_of_a_query_are_known_too() -> None:
    """What other APIs call the id of a generation is recognised in the query of a poll."""
    for name in ("id", "task_id", "generationId", "request_id"):
        _, found = check_query(CONTRACT, CONTRACT.get, f"{name}=abc")
        assert [each.hint for each in found] == [
            "did you mean generation_id?",
            f"is {name} meant to be generation_id?",
        ]


def test_what_a_response_has_is_not_advised() -> None:
    """A member of a response, which nobody sent, is not met with advice for senders."""
    validator = Validator({"properties": {"image_url": {}}}, contract=CONTRACT, undeclared="notice", part="response")
    assert [each.hint for each in validator.validate_value({"seed": 1, "start_image": "x"})] == [None, None]
    assert [each.hint for each in validator.validate_value({"imageUrl": "x"})] == ["did you mean image_url?"]


def _spellings(name: str) -> st.SearchStrategy[str]:
    camel = re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)
    place = st.integers(0, len(name) - 1)
    dropped = place.map(lambda i: name[:i] + name[i + 1 :])
    swapped = place.map(lambda i: name[: i - 1] + name[i] + name[i - 1] + name[i + 1 :] if i else name)
    return st.sampled_from([name, camel, name.replace("_", "-"), name.upper(), f"{name}s"]) | dropped | swapped


@st.composite
def payloads_with_odd_names(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Some declared fields of a revision beside names of other APIs, of other revisions, and misspelt ones."""
    revision = draw(st.sampled_from(revisions()))
    properties = Contract.load(revision).request_schema["properties"]
    odd = st.sampled_from([*NAMES, *properties, "static_mask", "static_mask_url", "type"]).flatmap(_spellings)
    names = draw(st.lists(odd.filter(bool), max_size=5)) + draw(st.lists(st.sampled_from(sorted(properties))))
    return revision, dict.fromkeys(draw(st.permutations(names)), "x")


@given(payloads_with_odd_names())
def test_no_hint_proposes_what_is_there(drawn: tuple[str, dict[str, Any]]) -> None:
    """Whatever names a payload has, no hint proposes a field that it has, and the frames are not confused."""
    revision, payload = drawn
    for pointer, hint in hints(payload, revision).items():
        assert not proposed(hint) & {*payload} - {pointer[1:]}, (payload, hint)
        assert pointer[1:] in payload or proposed(hint) <= {pointer[1:]}
        if re.search(r"tail|last|end_|_end", pointer) and pointer[1:] in payload:
            assert "image_url" not in proposed(hint)
        if re.search(r"start|first", pointer):
            assert not proposed(hint) & {"tail_image_url", "last_image_url"}


def test_the_names_have_the_declared_shape() -> None:
    """The document keeps its own schema; each name is in it once, however it is written, with its source."""
    schema = read_json(SCHEMAS / "other-names.schema.json")
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(DOCUMENT)
    assert len({plain(name) for name in NAMES}) == len(NAMES) == len(known_names()) >= 60
