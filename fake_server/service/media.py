"""Videos: real MP4 files, served whole or by byte range."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from fake_server.messages import Headers, Reply, Request
from kling_contract.contract.documents import FIXTURES

__all__ = ["path_of", "serve", "video"]

_FOLDER = FIXTURES / "media"
_NAME = re.compile(r"kling-([0-9]+)s-([0-9]+x[0-9]+)\.mp4")
_RATIO = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")


def video(seconds: float, ratio: object = "16:9") -> bytes:
    """Return the MP4 whose length and shape are nearest to what is asked for.

    `ratio` is the width to the height, such as "9:16". None, and whatever else is no such text, means 16:9.
    """
    films = _films()[_shape(ratio)]
    return _read(films[min(films, key=lambda length: abs(length - seconds))])


def path_of(url: str | None) -> str:
    """Return the path of a video's URL; "" if it is not an HTTP URL, or has no path."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return ""
    return parts.path if parts.scheme in ("http", "https") else ""


def serve(request: Request, content: bytes, content_type: str) -> Reply:
    """Answer a GET or HEAD for `content`, honouring one byte range (RFC 9110, section 14)."""
    headers = {"content-type": content_type, "accept-ranges": "bytes"}
    status, part = 200, content
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked and (asked[1] or asked[2]):
        size = len(content)
        first = _at_most(size, asked[1]) if asked[1] else size - _at_most(size, asked[2])
        last = _at_most(size - 1, asked[2]) if asked[1] and asked[2] else size - 1
        if first >= size or last < first:
            return Reply(416, Headers({**headers, "content-range": f"bytes */{size}"}))
        headers["content-range"] = f"bytes {first}-{last}/{size}"
        status, part = 206, content[first : last + 1]
    headers["content-length"] = str(len(part))
    return Reply(status, Headers(headers), b"" if request.method == "HEAD" else part)


def _at_most(limit: int, digits: str) -> int:
    """Return a number, or `limit` if that is less. Works for more digits than Python converts."""
    digits = digits.lstrip("0")
    return limit if len(digits) > len(str(limit)) else min(int(digits or "0"), limit)


def _shape(ratio: object) -> str:
    """Return the shape of the films that is nearest to a ratio. What lies halfway counts as the longer one."""
    found = _RATIO.fullmatch(ratio) if isinstance(ratio, str) else None
    width, height = (int(found[1]), int(found[2])) if found else (16, 9)
    if not width or 3 * width >= 4 * height:  # 4:3 is as far from 1:1 as from 16:9
        return "16x9"
    return "9x16" if 3 * height >= 4 * width else "1x1"


@functools.cache
def _films() -> Mapping[str, Mapping[int, str]]:
    """Return the names of the films by shape and by length in seconds."""
    found: dict[str, dict[int, str]] = {}
    for path in sorted(_FOLDER.iterdir()):
        if name := _NAME.fullmatch(path.name):
            found.setdefault(name[2], {})[int(name[1])] = path.name
    return {shape: dict(sorted(films.items())) for shape, films in found.items()}


@functools.cache
def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()
