"""Does the port bear load? 10,000 generations and 100,000 polls from 64 connections: no error, all in order, memory bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fake_server import FakeServer, Request
from kling_contract import Contract
from tests.support import ROOT
from tests.support.calls import creating, polling

CONTRACT = Contract.load()
CONNECTIONS, GENERATIONS = 64, 10_000
RATE = 40.0  # a generation ends after five seconds: some while they are polled, whatever the machine
ORDER = [step.status for step in CONTRACT.observed.timeline.steps]
MEGABYTE = 2**20


@contextlib.contextmanager
def serving(*options: str) -> Iterator[tuple[int, str]]:
    """Run `serve` in a process of its own. Give its id and URL."""
    command = [sys.executable, "-m", "kling_contract", "serve", "--port", "0", "--rate", str(RATE), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.pid, process.stdout.readline().split()[5]
        finally:
            process.kill()


def resident(process: int) -> int:
    """Return the bytes of memory that a process holds."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=True)
    return int(told.stdout) * 1024


class Connection:
    """A kept-alive connection to the fake, as lean as can be: the client must not be what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str) -> Connection:
        target = urlsplit(url)
        return cls(*await asyncio.open_connection(target.hostname, target.port))

    async def send(self, request: bytes, expected: int) -> dict[str, Any]:
        """Send a request, and return the JSON that comes back with the status that is expected."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        body = await self._reader.readexactly(int(length))
        assert head.split(b" ", 2)[1] == str(expected).encode(), body
        answer: dict[str, Any] = json.loads(body)
        return answer

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def as_bytes(request: Request) -> bytes:
    target = request.target
    path = f"{target.path}?{target.query}" if target.query else target.path
    fields = {**request.headers, "host": target.netloc, "content-length": str(len(request.body))}
    lines = [f"{request.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + request.body


async def load(url: str, process: int, rounds: int) -> tuple[list[list[int]], list[float], list[int]]:
    """Create all, then poll all in rounds. Return what was seen of each generation, the time that the creates and the polls
    took, and the memory of the server before, with all created, after half of the polls, and in the end."""
    connections = [await Connection.open(url) for _ in range(CONNECTIONS)]
    made, found = CONTRACT.create.success, CONTRACT.get.success
    a_create = as_bytes(creating(CONTRACT, base=url))
    seen: dict[str, list[int]] = {}
    memory, times = [resident(process)], []

    async def create(number: int) -> None:
        for _ in range(number, GENERATIONS, CONNECTIONS):
            seen[(await connections[number].send(a_create, made))["id"]] = []

    async def poll(number: int, rounds: int) -> None:
        mine = {each: as_bytes(polling(CONTRACT, each, base=url)) for each in list(seen)[number::CONNECTIONS]}
        for _ in range(rounds):
            for generation, a_poll in mine.items():
                answer = await connections[number].send(a_poll, found)
                assert answer["id"] == generation
                seen[generation].append(ORDER.index(answer["status"]))

    begin = time.perf_counter()
    await asyncio.gather(*(create(number) for number in range(CONNECTIONS)))
    times.append(time.perf_counter() - begin)
    memory.append(resident(process))
    begin = time.perf_counter()
    for part in (rounds // 2, rounds - rounds // 2):
        await asyncio.gather(*(poll(number, part) for number in range(CONNECTIONS)))
        memory.append(resident(process))
    times.append(time.perf_counter() - begin)
    for connection in connections:
        await connection.close()
    return list(seen.values()), times, memory


@pytest.mark.parametrize(("rounds", "keeps"), [(10, False), (2, True)], ids=["in memory", "with a state file"])
def test_load(rounds: int, keeps: bool, tmp_path: Path) -> None:
    """10,000 generations and 100,000 polls from 64 connections: no error, each generation's statuses in order, and once the
    journal is full the server grows no further. With a state file as well, at a fifth of the polls."""
    with serving(*(["--state", str(tmp_path / "state")] if keeps else [])) as (process, url):
        seen, (creates, polls), memory = asyncio.run(load(url, process, rounds))
    before, made, full, after = (each / MEGABYTE for each in memory)
    print(
        f"\n  {GENERATIONS / creates:,.0f} creates/s, {GENERATIONS * rounds / polls:,.0f} polls/s; "
        f"memory {before:.0f} MB, with {GENERATIONS:,} generations {made:.0f} MB, "
        f"after the polls {full:.0f} and then {after:.0f} MB"
    )
    assert len(seen) == GENERATIONS
    assert all(len(each) == rounds and each == sorted(each) for each in seen)
    assert max(each[-1] for each in seen) == len(ORDER) - 1
    assert after - full < 5
    assert after - before < 100


def test_a_generation_takes_less_than_two_kilobytes() -> None:
    """Once the journal is full a generation takes less than 2 kB, and past the limit of generations nothing grows."""
    limit, more = 4_000, 3_000
    fake = FakeServer(generation_limit=limit)
    request = creating(CONTRACT)
    full = 10_000  # exchanges; the bodies of these are far from the journal's limit in bytes

    def taken(creates: int) -> int:
        begin = tracemalloc.get_traced_memory()[0]
        for _ in range(creates):
            fake.handle(request)
        return tracemalloc.get_traced_memory()[0] - begin

    asked = polling(CONTRACT, fake.handle(request).json()["id"])
    for _ in range(full):
        fake.handle(asked)
    tracemalloc.start()
    try:
        for _ in range(full):  # what the journal lets go from now on was traced
            fake.handle(asked)
        size = taken(limit - 1) / (limit - 1)
        taken(full)
        grown = taken(more)
    finally:
        tracemalloc.stop()
    print(f"\n  {size:,.0f} bytes a generation; {grown:+,} bytes for {more:,} past the limit")
    assert len(fake.generations) == limit
    assert size < 2048
    assert grown < 100 * more
