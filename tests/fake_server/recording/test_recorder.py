"""Claims about the file of a recording: it is an archive of what was recorded at every moment, also on a full disk."""

from __future__ import annotations

import contextlib
import errno
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fake_server import Reply, Request
from fake_server.journal.har import read
from fake_server.messages import Exchange, Headers
from fake_server.recording.recorder import Recording


class Disk:
    """A file on a disk that is full whenever `room` is a number: then that many bytes more are written, and no others."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.room: int | None = None

    def write(self, data: Any) -> int:
        if self.room is None:
            return int(self.file.write(data))
        if self.room == 0:
            raise OSError(errno.ENOSPC, "no room")
        written = int(self.file.write(data[: self.room]))
        self.room -= written
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def exchange(number: int) -> Exchange:
    return Exchange(float(number), Request("GET", f"https://x.example/{number}"), Reply(200, Headers(), b"x" * number))


@given(st.lists(st.none() | st.integers(0, 900), min_size=1, max_size=6))
def test_a_recording_is_an_archive_at_every_moment(rooms: list[int | None]) -> None:
    """Whatever is written when the disk is full, the file has the exchanges that fitted, and is whole when there is room."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.har"
        recording = Recording(path)
        (part,) = Path(folder).iterdir()
        disk: Any = Disk(recording._file)
        recording._file = disk
        fitted = []
        for number, room in enumerate(rooms):
            disk.room = room
            with contextlib.suppress(OSError):
                recording.add(exchange(number))
                fitted.append(f"/{number}")
            if room is None:
                entries = json.loads(part.read_text())["log"]["entries"]
                assert [entry["request"]["url"].removeprefix("https://x.example") for entry in entries] == fitted
        recording._file = disk.file
        assert recording.keep() == bool(fitted)
        if fitted:
            assert [each.request.target.path for each in read(path)] == fitted
