"""Claims about the rules that the provider's pages state only in words."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.validation.guidelines import broken_guidelines
from kling_contract.violation import Violation

GUIDELINES: dict[str, dict[str, Any]] = {
    entry["id"]: entry for entry in read_json(SCHEMAS / "guidelines.json")["guidelines"]
}
LINK = "https://example.com/a"

HUG: dict[str, Any] = {"effect_scene": "hug", "image_url": [LINK, LINK]}
SQUISH: dict[str, Any] = {"effect_scene": "squish", "image_url": LINK}
ONE: dict[str, Any] = {"reference_image_urls": [LINK]}
FILMED = ONE | {"video_url": LINK}
TAIL: dict[str, Any] = {"image_url": LINK, "tail_image_url": LINK, "generate_audio": False}

EFFECTS = "klingai/kling-video-v1.6-pro-effects"
V3_TEXT = "klingai/video-v3-pro-text-to-video"
V3_IMAGE = "klingai/video-v3-standard-image-to-video"
OMNI = "klingai/video-v3-omni-720p-image-to-video"
TURBO_TEXT = "klingai/video-v3-turbo-pro-text-to-video"
CONTROL = "klingai/video-v3-motion-control"

# for each guideline: a revision and a model, payloads that keep it, and payloads that break it
CASES: dict[str, tuple[str, str, list[dict[str, Any]], list[dict[str, Any]]]] = {
    "effects-with-two-people": (
        "2025-04-25",
        EFFECTS,
        [
            HUG,
            HUG | {"effect_scene": "kiss"},
            HUG | {"effect_scene": "pet_lion", "image_url": LINK},
            {"image_url": LINK},
        ],
        [HUG | {"image_url": value} for value in (LINK, [], [LINK], [LINK] * 3)]
        + [{"effect_scene": scene, "image_url": LINK} for scene in ("kiss", "heart_gesture")],
    ),
    "effects-on-one-image": (
        "2026-08-30",
        "klingai/kling-video-v1.6-standard-effects",
        [SQUISH, SQUISH | {"image_url": [LINK]}, HUG],
        [SQUISH | {"image_url": [LINK, LINK]}, {"effect_scene": "expansion", "image_url": []}],
    ),
    "shape-follows-image-aspect-ratio": (
        "2025-12-18",
        "kling-video/v1/pro/image-to-video",
        [{"image_url": LINK}],
        [{"image_url": LINK, "aspect_ratio": "16:9"}],
    ),
    "shape-follows-image-ratio": (
        "2025-08-19",
        "kling-video/v1.6/standard/image-to-video",
        [{"image_url": LINK}],
        [{"image_url": LINK, "ratio": "16:9"}],
    ),
    "shape-follows-first-frame-aspect-ratio": (
        "2026-08-21",
        "klingai/video-v3-standard-turbo-image-to-video",
        [{"image_url": LINK}],
        [{"image_url": LINK, "aspect_ratio": "16:9"}],
    ),
    "text-video-of-5-seconds": (
        "2025-11-11",
        "kling-video/v1/standard/text-to-video",
        [{}, {"duration": 5}, {"duration": "5"}],
        [{"duration": 10}, {"duration": "10"}],
    ),
    "prompt-or-multi-prompt": (
        "2026-08-21",
        V3_TEXT,
        [{"prompt": "A cat"}, {"multi_prompt": ["A cat", "A dog"]}],
        [{}, {"duration": 5}],
    ),
    "prompt-not-beside-multi-prompt": (
        "2026-08-30",
        "kling-video/v3/pro/image-to-video",
        [{"prompt": "A cat"}, {"multi_prompt": ["A cat"]}],
        [{"prompt": "A cat", "multi_prompt": ["A dog"]}],
    ),
    "turbo-prompt-not-beside-multi-prompt": (
        "2026-08-21",
        TURBO_TEXT,
        [{}, {"prompt": "A cat"}, {"multi_prompt": [{"prompt": "A cat"}]}, {"prompt": "A cat", "multi_prompt": None}],
        [{"prompt": "A cat", "multi_prompt": [{"prompt": "A dog"}]}],
    ),
    "turbo-prompt-length": (
        "2026-08-21",
        TURBO_TEXT,
        [{"prompt": "x" * 2500}, {"prompt": "x" * 3073}],
        [{"prompt": "x" * 2501}, {"prompt": "x" * 3072}],
    ),
    "tail-frame-without-audio-omni": (
        "2026-08-21",
        OMNI,
        [TAIL, {"image_url": LINK, "generate_audio": True}],
        [TAIL | {"generate_audio": True}, {"image_url": LINK, "tail_image_url": LINK}],
    ),
    "tail-frame-without-audio": (
        "2026-08-30",
        V3_IMAGE,
        [TAIL, {"image_url": LINK, "generate_audio": True}],
        [TAIL | {"generate_audio": True}, {"image_url": LINK, "tail_image_url": LINK}],
    ),
    "element-of-pictures-or-video": (
        "2026-08-21",
        V3_IMAGE,
        [{"elements": []}, {"elements": [ONE | {"frontal_image_url": LINK}, FILMED]}],
        [{"elements": [ONE, FILMED | {"frontal_image_url": LINK}]}],
    ),
    "one-element-with-video": (
        "2026-08-21",
        OMNI,
        [{"elements": [ONE, ONE]}, {"elements": [FILMED, ONE]}],
        [{"elements": [FILMED, ONE, FILMED]}],
    ),
    "video-over-https": (
        "2025-12-18",
        "klingai/video-o1-video-to-video-edit",
        [
            {"video_url": LINK},
            {"video_url": "HTTPS://example.com/a"},
            {"video_url": "data:video/mp4;base64,AAAA"},
            {"video_url": "no URI"},
        ],
        [{"video_url": "http://example.com/a.mp4"}, {"video_url": "ftp://example.com/a.mp4"}],
    ),
    "provider": (
        "2026-08-21",
        "klingai/v2.5-turbo/pro/text-to-video",
        [{}] + [{"provider": name} for name in ("kling", "KlingAI", "FAL", "auto")],
        [{"provider": name} for name in ("", "klingen", "fal.ai", "auto ")],
    ),
    "provider-of-more-models": (
        "2026-08-30",
        "kling-video/v1/pro/image-to-video",
        [{"provider": "KLING"}],
        [{"provider": "openai"}],
    ),
}


def broken(guideline: str, revision: str, model: str, payload: Any) -> list[Violation]:
    """Return the violations of one guideline, which its source and message tell from others."""
    entry = GUIDELINES[guideline]
    ending = f"(source: {entry['source']})"
    begin = entry["message"].partition("{")[0]
    return [
        each
        for each in broken_guidelines(model, revision, payload)
        if each.message.startswith(begin)
        and each.message.endswith(ending)
        and each.pointer.startswith(entry["pointer"])
    ]


def test_every_guideline_has_its_cases() -> None:
    """Each guideline has a payload that breaks it and one that keeps it, under a model that it is about."""
    assert list(CASES) == [each for each, entry in GUIDELINES.items() if "then" in entry]
    for guideline, (_, model, keeping, breaking) in CASES.items():
        assert keeping, guideline
        assert breaking, guideline
        assert any(fnmatchcase(model, pattern) for pattern in GUIDELINES[guideline]["models"])


@pytest.mark.parametrize("guideline", CASES)
def test_a_guideline_warns_of_what_breaks_it_and_of_nothing_else(guideline: str) -> None:
    """A broken guideline gives one warning, which names its source; a kept one gives none."""
    revision, model, keeping, breaking = CASES[guideline]
    for payload in keeping:
        assert broken(guideline, revision, model, payload) == []
    for payload in breaking:
        (violation,) = broken(guideline, revision, model, payload)
        assert (violation.rule, violation.severity, violation.part) == ("guideline", "warning", "body")
        assert violation.hint == GUIDELINES[guideline]["hint"]
        assert "{" not in violation.message


@pytest.mark.parametrize("guideline", CASES)
def test_a_guideline_holds_from_its_date_to_its_end(guideline: str) -> None:
    """No revision before its date knows it, none from its end on, and a model that it is not about never does."""
    revision, model, _, (payload, *_) = CASES[guideline]
    since, until = GUIDELINES[guideline]["since"], GUIDELINES[guideline].get("until")
    assert broken(guideline, since, model, payload)
    assert not broken(guideline, "2025-01-01", model, payload)
    assert bool(broken(guideline, "my-own", model, payload)) == (until is None)
    if until:
        assert not broken(guideline, until, model, payload)
    assert broken_guidelines("kling-video/unknown", revision, payload) == []


def test_a_violation_says_since_which_revision() -> None:
    """`since` is the first revision from the date of the guideline on."""
    (violation,) = broken("video-over-https", "2026-08-30", CONTROL, {"video_url": "http://a"})
    assert violation.since == "2025-12-18"


def test_a_violation_says_what_came() -> None:
    """The message has the value of the payload; a long one is cut."""
    (kiss,) = broken_guidelines(EFFECTS, "latest", {"effect_scene": "kiss", "image_url": LINK})
    assert kiss.message.startswith('"kiss" takes exactly two images')
    (long,) = broken("turbo-prompt-length", "2026-08-30", TURBO_TEXT, {"prompt": "x" * 3000})
    assert len(long.message) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({name for entry in GUIDELINES.values() for name in (entry["pointer"][1:], *entry.get("fields", ()))})
VALUES = JSON | st.sampled_from([LINK, "data:", "data:;base64,", "data:image/png;base64,iVBORw0KGgo="])


@given(
    model=st.sampled_from(sorted({model for _, model, _, _ in CASES.values()})),
    payload=JSON | st.dictionaries(st.sampled_from(FIELDS), VALUES | st.lists(VALUES, max_size=3)),
)
def test_whatever_is_sent_is_judged(model: str, payload: Any) -> None:
    """No JSON payload makes the guidelines fail, and all that they find are warnings at fields of theirs."""
    for violation in broken_guidelines(model, "latest", payload):
        assert (violation.rule, violation.severity) == ("guideline", "warning")
        assert violation.pointer.split("/")[1] in FIELDS
