"""The formats of JSON Schema that are supported: valid and invalid examples, and small PNG files."""

from __future__ import annotations

import base64
import struct
import zlib

__all__ = ["EXAMPLES", "INVALID_EXAMPLES", "png", "png_data_uri"]

EXAMPLES = {"uri": "https://example.com/a.png", "date-time": "2025-04-25T00:00:00Z"}
"""One valid value of each supported format."""


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """Return a PNG file: `width` by `height` pixels of one colour, red, green and blue from 0 to 255."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes(colour) * width) * height)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def png_data_uri(width: int, height: int, colour: tuple[int, int, int]) -> str:
    """Return the file that `png` makes, as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png(width, height, colour)).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_IMAGE = png_data_uri(1, 1, (0, 0, 0))

# Only values that every tested validator refuses. Left out, because some accept it: "http://", a line break at the very end,
# and a leap second.
INVALID_EXAMPLES = {
    "uri": {
        "empty": "",
        "blank": " ",
        "no-scheme": "example.com/a.png",
        "path-only": "/a.png",
        "network-path": "//example.com/a.png",
        "scheme-misspelt": "https//example.com/a.png",
        "scheme-with-digit-first": "2https://example.com/a.png",
        "space-before": " https://example.com/a.png",
        "space-within": "https://example.com/a cat.png",
        "line-break-within": "https://example.com/a\n.png",
        "not-ascii": "https://example.com/k\u00e4tzchen.png",
        "bad-escape": "https://example.com/100%.png",
        "in-angle-brackets": "<https://example.com/a.png>",
        "backslash": "https://example.com\\a.png",
        "windows-path": "C:\\pictures\\a.png",
        "bad-port": "https://example.com:port/a.png",
        "open-bracket": "https://[::1/a.png",
        "two-fragments": "https://example.com/a.png#1#2",
        "bare-base64": _IMAGE.partition(",")[2],
        "base64-in-lines": _IMAGE[:60] + "\n" + _IMAGE[60:],
    },
    "date-time": {
        "empty": "",
        "date-only": "2025-04-25",
        "no-zone": "2025-04-25T00:00:00",
        "no-seconds": "2025-04-25T00:00Z",
        "space-for-t": "2025-04-25 00:00:00Z",
        "zone-without-colon": "2025-04-25T00:00:00+0000",
        "month-13": "2025-13-25T00:00:00Z",
        "february-30": "2025-02-30T00:00:00Z",
        "hour-25": "2025-04-25T25:00:00Z",
        "seconds-since-1970": "1745539200",
        "of-http": "Fri, 25 Apr 2025 00:00:00 GMT",
    },
}
"""Values that are invalid in a format, by format and by what is wrong with them."""
