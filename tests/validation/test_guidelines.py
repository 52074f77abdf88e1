"""Claims about the rules that the provider's pages state only in words."""

from __future__ import annotations

import base64
import io
import json
import struct
import wave
import zlib
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer, Request
from fake_server.messages import Headers
from kling_contract import Client, Contract, validate
from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.errors import InvalidPayload
from kling_contract.validation.guidelines import guidelines_on
from kling_contract.violation import STRICTNESS, Strictness, Violation

GUIDELINES: dict[str, dict[str, Any]] = {
    entry["id"]: entry for entry in read_json(SCHEMAS / "guidelines.json")["guidelines"]
}
LINK = "https://example.com/a"


def uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def png(width: int, height: int, *, padding: int = 0) -> str:
    """Return a PNG of one bit a pixel, with so many bytes of text in it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 + (width + 7) // 8) * height, 1)
    chunks = (b"IHDR", header), (b"tEXt", b"Comment\0" + b" " * padding), (b"IDAT", rows), (b"IEND", b"")
    return uri("image/png", b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks))


def mp4(seconds: float) -> str:
    """Return the boxes of an MP4 that tell how long it is."""

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    header = struct.pack(">5I", 0, 0, 0, 1000, round(seconds * 1000)) + bytes(80)
    return uri("video/mp4", box(b"ftyp", b"isom\0\0\2\0isommp42") + box(b"moov", box(b"mvhd", header)))


def wav(seconds: float) -> str:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 24_000, 0, "NONE", ""))
        sound.writeframes(bytes(round(seconds * 24_000) * 2))
    return uri("audio/wav", file.getvalue())


GIF = uri("image/gif", b"GIF89a" + struct.pack("<2H3B", 640, 480, 0, 0, 0) + b";")
OGG = uri("audio/ogg", b"OggS\0\2" + bytes(20) + b"\1\x1e\1vorbis" + bytes(23))

HUG: dict[str, Any] = {"effect_scene": "hug", "image_url": [LINK, LINK]}
SQUISH: dict[str, Any] = {"effect_scene": "squish", "image_url": LINK}
ONE: dict[str, Any] = {"reference_image_urls": [LINK]}
FILMED = ONE | {"video_url": LINK}
TAIL: dict[str, Any] = {"image_url": LINK, "tail_image_url": LINK, "generate_audio": False}
MOTION: dict[str, Any] = {"image_url": LINK, "video_url": LINK}

EFFECTS = "klingai/kling-video-v1.6-pro-effects"
V3_TEXT = "klingai/video-v3-pro-text-to-video"
V3_IMAGE = "klingai/video-v3-standard-image-to-video"
OMNI = "klingai/video-v3-omni-720p-image-to-video"
TURBO_TEXT = "klingai/video-v3-turbo-pro-text-to-video"
TURBO_IMAGE = "kling-video/v3/turbo/standard/image-to-video"
AVATAR = "klingai/avatar-pro"
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
    "avatar-audio-type": (
        "2025-11-11",
        AVATAR,
        [{"audio_url": wav(0.1)}, {"audio_url": "https://example.com/a.ogg"}, {"audio_url": 5}],
        [{"audio_url": OGG}, {"audio_url": GIF}],
    ),
    "avatar-audio-size": (
        "2026-08-30",
        "kling-video/v1/standard/ai-avatar",
        [{"audio_url": wav(100)}],
        [{"audio_url": wav(110)}],
    ),
    "first-frame-type": (
        "2026-08-21",
        "klingai/video-v3-turbo-pro-image-to-video",
        [{"image_url": png(300, 300)}, {"image_url": "https://example.com/a.gif"}],
        [{"image_url": GIF}],
    ),
    "first-frame-size": (
        "2026-08-30",
        TURBO_IMAGE,
        [{"image_url": png(300, 300)}],
        [{"image_url": png(300, 300, padding=50 * 1024 * 1024)}],
    ),
    "first-frame-pixels": (
        "2026-08-30",
        TURBO_IMAGE,
        [{"image_url": png(300, 300)}],
        [{"image_url": png(299, 300)}, {"image_url": png(300, 299)}],
    ),
    "first-frame-shape": (
        "2026-08-30",
        TURBO_IMAGE,
        [{"image_url": png(300, 750)}, {"image_url": png(750, 300)}],
        [{"image_url": png(300, 751)}, {"image_url": png(751, 300)}],
    ),
    "reference-video-length": (
        "2026-08-21",
        CONTROL,
        [MOTION | {"video_url": mp4(length)} for length in (3, 30)] + [MOTION],
        [MOTION | {"video_url": mp4(length)} for length in (2.9, 30.1)],
    ),
    "reference-video-length-for-image": (
        "2026-08-30",
        "klingai/video-v2-6-pro-motion-control",
        [MOTION | {"video_url": mp4(10), "character_orientation": "image"}, MOTION | {"video_url": mp4(11)}],
        [MOTION | {"video_url": mp4(11), "character_orientation": "image"}],
    ),
    "reference-image-pixels": (
        "2026-08-21",
        CONTROL,
        [MOTION | {"image_url": png(300, 300)}, MOTION | {"image_url": png(65_536, 300)}],
        [MOTION | {"image_url": png(300, 299)}, MOTION | {"image_url": png(65_537, 300)}],
    ),
    "video-over-https": (
        "2025-12-18",
        "klingai/video-o1-video-to-video-edit",
        [{"video_url": LINK}, {"video_url": "HTTPS://example.com/a"}, {"video_url": mp4(5)}, {"video_url": "no URI"}],
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


def broken_guidelines(model: str, revision: str, payload: Any) -> list[Violation]:
    return [violation for guideline in guidelines_on(model, revision) for violation in guideline.broken_by(payload)]


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
    assert list(CASES) == list(GUIDELINES)
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
    (violation,) = broken("avatar-audio-type", "2026-08-30", AVATAR, {"audio_url": OGG})
    assert violation.since == "2025-11-11"


def test_a_violation_says_what_came() -> None:
    """The message has the value of the payload, or what was found in the file; a long value is cut."""
    (kiss,) = broken_guidelines(EFFECTS, "latest", {"effect_scene": "kiss", "image_url": LINK})
    assert kiss.message.startswith('"kiss" takes exactly two images')
    (tall,) = broken("first-frame-shape", "2026-08-30", TURBO_IMAGE, {"image_url": png(300, 900)})
    assert ", and this has 300 x 900 px (source: " in tall.message
    (short,) = broken("reference-video-length", "2026-08-30", CONTROL, MOTION | {"video_url": mp4(1.5)})
    assert ", and this lasts 1.5 s (source: " in short.message
    (large,) = broken("avatar-audio-size", "2026-08-30", AVATAR, {"audio_url": wav(110)})
    assert ", and this has 5,280,044 bytes (source: " in large.message
    (type_,) = broken("first-frame-type", "2026-08-30", TURBO_IMAGE, {"image_url": GIF})
    assert ", and this is image/gif (source: " in type_.message
    (long,) = broken("turbo-prompt-length", "2026-08-30", TURBO_TEXT, {"prompt": "x" * 3000})
    assert len(long.message) < 300


def test_each_file_of_a_list_is_judged_by_itself() -> None:
    """If a field holds a list of files, each that breaks a limit has a violation of its own, at its own place."""
    payload = {"image_url": [png(300, 300), GIF, LINK, 5, GIF]}
    assert [each.pointer for each in broken("first-frame-type", "2026-08-30", TURBO_IMAGE, payload)] == [
        "/image_url/1",
        "/image_url/4",
    ]


@pytest.mark.parametrize("strictness", STRICTNESS)
@pytest.mark.parametrize("guideline", CASES)
def test_no_guideline_is_ever_an_error(guideline: str, strictness: Strictness) -> None:
    """Validation finds each broken guideline, as a warning however strict it is, and none in a payload that keeps it."""
    revision, model, keeping, breaking = CASES[guideline]
    source = GUIDELINES[guideline]["source"]
    for payload in (*keeping, *breaking):
        violations = validate(payload | {"model": model}, revision=revision, strictness=strictness)
        found = [each for each in violations if each.rule == "guideline"]
        assert {each.severity for each in found} <= {"warning"}
        assert payload in keeping or [each for each in found if source in each.message]


def test_guidelines_stand_in_document_order_among_the_rest() -> None:
    """Violations of schema and guidelines are sorted together, and have their places in a text."""
    text = (
        f'{{"model": "{V3_IMAGE}",\n"fps": 24,\n"multi_prompt": ["A cat"],\n"image_url": "{LINK}",\n'
        f'"prompt": "A cat",\n"elements": {json.dumps([FILMED, FILMED])},\n"duration": 99}}'
    )
    violations = validate(text, revision="2026-08-21")
    assert [(each.pointer, each.rule, each.line) for each in violations] == [
        ("/fps", "undeclared", 2),
        ("/multi_prompt", "guideline", 3),
        ("/elements", "guideline", 6),
        ("/duration", "enum", 7),
    ]


def test_files_in_a_list_stand_in_order() -> None:
    """A violation inside of a list has the place of its item."""
    payload = {"model": TURBO_IMAGE, "image_url": [png(300, 300), GIF, GIF], "prompt": "x" * 2600}
    violations = validate(json.dumps(payload, indent=0), revision="2026-08-30", strictness="off")
    assert [(each.pointer, each.line) for each in violations if each.rule == "guideline"] == [
        ("/image_url/1", 5),
        ("/image_url/2", 6),
        ("/prompt", 8),
    ]


def test_a_fake_accepts_what_breaks_a_guideline() -> None:
    """The fake makes the generation, and its journal has the warning; a client that fails on warnings does not send it."""
    fake = FakeServer(revision="2026-08-21")
    payload: dict[str, Any] = {"model": EFFECTS, "image_url": LINK, "effect_scene": "hug"}
    contract = Contract.load("2026-08-21")
    sent = {"authorization": "Bearer k", "content-type": "application/json"}
    url = contract.base_url + contract.create.path
    assert fake.handle(Request("POST", url, Headers(sent), json.dumps(payload).encode())).status == 200
    (warning,) = fake.journal[-1].violations
    assert (warning.rule, warning.severity, warning.pointer) == ("guideline", "warning", "/image_url")
    with (
        Client("k", contract=contract, fail_on="warning") as client,
        pytest.raises(InvalidPayload, match="exactly two"),
    ):
        client.create(payload=payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({name for entry in GUIDELINES.values() for name in (entry["pointer"][1:], *entry.get("fields", ()))})
VALUES = JSON | st.sampled_from([LINK, GIF, OGG, "data:", "data:;base64,", "data:image/png;base64,iVBORw0KGgo="])


@given(
    model=st.sampled_from(sorted({model for _, model, _, _ in CASES.values()})),
    payload=JSON | st.dictionaries(st.sampled_from(FIELDS), VALUES | st.lists(VALUES, max_size=3)),
)
def test_whatever_is_sent_is_judged(model: str, payload: Any) -> None:
    """No JSON payload makes the guidelines fail, and all that they find are warnings at fields of theirs."""
    for violation in broken_guidelines(model, "latest", payload):
        assert (violation.rule, violation.severity) == ("guideline", "warning")
        assert violation.pointer.split("/")[1] in FIELDS
