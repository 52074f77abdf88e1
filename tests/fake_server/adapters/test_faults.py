"""Claims about faults, each checked through every adapter: code under test meets what it would meet on a real network."""

from __future__ import annotations

import http.client
from typing import Any

import httpx
import httpx2
import pytest
import requests

from fake_server import FakeServer, Fault, Scenario
from kling_contract.clock import VirtualClock
from kling_contract.contract import Contract
from tests.fake_server.adapters.conftest import ADAPTERS
from tests.fake_server.adapters.test_every_adapter import create, poll

DROPPED = {
    "httpx2": httpx2.RemoteProtocolError,
    "httpx": httpx.RemoteProtocolError,
    "requests": requests.ConnectionError,
    "standard-library": http.client.RemoteDisconnected,
    "asgi": ConnectionAbortedError,
    "respx": httpx.RemoteProtocolError,
}
CUT = {
    **DROPPED,
    "requests": requests.exceptions.ChunkedEncodingError,
    "standard-library": http.client.IncompleteRead,
}
LATE = {"httpx2": httpx2.ReadTimeout, "httpx": httpx.ReadTimeout, "respx": httpx.ReadTimeout}
ALL_BUT_HANDLE = [name for name in ADAPTERS if name != "handle"]


def of(adapter: str, errors: dict[str, Any]) -> Any:
    """Return the exception of the library that is behind an adapter."""
    return next((error for library, error in errors.items() if library in adapter), None)


def fake_with(*faults: Fault) -> FakeServer:
    return FakeServer(scenario=Scenario(name="odd", faults=faults))


@pytest.mark.parametrize("name", ALL_BUT_HANDLE)
@pytest.mark.parametrize("when", ["before_processing", "after_processing"])
def test_a_dropped_connection(name: str, when: Any, contract: Contract, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that is dropped is the library's own error; before, nothing is created, after, one is; the next call works."""
    fake = fake_with(Fault(operation="createGeneration", times=1, drop=when))
    with ADAPTERS[name](fake) as send:
        with pytest.raises(of(name, DROPPED)):
            send(create(contract))
        assert len(fake.generations) == (when == "after_processing")
        assert send(create(contract)).status == contract.create.success
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("name", ALL_BUT_HANDLE)
def test_an_answer_that_breaks_off(name: str, contract: Contract, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that breaks off in its body is the library's own error, and the next one is whole."""
    fake = fake_with(Fault(operation="createGeneration", times=1, truncate=7))
    with ADAPTERS[name](fake) as send:
        with pytest.raises(of(name, CUT)):
            send(create(contract))
        assert send(create(contract)).json()["status"] == contract.lifecycle.initial
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("name", ALL_BUT_HANDLE)
def test_a_late_answer(name: str, contract: Contract) -> None:
    """Where the read timeout is known and shorter, a late answer is the library's own timeout; else time has passed by then."""
    fake = fake_with(Fault(operation="getGeneration", times=1, latency=3600))
    error, before = of(name, LATE), fake.clock.now()
    with ADAPTERS[name](fake) as send:
        if error is None or name.startswith("port") or name == "asgi":
            send(poll(contract, "nobody"))
            assert fake.clock.now() == before + 3600
        else:
            with pytest.raises(error):
                send(poll(contract, "nobody"))
            assert before < fake.clock.now() < before + 3600
        assert send(poll(contract, "nobody")).status >= 400
    assert len(fake.journal) == 2


@pytest.mark.parametrize("timeout", [1, (None, 1), (5, 0.5)])
def test_a_late_answer_and_requests(timeout: Any, contract: Contract) -> None:
    """The read timeout given to requests, alone or beside that for connecting, ends in its own exception."""
    fake = fake_with(Fault(operation="createGeneration", latency=2))
    sent = create(contract)
    with fake.intercept(), pytest.raises(requests.ReadTimeout):
        requests.post(sent.url, data=sent.body, headers=dict(sent.headers), timeout=timeout)
    assert len(fake.generations) == 1


def test_a_late_answer_over_a_port(contract: Contract) -> None:
    """On a clock that runs by itself the answer comes when that has gone on far enough."""
    clock = VirtualClock(rate=100_000)
    fake = FakeServer(
        clock=clock, scenario=Scenario(faults=(Fault(operation="getGeneration", latency=2000),)), contract=contract
    )
    asked = poll(contract, "nobody")
    with fake.listen() as url, requests.Session() as session:
        before = clock.now()
        reply = session.get(url + asked.target.path, headers=dict(asked.headers), timeout=30)
        assert clock.now() - before >= 2000
    assert reply.status_code == 400


def test_who_does_not_wait_is_forgotten(contract: Contract, caplog: pytest.LogCaptureFixture) -> None:
    """A client that hangs up before a late answer leaves nothing behind: the server stops at once and in silence."""
    fake = FakeServer(
        clock=VirtualClock(rate=0.001), scenario=Scenario(faults=(Fault(operation="getGeneration", latency=3600),))
    )
    asked = poll(contract, "nobody")
    with fake.listen() as url, requests.Session() as session, pytest.raises(requests.ReadTimeout):
        session.get(url + asked.target.path, headers=dict(asked.headers), timeout=0.05)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("name", ALL_BUT_HANDLE)
def test_an_answer_of_its_own(name: str, contract: Contract) -> None:
    """A status, header fields and body of the fault's own arrive as they are through every adapter."""
    fake = fake_with(
        Fault(operation="getGeneration", status=524, headers={"Retry-After": "7"}, body="<html>\u00e9</html>")
    )
    with ADAPTERS[name](fake) as send:
        reply = send(poll(contract, "nobody"))
    assert (reply.status, reply.body.decode()) == (524, "<html>\u00e9</html>")
    assert reply.headers["retry-after"] == "7"
