"""The state file: a fake's generations and time, in SQLite, for the fake that uses it next."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from fake_server.service.generation import FakeGeneration
from kling_contract.contract import Step, Timeline
from kling_contract.errors import StateError

__all__ = ["Store"]

_APPLICATION = 0x4B4C4E47  # in the header of the file: it says which program the file belongs to
_LAYOUT = 2
_MAGIC = b"SQLite format 3\x00"
_HEADER = slice(68, 72)  # where the header has that number

_TABLES = """
    CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE generations (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, data TEXT NOT NULL);
"""
_PUT = "INSERT INTO generations (id, data) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data"
_WRITE = "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class Store:
    """The state file of one fake at a time, created if there is none. Raise StateError if it cannot be used.

    `starts` counts the fakes that have used it, this one included; `time` is the latest time that the last one may have
    shown, in seconds since 1970 (None: no fake has used it before).

    What a call has written survives any end of the process, also SIGKILL: it is with the operating system. It is not
    forced to the disk each time, so a power failure may lose the last writes, but does not damage the file.
    """

    def __init__(self, path: Path, revision: str) -> None:
        self._path = path
        _check(path)
        try:
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as unusable:
            raise StateError(f"{path} cannot be used: {unusable}; name a file in a folder that exists") from unusable
        try:
            self.starts = self._open(revision)
        except sqlite3.Error as unusable:
            self._database.close()
            locked = getattr(unusable, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            why = "another fake is using it; stop that one, or" if locked else f"{unusable};"
            raise StateError(f"{path} cannot be used: {why} name another file") from unusable
        except StateError:
            self._database.close()
            raise
        self.time: float | None = self._fact("time")
        self._written = float("-inf") if self.time is None else self.time

    def generations(self) -> Iterator[FakeGeneration]:
        """Yield every generation, in the order of creation."""
        timelines: dict[str, Timeline] = {}  # most are the same
        try:
            for (data,) in self._database.execute("SELECT data FROM generations ORDER BY number").fetchall():
                values = json.loads(data)
                steps = values["timeline"]
                if (key := repr(steps)) not in timelines:
                    timelines[key] = Timeline(tuple(Step(status, at) for status, at in steps))
                yield FakeGeneration(**{**values, "timeline": timelines[key]})
        except (sqlite3.Error, ValueError, KeyError, TypeError) as broken:
            self._database.close()
            raise StateError(f"{self._path} is damaged: {broken}; name another file") from broken

    def put(self, generation: FakeGeneration) -> None:
        """Write a generation, in place of the one with its id."""
        self._database.execute(_PUT, (generation.id, _text(generation)))

    def forget(self, generation_id: str) -> None:
        """Delete one generation."""
        self._database.execute("DELETE FROM generations WHERE id = ?", (generation_id,))

    def clear(self) -> None:
        """Delete all generations. The time stays."""
        self._database.execute("DELETE FROM generations")

    def reach(self, now: float, lead: float) -> None:
        """Write that this time is about to be shown, so that no later fake begins before it.

        It writes a time `lead` seconds ahead, and then nothing until that has passed: so it can be called often.
        """
        if now > self._written:
            self._written = now + lead
            self._write("time", self._written)

    def close(self, now: float) -> None:
        """Write the exact time, and release the file. Closing twice does no harm."""
        try:
            self._write("time", now)
        except sqlite3.ProgrammingError:
            return
        self._database.close()

    def _open(self, revision: str) -> int:
        """Lock the file for this process, and return how many fakes have used it."""
        run = self._database.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA synchronous = NORMAL")
        run("BEGIN EXCLUSIVE")
        if not run("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            run(f"PRAGMA application_id = {_APPLICATION}")
            run(f"PRAGMA user_version = {_LAYOUT}")
            for statement in _TABLES.split(";"):
                run(statement)
            self._write("revision", revision)
        if run("PRAGMA user_version").fetchone()[0] != _LAYOUT:
            raise StateError(f"{self._path} was written by another version of this program; name another file")
        if (kept := self._fact("revision")) != revision:
            raise StateError(
                f"{self._path} holds generations of revision {kept}, not of {revision}; "
                f"ask for revision {kept}, or name another file"
            )
        starts = int(self._fact("starts") or 0) + 1
        self._write("starts", starts)
        run("COMMIT")
        run("PRAGMA journal_mode = WAL")
        return starts

    def _fact(self, name: str) -> Any:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def _write(self, name: str, value: Any) -> None:
        self._database.execute(_WRITE, (name, value))

    def __repr__(self) -> str:
        return f"Store({str(self._path)!r})"


def _check(path: Path) -> None:
    """Raise StateError for a file of another program, before SQLite can change it."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return
    except OSError as unreadable:
        raise StateError(f"{path} cannot be used: {unreadable.strerror}; name another file") from unreadable
    if header and not (header.startswith(_MAGIC) and header[_HEADER] == _APPLICATION.to_bytes(4, "big")):
        raise StateError(f"{path} is not a state file of this program, and is left alone; name another, or a new one")


def _text(generation: FakeGeneration) -> str:
    values = {field.name: getattr(generation, field.name) for field in fields(generation)}
    values["timeline"] = [(step.status, step.at) for step in generation.timeline.steps]
    return json.dumps(values, separators=(",", ":"))
