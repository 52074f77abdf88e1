"""Are the photograph and the videos what their README and their names say?"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.service import media
from kling_contract.contract import Contract, revisions
from kling_contract.contract.documents import FIXTURES

LENGTHS = range(3, 16)
SHAPES = {"16x9": (640, 360), "9x16": (360, 640), "1x1": (480, 480)}
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}

needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
each_video = pytest.mark.parametrize(
    ("seconds", "shape"), [(seconds, shape) for seconds in LENGTHS for shape in SHAPES]
)


def video(seconds: int, shape: str) -> Path:
    return FIXTURES / "media" / f"kling-{seconds}s-{shape}.mp4"


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
def test_a_video_is_an_mp4_as_long_as_its_name_says(seconds: int, shape: str) -> None:
    """The header of each MP4 states the duration that its name says."""
    found = dict(boxes(video(seconds, shape).read_bytes()))
    version, timescale, duration = found[b"mvhd"][0], *struct.unpack_from(">II", found[b"mvhd"], 12)
    assert version == 0
    assert duration == seconds * timescale


@each_video
def test_a_video_has_one_avc_track_and_starts_before_it_is_loaded(seconds: int, shape: str) -> None:
    """The only track is AVC video, and the index comes before the pictures: a browser plays at once."""
    content = list(boxes(video(seconds, shape).read_bytes()))
    kinds = [kind for kind, _ in content]
    assert kinds[0] == b"ftyp"
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    assert [data[8:12] for kind, data in content if kind == b"hdlr"] == [b"vide"]
    assert [data[12:16] for kind, data in content if kind == b"stsd"] == [b"avc1"]


def test_the_videos_are_the_promised_ones_and_small() -> None:
    """There is a video of every whole length from 3 to 15 seconds in each shape, no other, and all are below 300 kB."""
    found = set((FIXTURES / "media").glob("*.mp4"))
    assert found == {video(seconds, shape) for seconds in LENGTHS for shape in SHAPES}
    assert sum(path.stat().st_size for path in found) < 300_000


def test_every_duration_of_the_contract_has_a_video() -> None:
    """Whatever duration a revision allows, the video that is served is exactly that long."""
    for name in revisions():
        durations = Contract.load(name).request_schema["properties"]["duration"]["enum"]
        assert durations
        assert set(durations) <= set(LENGTHS)


@given(st.floats(allow_nan=False) | st.sampled_from(LENGTHS), st.sampled_from(sorted(SHAPES)))
def test_the_nearest_length_is_served(seconds: float, shape: str) -> None:
    """No video is nearer in length than the one that is served, which has the shape that was asked for."""
    served = media.video(seconds, shape.replace("x", ":"))
    (length,) = (each for each in LENGTHS if video(each, shape).read_bytes() == served)
    assert abs(length - seconds) == min(abs(each - seconds) for each in LENGTHS)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_nearest_shape_is_served(width: int, height: int) -> None:
    """No shape needs less stretching, whichever side is the longer one, than the shape that is served."""
    served = media.video(5, f"{width}:{height}")
    (shape,) = (each for each in SHAPES if video(5, each).read_bytes() == served)
    assert stretch(shape, width, height) == min(stretch(each, width, height) for each in SHAPES)


def test_halfway_is_not_square() -> None:
    """4:3 is as far from 1:1 as from 16:9, and gives the wide video; 3:4 gives the tall one."""
    assert media.video(5, "4:3") == video(5, "16x9").read_bytes()
    assert media.video(5, "3:4") == video(5, "9x16").read_bytes()


def stretch(shape: str, width: int, height: int) -> Fraction:
    across, down = map(int, shape.split("x"))
    factor = Fraction(width * down, height * across)
    return max(factor, 1 / factor)


@given(
    st.none()
    | st.text()
    | st.integers()
    | st.lists(st.text())
    | st.dictionaries(st.text(), st.integers())
    | st.sampled_from(["0:9", "16:0", "0:0", "16/9", "9x16", " 9:16", "9:16:1", "-9:16", "٩:١٦", "9:" + "6" * 9_999])
)
def test_whatever_is_no_ratio_means_wide(ratio: object) -> None:
    """None, and any value that is not one whole number to another, gives the video of 16:9, as does no ratio at all."""
    assert media.video(5, ratio) == media.video(5) == video(5, "16x9").read_bytes()


def test_a_film_is_read_when_it_is_first_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One file is read for one film, and none when the same film is asked for again."""
    read: list[str] = []
    original = Path.read_bytes

    def noted(path: Path) -> bytes:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    media._read.cache_clear()
    for _ in range(3):
        media.video(7, "9:16")
    assert read == ["kling-7s-9x16.mp4"]


@pytest.mark.other_programs
@needs_ffprobe
@each_video
def test_a_decoder_sees_the_promised_video(seconds: int, shape: str) -> None:
    """An independent decoder finds silent H.264 of the right size and length, and every frame."""
    found = probe(video(seconds, shape))
    (stream,) = found["streams"]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert (stream["width"], stream["height"]) == SHAPES[shape]
    assert float(found["format"]["duration"]) == pytest.approx(seconds, abs=0.05)
    assert int(stream["nb_read_frames"]) == int(stream["nb_frames"]) == 8 * seconds


@pytest.mark.other_programs
@needs_ffprobe
def test_the_photograph_decodes() -> None:
    """The photograph is a JPEG of the size that its README states."""
    (stream,) = probe(FIXTURES / "images" / "cat.jpg")["streams"]
    assert stream["codec_name"] == "mjpeg"
    size = f"{stream['width']} x {stream['height']} pixels"
    assert size in (FIXTURES / "images" / "README.md").read_text(encoding="utf-8")
