"""How fast is the fake? Ratios to constant answers through the same doors, in one run."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
import respx

from fake_server import FakeServer
from kling_contract import Client, Contract, VirtualClock

from .conftest import Compare

CONTRACT = Contract.load()
CREATE, GET = CONTRACT.create, CONTRACT.get
URL = CONTRACT.base_url + CREATE.path
KEY = {"Authorization": "Bearer k"}
PAYLOAD = {
    "model": CONTRACT.request_schema["properties"]["model"]["enum"][0],
    "image_url": "https://example.com/cat.png",
    "prompt": "The cat wakes up.",
}
POLLS = 14
CONNECTIONS, REQUESTS = 32, 6_000

BARE = """
import socket, sys, uvicorn
body = sys.argv[1].encode()
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
config = uvicorn.Config(app, port=0, interface="asgi3", lifespan="off", access_log=False, log_config=None,
                        server_header=False, date_header=False)
config.load()
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # or asyncio leaves Nagle's delay on
listener.bind(("127.0.0.1", 0))
listener.listen(2048)
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(config).run(sockets=[listener])
"""


def _lifetime(http: httpx.Client, advance: Callable[[float], None]) -> None:
    created = http.post(URL, json=PAYLOAD, headers=KEY).json()
    for _ in range(POLLS):
        http.get(URL, params={"generation_id": created["id"]}, headers=KEY).json()
        advance(15)


def _constant(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"id": "a:b/c", "status": "generating"})


def test_in_process_through_httpx(compare: Compare) -> None:
    """Creating and polling to the end through MockTransport takes at most 1.25 times what constant answers take."""
    fake = FakeServer()
    clock = fake.clock
    assert isinstance(clock, VirtualClock)
    with (
        httpx.Client(transport=fake.transport()) as ours,
        httpx.Client(transport=httpx.MockTransport(_constant)) as theirs,
    ):
        assert (
            compare(lambda: _lifetime(ours, clock.advance), lambda: _lifetime(theirs, lambda _: None), repeat=20)
            <= 1.25
        )


def test_in_process_through_respx(compare: Compare) -> None:
    """The same through respx."""
    fake = FakeServer()
    clock = fake.clock
    assert isinstance(clock, VirtualClock)
    with ExitStack() as stack:
        ours, theirs = stack.enter_context(httpx.Client()), stack.enter_context(httpx.Client())
        router = respx.mock(assert_all_called=False)
        router.route(host=urlsplit(URL).netloc).mock(side_effect=_constant)

        def mine() -> None:
            with fake.intercept():
                _lifetime(ours, clock.advance)

        def plain() -> None:
            with router:
                _lifetime(theirs, lambda _: None)

        assert compare(mine, plain, repeat=20) <= 1.25


def test_a_whole_generation(benchmark: Any) -> None:
    """A generation of 204 s, polled every 15 s on a virtual clock, takes less than 10 ms on the whole."""
    fake = FakeServer()

    def generate() -> None:
        with httpx.Client(transport=fake.transport()) as http:
            Client("k", http=http, clock=fake.clock).generate(PAYLOAD, interval=15)

    generate()
    benchmark.pedantic(generate, rounds=30)
    print(f"\n  {benchmark.stats.stats.min * 1000:.1f} ms")
    assert benchmark.stats.stats.min < 0.010


@pytest.mark.parametrize("module", ["kling_contract", "kling_contract.pytest_plugin"])
def test_importing(benchmark: Any, module: str) -> None:
    """Importing the package, or the plugin beside pytest, takes less than 10 ms."""
    code = f"import pytest, time; a = time.process_time(); import {module}; print(time.process_time() - a)"

    def run() -> float:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return float(done.stdout)

    seconds = min(run() for _ in range(7))
    benchmark.pedantic(run, rounds=1)
    print(f"\n  {module}: {seconds * 1000:.1f} ms")
    assert seconds < 0.010


@contextmanager
def _served(*command: str) -> Iterator[tuple[str, Callable[[], float]]]:
    """Run a server in a process of its own; give its URL and what tells the CPU seconds that it has used."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = next(word for word in server.stdout.readline().split() if word.startswith("http"))

        def used() -> float:
            fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / 100

        try:
            yield url, used
        finally:
            server.terminate()


def _load(url: str, request: bytes, used: Callable[[], float]) -> tuple[float, float]:
    """Send the same request often over 32 connections; return answers a second, and CPU seconds of the server an answer."""
    target = urlsplit(url)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        for _ in range(REQUESTS // CONNECTIONS):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 20"), head
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))

    before, begin = used(), time.perf_counter()
    asyncio.run(all_of_them())
    return REQUESTS / (time.perf_counter() - begin), (used() - before) / REQUESTS


@pytest.mark.parametrize(("method", "least"), [("POST", 0.7), ("GET", 0.75)])
def test_over_a_real_port(benchmark: Any, method: str, least: float) -> None:
    """Over a real port with 32 connections the fake answers at 0.7 (POST) and 0.75 (GET) of what bare uvicorn does."""
    body = json.dumps(PAYLOAD).encode()
    head = "Host: 127.0.0.1\r\nAuthorization: Bearer k\r\nAccept: */*\r\n"
    post = (
        f"POST {CREATE.path} HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    with (
        _served("-m", "kling_contract", "serve", "--port", "0") as (ours, used),
        _served("-c", BARE, json.dumps({"id": "x" * 70, "status": "queued"})) as (bare, bare_used),
    ):
        created = httpx.post(ours + CREATE.path, json=PAYLOAD, headers=KEY).json()
        query = f"{GET.query['required'][0]}={quote(created['id'], safe='')}"
        request = post if method == "POST" else f"GET {GET.path}?{query} HTTP/1.1\r\n{head}\r\n".encode()
        runs = [(_load(ours, request, used), _load(bare, request, bare_used)) for _ in range(5)]
        benchmark.pedantic(lambda: _load(ours, request, used), rounds=1)
    speed = sorted(mine[0] / theirs[0] for mine, theirs in runs)[2]
    cpu = sorted(theirs[1] / mine[1] for mine, theirs in runs)[2]
    benchmark.extra_info.update(speed=round(speed, 3), cpu=round(cpu, 3))
    mine, theirs = (max(run[i][0] for run in runs) for i in (0, 1))
    print(
        f"\n  {method}: {speed:.2f} of bare uvicorn in answers a second ({mine:,.0f} of {theirs:,.0f}), {cpu:.2f} in CPU"
    )
    assert speed >= least
