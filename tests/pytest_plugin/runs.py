"""What the runs of pytest inside a test share: a program with the address of the service in it, and what it sends."""

from __future__ import annotations

import pytest

# A run forgets what it imported, so what patches the process is imported before it.
import fake_server.adapters.gate
import fake_server.adapters.intercept
import fake_server.adapters.listen  # noqa: F401
from kling_contract import Contract, revisions

CONTRACT = Contract.load()
CREATE, GET = CONTRACT.create, CONTRACT.get
REVISION = next(name for name in revisions() if name != CONTRACT.revision.id)
PAYLOAD = {
    "model": CONTRACT.request_schema["properties"]["model"]["enum"][0],
    "image_url": "https://example.com/a.png",
    "prompt": "A cat.",
}
TOLERATED = CONTRACT.observed.tolerated[0]
DEVIANT = {**PAYLOAD, TOLERATED.pointer.removeprefix("/"): "5"}
PROGRAM = f"""
import asyncio, time
import httpx, pytest, requests
URL = {CONTRACT.base_url + CREATE.path!r}
PATH = {CREATE.path!r}
PAYLOAD = {PAYLOAD!r}
DEVIANT = {DEVIANT!r}
HEADERS = {{"authorization": "Bearer a-key-of-mine"}}
CREATED = {CREATE.success}
(PARAMETER,) = {GET.query["required"]!r}
FINAL = {CONTRACT.observed.timeline.final.at!r}
REVISION = {REVISION!r}

def send(payload=PAYLOAD, url=URL):
    return requests.post(url, json=payload, headers=HEADERS, timeout=30)

def make(url=URL):
    made = send(url=url).json()["id"]
    while True:
        answer = requests.get(url, params={{PARAMETER: made}}, headers=HEADERS, timeout=30).json()
        if "video" in answer:
            return answer["video"]["url"]
        time.sleep(10)
"""
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
QUIET = ("-q", "--strict-markers", "--strict-config", "-W", "error", "-p", "no:cacheprovider")


def run(inner: pytest.Pytester, tests: str, *arguments: str, **outcomes: int) -> str:
    """Run these tests; check how many passed, failed or erred; return what was shown."""
    inner.makepyfile(test_inner=f"from program import *\n{tests}")
    result = inner.runpytest_inprocess(*QUIET, *arguments)
    assert {name: n for name, n in result.parseoutcomes().items() if name != "seconds"} == outcomes, result.outlines
    return result.stdout.str()
