"""Where is what passes kept? In an HTTP Archive that grows on disk, and that is a file only when no key stands in it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
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
    """Exchanges on their way into the file `path`, which begins to exist with `keep`.

    Until then they are in a file beside it that only its owner can read. Of the headers of both sides a list of harmless ones
    is kept. Each key that any request was sent with is hidden wherever it recurs from then on. Raise OSError when there
    is such a file already, or none can be made.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise FileExistsError(errno.EEXIST, "there is one already, and it stays: choose another name", str(path))
        if not path.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "there is no such folder to record into", str(path.parent))
        self.path = path
        self.exchanges = 0
        self._keys: set[str] = set()
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        self._part = Path(name)
        self._file = os.fdopen(number, "w+b", buffering=0)
        start = json.dumps({"log": {**har.head(), "entries": []}})
        self._write(start.removesuffix("]}}").encode())

    def without_keys(self, exchange: Exchange) -> Exchange:
        """Return an exchange as it may be written down and shown, and remember its keys."""
        request, _ = without_keys(exchange.request)
        reply = replace(exchange.reply, headers=exchange.reply.headers.only(_KEPT_HEADERS))
        self._keys.update(keys_in(exchange.request))
        return hidden(replace(exchange, request=request, reply=reply), self._keys)

    def add(self, exchange: Exchange) -> None:
        """Write an exchange down, once it is `without_keys`. Raise OSError when there is no room: then it is left out."""
        line = (b",\n" if self.exchanges else b"\n") + json.dumps(har.entry(exchange)).encode()
        end = self._file.tell()
        try:
            self._write(line)
        except OSError:
            with contextlib.suppress(OSError):
                self._file.seek(end)
                self._file.truncate()
            raise
        self.exchanges += 1

    def keep(self) -> bool:
        """Finish the file and put it in its place; return whether that was done.

        It is not when one of the keys stands in it, in a message from before the key was known for one: then nothing is left.
        Of no exchange no file is made.
        """
        with self._file:
            clean = self.exchanges > 0 and not self._holds_a_key()
            if clean:
                self._file.seek(0, os.SEEK_END)
                self._write(_END)
                os.fsync(self._file.fileno())
        if not clean:
            self._part.unlink()
        elif self.path.exists():
            raise FileExistsError(
                errno.EEXIST, f"it came to be meanwhile; the recording is {self._part}", str(self.path)
            )
        else:
            self._part.replace(self.path)
        return clean

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
