"""Videos: real MP4 files, served whole or by byte range."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from fake_server.messages import Headers, Reply, Request
from kling_contract.contract.documents import FIXTURES

__all__ = ["path_of", "serve", "video"]

_NAME = re.compile(r"kling-(\d+)s\.mp4")
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")


@functools.lru_cache(maxsize=64)
def video(seconds: float) -> bytes:
    """Return an MP4 of the length nearest to `seconds` that there is."""
    films = _films()
    return films[min(films, key=lambda length: abs(length - seconds))]


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


@functools.cache
def _films() -> Mapping[int, bytes]:
    found = {}
    for path in sorted((FIXTURES / "media").iterdir()):
        if name := _NAME.fullmatch(path.name):
            found[int(name[1])] = path.read_bytes()
    return found
