"""What a data URI holds: the kind of the file, its size in bytes, and how large or long the picture or film is."""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass
from typing import Any

__all__ = ["Embedded", "embedded_in"]

_LONGEST_HEADER = 1_000  # characters from "data:" to the comma
_LONGEST_LINE = 100  # characters; base64 that is wrapped has at most 76 a line
_MOST_PARTS = 500  # segments or boxes that are looked at, so that a hostile file costs no time
_PNG = b"\x89PNG\r\n\x1a\n"
_BRANDS = {b"qt  ": "video/quicktime", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"M4P ": "audio/mp4"}
_BRANDS |= dict.fromkeys([b"avif", b"avis"], "image/avif")
_BRANDS |= dict.fromkeys([b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"], "image/heic")


@dataclass(frozen=True, slots=True)
class Embedded:
    """A file in a data URI.

    `media_type` is what the first bytes tell, or what is declared if they tell nothing; `declared` is what the URI says,
    in lower case and without parameters. `size` is in bytes. `width` and `height` are in pixels, as stored: a rotation
    in EXIF does not exchange them. They are None if the file is no PNG, JPEG, GIF or WebP, or does not tell them.
    `seconds` is None if the file is no MP4 or QuickTime, or does not tell it.
    """

    media_type: str
    declared: str
    size: int
    width: int | None = None
    height: int | None = None
    seconds: float | None = None


def embedded_in(text: str) -> Embedded | None:
    """Return what a data URI holds; None if the text is no data URI in base64.

    Decodes only the parts that tell something, so that 10 MB take no longer than 10 kB. Therefore a character that is
    not of base64 goes unnoticed between those parts. Missing padding and wrapped lines are accepted.
    """
    comma = text.find(",", 0, _LONGEST_HEADER)
    scheme, _, header = text[: max(comma, 0)].partition(":")
    media_type, *parameters = (part.strip().lower() for part in header.split(";"))
    if scheme.lower() != "data" or parameters[-1:] != ["base64"]:
        return None
    declared = media_type or "text/plain"  # as RFC 2397 says
    try:
        content = _Content(text, comma + 1)
        head = content.read(0, min(content.size, 32))
        content.read(max(content.size - 1, 0), min(content.size, 1))
    except ValueError:
        return None
    kind = _sniffed(head, declared) or declared
    try:
        if kind in ("video/mp4", "video/quicktime", "audio/mp4"):
            return Embedded(kind, declared, content.size, seconds=_seconds(content))
        width, height = _dimensions(content, head)
    except ValueError:
        return Embedded(kind, declared, content.size)
    return Embedded(kind, declared, content.size, width, height)


class _Content:
    """The bytes that base64 text stands for, decoded where they are read. Raises ValueError if they can not be."""

    def __init__(self, text: str, start: int) -> None:
        edges = text[start : start + _LONGEST_LINE] + text[max(start, len(text) - _LONGEST_LINE) :]
        if "".join(edges.split()) != edges:
            text, start = "".join(text[start:].split()), 0
        tail = text[max(start, len(text) - 2) :]
        padding = len(tail) - len(tail.rstrip("="))
        self._text, self._start, self._end = text, start, len(text) - padding
        length = self._end - start
        if length % 4 == 1 or (padding and (length + padding) % 4):
            raise ValueError("base64 of an impossible length")
        self.size = length * 3 // 4

    def read(self, at: int, count: int) -> bytes:
        """Return `count` bytes from `at` on. Raise ValueError if there are fewer, or if they are not in base64."""
        if at + count > self.size:
            raise ValueError("the file ends too early")
        first, last = at // 3 * 4, (at + count + 2) // 3 * 4
        digits = self._text[self._start + first : min(self._start + last, self._end)]
        found = binascii.a2b_base64(digits + "=" * (-len(digits) % 4), strict_mode=True)
        wanted = found[at % 3 : at % 3 + count]
        if len(wanted) < count:
            raise ValueError("padding inside of the base64")
        return wanted

    def unpack(self, layout: str, at: int) -> tuple[Any, ...]:
        """Return the values that stand at `at`, as `struct` lays them out."""
        return struct.unpack(layout, self.read(at, struct.calcsize(layout)))


def _sniffed(head: bytes, declared: str) -> str | None:
    """Return the media type that the first bytes of a file tell; None if they tell none."""
    if head.startswith(_PNG):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        # Other brands are of MP4 in general, which may hold sound alone.
        return _BRANDS.get(head[8:12], "audio/mp4" if declared.startswith("audio/") else "video/mp4")
    if head[4:8] in (b"moov", b"mdat", b"wide"):  # QuickTime is older than ftyp
        return "video/quicktime"
    if head.startswith(b"ID3"):
        return "audio/mpeg"
    if len(head) > 2 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:  # the synchronisation of ADTS
            return "audio/aac"
        is_mpeg = head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08 and head[1] & 0x06 in (0x02, 0x04)
        if is_mpeg and head[2] & 0xF0 != 0xF0 and head[2] & 0x0C != 0x0C:  # a possible bit rate and sampling rate
            return "audio/mpeg"
    return None


def _dimensions(content: _Content, head: bytes) -> tuple[int, int]:
    """Return width and height of a picture in pixels. Raise ValueError if it does not tell them."""
    width = height = 0
    if head.startswith(_PNG) and head[12:16] == b"IHDR":
        width, height = content.unpack(">II", 16)
    elif head.startswith(b"\xff\xd8\xff"):
        height, width = content.unpack(">HH", _frame_header(content) + 5)
    elif head.startswith((b"GIF87a", b"GIF89a")):
        width, height = content.unpack("<HH", 6)
    elif head[8:16] == b"WEBPVP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in content.unpack("<HH", 26))
    elif head[8:16] == b"WEBPVP8L" and head[20:21] == b"\x2f":
        (bits,) = content.unpack("<I", 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif head[8:16] == b"WEBPVP8X":
        sides = content.read(24, 6)
        width, height = (int.from_bytes(side, "little") + 1 for side in (sides[:3], sides[3:]))
    if not width or not height:
        raise ValueError("no width and height")
    return width, height


def _frame_header(content: _Content) -> int:
    """Return where the frame header (SOF) of a JPEG begins. Raise ValueError if it has none before its pixels."""
    at = 2
    for _ in range(_MOST_PARTS):
        start, marker = content.read(at, 2)
        if start != 0xFF or marker in (0xD9, 0xDA):
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return at
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a segment
            at += 2
        else:
            at += 2 + content.unpack(">H", at + 2)[0]
    raise ValueError("no frame header")


def _seconds(content: _Content) -> float:
    """Return the length of an MP4 or QuickTime film. Raise ValueError if it does not tell it."""
    at, _ = _box(content, b"mvhd", *_box(content, b"moov", 0, content.size))
    if content.read(at, 1) == b"\1":
        scale, duration, unknown = *content.unpack(">IQ", at + 20), 2**64 - 1
    else:
        scale, duration, unknown = *content.unpack(">II", at + 12), 2**32 - 1
    if not scale or not duration or duration == unknown:  # nothing but fragments: their sum stands nowhere
        raise ValueError("no duration")
    return float(duration / scale)


def _box(content: _Content, wanted: bytes, at: int, end: int) -> tuple[int, int]:
    """Return where the content of a box begins and ends. Raise ValueError if there is no such box from `at` to `end`."""
    for _ in range(_MOST_PARTS):
        if at >= end:
            break
        size, kind = content.unpack(">I4s", at)
        begins = at + 8
        if size == 1:
            (size,) = content.unpack(">Q", begins)
            begins += 8
        ends = at + size if size else end
        if not begins <= ends <= end:
            break
        if kind == wanted:
            return begins, ends
        at = ends
    raise ValueError(f"no box {wanted!r}")
