"""What is kept of a body that passes? All of it up to a limit, and as it was before it was compressed."""

from __future__ import annotations

import contextlib
import zlib

__all__ = ["BodyCapture", "can_decompress", "decompressed"]

_KEPT_OF_LONG = 1_000  # bytes of a body over the limit
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class BodyCapture:
    """A body of which more and more has passed. Of one that is longer than `limit` bytes only the beginning is kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self.size = 0

    @property
    def cut(self) -> bool:
        """Has more passed than is kept?"""
        return self.size > self._limit

    @property
    def kept(self) -> bytes:
        """What has passed of it, or the beginning of that."""
        return b"".join(self._parts)

    def add(self, part: bytes) -> None:
        """Note the next part."""
        fitted = not self.cut
        self.size += len(part)
        if not self.cut:
            self._parts.append(part)
        elif fitted:
            self._parts = [b"".join([*self._parts, part])[:_KEPT_OF_LONG]]


def can_decompress(coding: str) -> bool:
    """Is this a value of Content-Encoding that is understood here?"""
    return coding.lower() in _WINDOWS


def decompressed(body: bytes, coding: str, limit: int) -> bytes | None:
    """Return what a body is when it is uncompressed; None when that cannot be had, or not in `limit` bytes."""
    for bits in (_WINDOWS[coding.lower()], -zlib.MAX_WBITS):  # some send "deflate" bare
        engine = zlib.decompressobj(bits)
        with contextlib.suppress(zlib.error):
            plain = engine.decompress(body, limit)
            return plain if engine.eof and not engine.unused_data else None
    return None
