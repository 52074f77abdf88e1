"""A recording: an HTTP Archive that grows on disk, and is kept only if there is no API key in it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from fake_server.journal import har
from fake_server.journal.redaction import hidden, keys_in, without_keys
from fake_server.messages import Exchange
from kling_contract.redaction import LONGEST_SPELLING, holds_key

__all__ = ["Recording"]

_KEPT_HEADERS = frozenset(
    {
        "accept-ranges",
        "allow",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "etag",
        "location",
        "retry-after",
        "x-fake-reason",
        "x-request-id",
    }
)
_BLOCK = 2**20
_END = b"\n]}}\n"


class Recording:
    """Exchanges on their way into the file `path`, which is made by `keep`.

    Until then they are in a hidden file beside it that only its owner can read, and that is a complete archive at every
    moment. Of the header fields of both sides only harmless ones are kept. Each of `keys` is masked wherever it is, and a key
    that any request was sent with wherever it recurs from then on. Raise OSError if `path` exists already, or the hidden
    file cannot be made.
    """

    def __init__(self, path: Path, *, keys: Collection[str] = ()) -> None:
        if path.exists():
            raise FileExistsError(
                errno.EEXIST, "the file exists, and is not overwritten: choose another name", str(path)
            )
        if not path.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "there is no such folder to record into", str(path.parent))
        self.path = path
        self.exchanges = 0
        self._keys = set(keys)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        self._part = Path(name)
        self._file = os.fdopen(number, "w+b", buffering=0)
        start = json.dumps({"log": {**har.log_header(), "entries": []}}).removesuffix("]}}").encode()
        self._size = len(start)  # without what closes the archive
        self._write(start + _END)

    def without_keys(self, exchange: Exchange) -> Exchange:
        """Return an exchange as it may be recorded and printed, and remember its keys."""
        request, _ = without_keys(exchange.request)
        reply = replace(exchange.reply, headers=exchange.reply.headers.only(_KEPT_HEADERS))
        self._keys.update(keys_in(exchange.request))
        return hidden(replace(exchange, request=request, reply=reply), self._keys)

    def add(self, exchange: Exchange) -> None:
        """Record an exchange that is `without_keys`. Raise OSError if it cannot be written; then it is left out."""
        entry = (b",\n" if self.exchanges else b"\n") + json.dumps(har.to_entry(exchange)).encode()
        try:
            self._file.seek(self._size)
            self._write(entry + _END)
        except OSError:
            with contextlib.suppress(OSError):
                self._close_archive()
            raise
        self._size += len(entry)
        self.exchanges += 1

    def keep(self) -> bool:
        """Move the archive to `path`; return whether it was kept.

        Return False, and delete the file, if a key was written before it was recognised as one, or if nothing was recorded.
        """
        with self._file:
            clean = self.exchanges > 0 and not self._holds_a_key()
            if clean:
                self._close_archive()
                os.fsync(self._file.fileno())
        if not clean:
            self._part.unlink()
        elif self.path.exists():
            raise FileExistsError(
                errno.EEXIST,
                f"the file was made by somebody else meanwhile; the recording is {self._part}",
                str(self.path),
            )
        else:
            self._part.replace(self.path)
        return clean

    def _close_archive(self) -> None:
        self._file.seek(self._size)
        self._file.truncate()
        self._write(_END)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _holds_a_key(self) -> bool:
        self._file.seek(0)
        overlap = LONGEST_SPELLING * max(map(len, self._keys), default=0)
        tail = b""
        while block := self._file.read(_BLOCK):
            text = tail + block
            if any(holds_key(text, key) for key in self._keys):
                return True
            tail = text[-overlap:] if overlap else b""
        return False
