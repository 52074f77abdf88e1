"""Are the photograph and the videos what their README and their names say?"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kling_contract.contract import Contract
from kling_contract.contract.documents import FIXTURES

DURATIONS = Contract.load().request_schema["properties"]["duration"]["enum"]
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}

needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
each_video = pytest.mark.parametrize("seconds", DURATIONS)


def video(seconds: int) -> Path:
    return FIXTURES / "media" / f"kling-{seconds}s.mp4"


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes of an MP4 in file order as (type, content), a container before what it contains."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert 8 <= size <= len(data) - at, f"{kind!r} at {at} claims {size} of {len(data) - at} bytes"
        content = data[at + 8 : at + size]
        yield kind, content
        if kind in CONTAINERS:
            yield from boxes(content)
        at += size


def probe(path: Path) -> Any:
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", "-count_frames"]
    done = subprocess.run([*command, str(path)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@each_video
def test_a_video_is_an_mp4_as_long_as_its_name_says(seconds: int) -> None:
    """Each duration that the contract allows has an MP4 whose header states that duration."""
    found = dict(boxes(video(seconds).read_bytes()))
    version, timescale, duration = found[b"mvhd"][0], *struct.unpack_from(">II", found[b"mvhd"], 12)
    assert version == 0
    assert duration == seconds * timescale


@each_video
def test_a_video_has_one_avc_track_and_starts_before_it_is_loaded(seconds: int) -> None:
    """The only track is AVC video, and the index comes before the pictures: a browser plays at once."""
    content = list(boxes(video(seconds).read_bytes()))
    kinds = [kind for kind, _ in content]
    assert kinds[0] == b"ftyp"
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    assert [data[8:12] for kind, data in content if kind == b"hdlr"] == [b"vide"]
    assert [data[12:16] for kind, data in content if kind == b"stsd"] == [b"avc1"]


def test_there_is_no_video_that_the_contract_does_not_allow() -> None:
    """The videos are exactly the durations of the contract."""
    assert set((FIXTURES / "media").glob("*.mp4")) == {video(seconds) for seconds in DURATIONS}


@pytest.mark.other_programs
@needs_ffprobe
@each_video
def test_a_decoder_sees_the_promised_video(seconds: int) -> None:
    """An independent decoder finds silent H.264, 1280 x 720, of the right length, and every frame."""
    found = probe(video(seconds))
    (stream,) = found["streams"]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert (stream["width"], stream["height"]) == (1280, 720)
    assert float(found["format"]["duration"]) == pytest.approx(seconds, abs=0.05)
    assert int(stream["nb_read_frames"]) == int(stream["nb_frames"]) == 24 * seconds


@pytest.mark.other_programs
@needs_ffprobe
def test_the_photograph_decodes() -> None:
    """The photograph is a JPEG of the size that its README states."""
    (stream,) = probe(FIXTURES / "images" / "cat.jpg")["streams"]
    assert stream["codec_name"] == "mjpeg"
    size = f"{stream['width']} x {stream['height']} pixels"
    assert size in (FIXTURES / "images" / "README.md").read_text(encoding="utf-8")
