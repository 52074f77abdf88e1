"""Does a data URI tell what it holds?"""

from __future__ import annotations

import base64
import random
import struct
import textwrap
import time
import zlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kling_contract.contract.documents import FIXTURES
from kling_contract.validation.data_uri import Embedded, embedded_in

SIDES = st.integers(1, 2**14)
CAT = (FIXTURES / "images" / "cat.jpg").read_bytes()
FILM = (FIXTURES / "media" / "kling-7s-9x16.mp4").read_bytes()


def uri(data: bytes, declared: str = "application/octet-stream") -> str:
    return f"data:{declared};base64,{base64.b64encode(data).decode()}"


def held(data: bytes, declared: str = "application/octet-stream") -> Embedded:
    """Return what is found in the data URI of a file."""
    found = embedded_in(uri(data, declared))
    assert found is not None
    assert (found.size, found.declared) == (len(data), declared)
    return found


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b";"


def webp(kind: bytes, data: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def webp_lossy(width: int, height: int) -> bytes:
    scaling = 0x4000  # the two upper bits are a scale, not part of the size
    return webp(b"VP8 ", b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", width % 0x4000 | scaling, height % 0x4000))


def webp_lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14 | 1 << 28) + bytes(4))


def webp_extended(width: int, height: int) -> bytes:
    return webp(b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


def jpeg(width: int, height: int, *, frame: int = 0xC0, before: bytes = b"") -> bytes:
    header = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8" + before + b"\xff" + bytes([frame]) + header + b"\xff\xda\x00\x02\xff\xd9"


def segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", 2 + len(data)) + data


def box(kind: bytes, data: bytes, *, long: bool = False) -> bytes:
    if long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(data)) + data
    return struct.pack(">I4s", 8 + len(data), kind) + data


def mvhd(scale: int, duration: int, version: int) -> bytes:
    layout = ">B3xQQIQ" if version else ">B3xIIII"
    return box(b"mvhd", struct.pack(layout, version, 1, 2, scale, duration) + bytes(80))


FTYP = box(b"ftyp", b"isom\0\0\2\0isommp41")


@pytest.mark.parametrize(
    ("make", "media_type"),
    [
        (png, "image/png"),
        (gif, "image/gif"),
        (jpeg, "image/jpeg"),
        (webp_lossy, "image/webp"),
        (webp_lossless, "image/webp"),
        (webp_extended, "image/webp"),
    ],
)
@given(SIDES, SIDES)
def test_pictures_tell_their_size(make: object, media_type: str, width: int, height: int) -> None:
    """Width and height of a PNG, GIF, JPEG or WebP of any kind are found, whatever type is declared."""
    assert callable(make)
    assume(make is not webp_lossy or (width < 0x4000 and height < 0x4000))
    data = make(width, height)
    assert held(data, "image/tiff") == Embedded(media_type, "image/tiff", len(data), width, height)


BEFORE = st.lists(
    st.builds(segment, st.sampled_from([0xE0, 0xE1, 0xED, 0xFE, 0xDB, 0xC4, 0xC8, 0xCC]), st.binary(max_size=40))
    | st.just(segment(0xE1, b"Exif\0\0" + bytes(65_000)))
    | st.sampled_from([b"\xff", b"\xff\x01", b"\xff\xd0"]),
    max_size=8,
).map(b"".join)
FRAMES = st.sampled_from([each for each in range(0xC0, 0xD0) if each not in (0xC4, 0xC8, 0xCC)])


@given(SIDES, SIDES, FRAMES, BEFORE)
def test_a_jpeg_tells_its_size_behind_any_segments(width: int, height: int, frame: int, before: bytes) -> None:
    """The frame header of a JPEG is found behind EXIF, tables, comments and fill bytes, and is of any coding."""
    found = held(jpeg(width, height, frame=frame, before=before))
    assert (found.media_type, found.width, found.height) == ("image/jpeg", width, height)


@given(
    st.integers(1, 2**32 - 1),
    st.integers(1, 2**32 - 2),
    st.sampled_from([0, 1]),
    st.lists(st.builds(box, st.sampled_from([b"free", b"mdat", b"uuid"]), st.binary(max_size=30), long=st.booleans())),
    st.booleans(),
    st.booleans(),
)
def test_films_tell_their_length(
    scale: int, duration: int, version: int, others: list[bytes], at_the_end: bool, long: bool
) -> None:
    """The length of a film is found in both versions of its header, before or behind the pictures, in long boxes too."""
    moov = box(b"moov", box(b"udta", b"x") + mvhd(scale, duration, version), long=long)
    data = FTYP + b"".join([*others, moov] if at_the_end else [moov, *others])
    found = held(data)
    assert (found.media_type, found.seconds) == ("video/mp4", duration / scale)


def test_a_last_box_may_leave_its_size_open() -> None:
    """A box of size 0 reaches to the end of the file."""
    data = FTYP + struct.pack(">I4s", 0, b"moov") + mvhd(10, 55, 0)
    assert held(data).seconds == 5.5


def test_a_length_may_be_longer_than_32_bits() -> None:
    """The length of a header of version 1 has 64 bits."""
    assert held(FTYP + box(b"moov", mvhd(1, 2**40, 1))).seconds == 2**40


@pytest.mark.parametrize(
    ("scale", "duration", "version"), [(0, 5, 0), (5, 0, 0), (5, 2**32 - 1, 0), (5, 2**64 - 1, 1), (5, 0, 1)]
)
def test_a_film_without_a_length_tells_none(scale: int, duration: int, version: int) -> None:
    """A time scale of 0, and a length of 0 or of all ones, which stands for an unknown one, is no length."""
    assert held(FTYP + box(b"moov", mvhd(scale, duration, version))).seconds is None


def test_real_files_tell_what_they_are() -> None:
    """The photograph has the size that its README states, each film the length that its name says."""
    found = held(CAT, "image/jpeg")
    assert found.media_type == "image/jpeg"
    assert f"{found.width} x {found.height} pixels" in (FIXTURES / "images" / "README.md").read_text(encoding="utf-8")
    for seconds in range(3, 16):
        film = held((FIXTURES / "media" / f"kling-{seconds}s-1x1.mp4").read_bytes(), "video/mp4")
        assert (film.media_type, film.seconds) == ("video/mp4", seconds)


@pytest.mark.parametrize(
    ("head", "declared", "media_type"),
    [
        (b"ID3\4\0\0\0\0\0\0", "audio/wav", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0\0", "audio/wav", "audio/mpeg"),
        (b"\xff\xf3\x90\x64\0\0", "audio/wav", "audio/mpeg"),
        (b"\xff\xf1\x50\x80\0\0", "audio/wav", "audio/aac"),
        (b"\xff\xf9\x50\x80\0\0", "audio/wav", "audio/aac"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/mpeg", "audio/wav"),
        (box(b"ftyp", b"M4A \0\0\0\0"), "video/mp4", "audio/mp4"),
        (box(b"ftyp", b"isom\0\0\0\0"), "audio/x-m4a", "audio/mp4"),
        (box(b"ftyp", b"isom\0\0\0\0"), "image/png", "video/mp4"),
        (box(b"ftyp", b"qt  \0\0\0\0"), "video/mp4", "video/quicktime"),
        (box(b"moov", b""), "video/mp4", "video/quicktime"),
        (box(b"ftyp", b"avif\0\0\0\0"), "image/png", "image/avif"),
        (box(b"ftyp", b"heic\0\0\0\0"), "image/png", "image/heic"),
        ("\ufeffhello".encode("utf-16-le"), "text/plain", "text/plain"),
        (b"\xff\xfb\xf0\x64\0\0", "text/x", "text/x"),
        (b"\xff\xfb\x9c\x64\0\0", "text/x", "text/x"),
        (b"\xff\xeb\x90\x64\0\0", "text/x", "text/x"),
        (b"RIFF\0\0\0\0AVI LIST", "video/avi", "video/avi"),
        (b"<svg/>", "image/svg+xml", "image/svg+xml"),
        (b"", "image/png", "image/png"),
    ],
)
def test_the_first_bytes_tell_the_kind(head: bytes, declared: str, media_type: str) -> None:
    """The media type is that of the signature, and the declared one where the signature is not known."""
    assert held(head, declared).media_type == media_type


@pytest.mark.parametrize(
    ("start", "declared"),
    [
        ("data:image/png;base64,", "image/png"),
        ("DATA:Image/PNG;charset=x;BASE64,", "image/png"),
        ("data:image/png; base64,", "image/png"),
        ("data:;base64,", "text/plain"),
        ("data:image/png,", None),
        ("data:image/png;base64;x=1,", None),
        ("data:base64,", None),
        ("data:image/png;base64", None),
        (" data:image/png;base64,", None),
        ("http://data:image/png;base64,", None),
        ("base64,", None),
        ("", None),
        (f"data:{'x' * 5_000};base64,", None),
    ],
)
def test_what_a_data_uri_is(start: str, declared: str | None) -> None:
    """Only data: with base64 as its last parameter, in upper or lower case, is read; a missing type is text/plain."""
    found = embedded_in(start + "AAAA")
    assert (found and found.declared) == declared
    assert found is None or found.size == 3


@given(st.binary(max_size=300) | st.just(CAT), st.integers(1, 76))
def test_base64_is_understood_as_it_is_written(data: bytes, width: int) -> None:
    """Without padding, and in lines, base64 stands for the same bytes."""
    whole = held(data)
    start, digits = uri(data).split(",")
    assert embedded_in(f"{start},{digits.rstrip('=')}") == whole
    assert embedded_in(f"{start},{digits}\n") == whole
    for end in ("\n", "\r\n"):
        assert embedded_in(f"{start}," + end.join([*textwrap.wrap(digits, width), ""])) == whole


@pytest.mark.parametrize(
    "digits", ["A", "AAAAA", "AA=", "AAA==", "A===", "=", "====", "!AAA", "AAA!", "é" * 4, "AAAA%3D", "A" * 999 + "!"]
)
def test_what_is_no_base64_tells_nothing(digits: str) -> None:
    """Base64 of an impossible length, and other characters at its start or end, are not understood."""
    assert embedded_in(f"data:image/png;base64,{digits}") is None


FILES = {
    "png": (png(640, 480), 24),
    "gif": (gif(640, 480), 10),
    "jpeg": (jpeg(640, 480, before=segment(0xE1, bytes(50))), 65),
    "lossy": (webp_lossy(640, 480), 30),
    "lossless": (webp_lossless(640, 480), 25),
    "extended": (webp_extended(640, 480), 30),
    "film": (FTYP + box(b"mdat", bytes(40)) + box(b"moov", mvhd(10, 50, 0)), 188),
}


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_tells_no_size(name: str) -> None:
    """A file that ends before its size is told has none; whatever else is cut off does not matter."""
    data, needed = FILES[name]
    for length in range(len(data) + 1):
        found = held(data[:length])
        told = found.seconds or found.width
        assert (told is not None) == (length >= needed), length
        assert (found.width is None) == (found.height is None)


def test_zero_is_no_size() -> None:
    """A picture that says it is 0 pixels wide or high tells no size."""
    for data in (png(0, 5), png(5, 0), gif(0, 5), gif(5, 0), jpeg(5, 0)):
        assert held(data).width is held(data).height is None


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff" + bytes(20),
        b"\xff\xd8\xff\xda\0\2" + jpeg(5, 5)[2:],
        b"\xff\xd8\xff\xd9\0\2" + jpeg(5, 5)[2:],
        b"\xff\xd8\xff\xe0\0\0" + bytes(9),
        b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI" + b"\1" * 40,
        webp(b"VP8 ", b"\1" * 30),
        webp(b"VP8L", b"\1" * 30),
        webp(b"ALPH", b"\1" * 30),
    ],
)
def test_a_damaged_picture_tells_no_size(data: bytes) -> None:
    """A picture whose header is not where it should be tells no size."""
    assert held(data).width is None


@pytest.mark.parametrize(
    "boxes",
    [
        struct.pack(">II4s", 4, 8, b"free"),
        struct.pack(">I4s", 4, b"free"),
        struct.pack(">I4sQ", 1, b"free", 3),
        struct.pack(">I4s", 9_999, b"free"),
    ],
)
def test_a_damaged_film_tells_no_length(boxes: bytes) -> None:
    """A box that is smaller than its own header, or larger than the file, ends the search."""
    assert held(FTYP + boxes + box(b"moov", mvhd(1, 5, 0))).seconds is None


STARTS = st.sampled_from([b"", *(data[:cut] for data, _ in FILES.values() for cut in (12, 16, 24, 70, 999))])


@given(st.text() | st.text().map("data:image/png;base64,{}".format) | st.text("data:;base64,/+= \n"))
def test_no_text_is_too_strange(text: str) -> None:
    """Whatever the text is, it is understood or not, and nothing is raised."""
    found = embedded_in(text)
    assert found is None or found.size >= 0


@given(STARTS, st.binary(max_size=200))
def test_no_bytes_are_too_strange(start: bytes, rest: bytes) -> None:
    """Whatever the bytes are, their number is right, and a size that is told is above zero."""
    found = held(start + rest)
    assert all(told is None or told > 0 for told in (found.width, found.height, found.seconds))


@given(st.sampled_from([CAT, FILM]), st.randoms(use_true_random=False))
def test_no_damage_is_too_strange(data: bytes, chance: random.Random) -> None:
    """A real file with damaged bytes, and with damaged base64, raises nothing."""
    damaged = bytearray(data)
    for _ in range(20):
        damaged[chance.randrange(1_000)] = chance.randrange(256)
    held(bytes(damaged))
    digits = list(uri(data))
    for _ in range(5):
        digits[chance.randrange(1_000)] = chance.choice("=!é \n,;\ud800")
    embedded_in("".join(digits))


@pytest.mark.parametrize(
    "data",
    [
        CAT + bytes(10_000_000),
        FTYP + box(b"mdat", bytes(10_000_000)) + box(b"moov", mvhd(1, 5, 0)),
        b"\xff\xd8" + segment(0xE1, b"") * 2_500_000,
        b"\xff\xd8" + b"\xff" * 10_000_000,
        FTYP + box(b"free", b"") * 1_250_000,
        bytes(10_000_000),
    ],
    ids=["picture", "film", "segments", "fill", "boxes", "nothing"],
)
def test_a_large_file_costs_no_time(data: bytes) -> None:
    """10 MB are looked into in less time than it takes to decode them, also if they consist of nothing but tiny parts."""
    text = uri(data)
    encoded = text.partition(",")[2]
    looking, decoding = [], []
    for _ in range(10):
        began = time.perf_counter()
        embedded_in(text)
        between = time.perf_counter()
        base64.b64decode(encoded)
        looking.append(between - began)
        decoding.append(time.perf_counter() - between)
    assert min(looking) < min(decoding)


def test_an_embedded_file_is_a_value() -> None:
    """What is found compares by value and can not be changed."""
    assert held(CAT) == held(CAT)
    assert len({held(CAT), held(CAT), held(FILM)}) == 2


def test_padding_inside_of_a_film_tells_no_length() -> None:
    """A box that is cut short by padding in the middle of the base64 leaves the film without a length, and no exception."""
    digits = base64.b64encode(FILM).decode()
    whole = embedded_in(f"data:video/mp4;base64,{digits}")
    assert whole is not None
    for at in range(4, 400, 4):
        found = embedded_in(f"data:video/mp4;base64,{digits[: at + 2]}=={digits[at + 4 :]}")
        assert found is None or found.seconds in (None, whole.seconds)
