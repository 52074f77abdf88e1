"""Captures a streamed body up to a limit, and decompresses it."""

from __future__ import annotations

import contextlib
import zlib

__all__ = ["BodyCapture", "can_decompress", "decompressed"]

_KEPT_OF_LONG = 1_000  # bytes of a body over the limit
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class BodyCapture:
    """The chunks of a body as they are relayed. Keeps only the beginning of a body longer than `limit` bytes.

    `size` is how many bytes there were so far, kept or not.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self.size = 0

    @property
    def truncated(self) -> bool:
        """Whether there were more bytes than are kept."""
        return self.size > self._limit

    @property
    def kept(self) -> bytes:
        """The bytes so far, or their beginning."""
        return b"".join(self._chunks)

    def add(self, chunk: bytes) -> None:
        """Add the next chunk."""
        fitted = not self.truncated
        self.size += len(chunk)
        if not self.truncated:
            self._chunks.append(chunk)
        elif fitted:
            self._chunks = [b"".join([*self._chunks, chunk])[:_KEPT_OF_LONG]]


def can_decompress(coding: str) -> bool:
    """Return whether `decompressed` knows this value of Content-Encoding."""
    return coding.lower() in _WINDOWS


def decompressed(body: bytes, coding: str, limit: int) -> bytes | None:
    """Return a body decompressed; None if it is corrupt, or longer than `limit` bytes."""
    for bits in (_WINDOWS[coding.lower()], -zlib.MAX_WBITS):  # some servers send "deflate" without the zlib header
        engine = zlib.decompressobj(bits)
        with contextlib.suppress(zlib.error):
            plain = engine.decompress(body, limit)
            return plain if engine.eof and not engine.unused_data else None
    return None
