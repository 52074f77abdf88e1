"""Claims about the guard: what a test sends to the real service is refused, and fails the test."""

from __future__ import annotations

import json
import socket
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from fake_server import Exchange, Reply, Request
from kling_contract import Contract
from kling_contract.pytest_plugin.guard import _cost
from tests.pytest_plugin.runs import CONTRACT, INI, PAYLOAD, QUIET, run

pytest_plugins = ["pytester"]

PRICE = f"It would have cost {CONTRACT.price(CONTRACT.video_seconds(PAYLOAD)):,} {CONTRACT.observed.price.unit}"
UNPRICED = next(name for name in CONTRACT.models if Contract.load(model=name).observed.price.per_second is None)
TITLE = "kling: calls of the real service"
FORGETFUL = f"""
def test_with_a_fake(kling):
    assert send().status_code == CREATED

def test_without():
    assert send().status_code == httpx.post(URL, json=PAYLOAD | {{"model": {UNPRICED!r}}}).status_code == 403

def test_that_fails_too():
    httpx.get(URL, params={{PARAMETER: "x"}}).raise_for_status()

@pytest.mark.xfail
def test_that_should_fail():
    send().raise_for_status()

@pytest.fixture(scope="session")
def made():
    return send()

def test_with_a_fixture_of_the_session(made):
    pass

def test_with_a_fake_of_its_own():
    from fake_server import FakeServer
    fake = FakeServer()
    with fake.intercept():
        assert send().status_code == CREATED
"""


def test_what_escapes_fails_its_test(inner: pytest.Pytester) -> None:
    """Once a test uses a fixture of ours, no other test reaches the real service: its call is refused and fails it, whatever
    the test makes of it, with a shell line without the key and with what it would have cost.
    """
    shown = run(inner, FORGETFUL, "--junit-xml", "report.xml", passed=2, failed=3, errors=1)
    texts = {
        str(case.get("name")): "".join(f"{each.text} {each.get('message')}" for each in case)
        for case in ET.parse(inner.path / "report.xml").iter("testcase")
    }
    without = texts["test_without"]
    assert "2 calls of the real service" in without
    assert f"{PRICE}:\n    curl " in without
    assert "The cost is unknown:\n    curl " in without
    assert "@pytest.mark.kling_live" in without
    assert "a-key-of-mine" not in without
    assert "It would have cost nothing:\n    curl -i --path-as-is -X GET" in texts["test_that_fails_too"]
    assert PRICE in texts["test_that_should_fail"]
    assert PRICE in texts["test_with_a_fixture_of_the_session"]
    assert "test_without" in shown


def test_who_may_call(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A marked test reaches the service, and the test after it does not; nor is anybody kept from it where kling_live allows it
    or where nobody uses the plugin.
    """
    look_up = socket.getaddrinfo

    def found(host: str, *arguments: Any, **named: Any) -> Any:
        if host.startswith("127."):
            return look_up(host, *arguments, **named)
        raise socket.gaierror(f"looked for {host}")

    monkeypatch.setattr(socket, "getaddrinfo", found)
    reaching = """
@pytest.mark.kling_live
def test_live():
    with pytest.raises(requests.ConnectionError, match="looked for api"):
        send()

def test_other():
    try:
        assert send().status_code == 403
    except requests.ConnectionError:
        pass
"""
    using = f"{reaching}\ndef test_using(kling):\n    send()\n"
    assert "test_other" in run(inner, using, passed=2, failed=1)
    run(inner, using, "--kling-live", "allow", passed=3)
    run(inner, reaching, passed=2)


def test_outside_of_every_test(inner: pytest.Pytester) -> None:
    """Told to forbid it, the plugin refuses and shows what is sent while tests are collected, and fails the run."""
    inner.makeini(f"{INI}kling_live = forbid\n")
    inner.makepyfile(test_inner="from program import *\nsend()\ndef test_it(): pass")
    result = inner.runpytest_inprocess(*QUIET)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert f"{PRICE}:" in result.stdout.str().split(TITLE)[1]


@pytest.mark.other_programs
def test_in_a_worker(inner: pytest.Pytester, alone: tuple[str, ...]) -> None:
    """Under xdist each test that called the service fails in its worker, and what was called while collecting is said once."""
    inner.makepyfile(test_inner=f"from program import *\nsend()\n{FORGETFUL}")
    inner.makeini("")
    result = inner.runpytest_subprocess(*QUIET, *alone, "-p", "xdist", "-n", "2", "--kling-live", "forbid")
    result.assert_outcomes(passed=2, failed=3, errors=1)
    outside = result.stdout.str().split("outside of every test, and fail the run")[1]
    assert outside.count(PRICE) == 1


@pytest.mark.parametrize("revision", [None, "latest"])
def test_the_price_is_that_of_the_model(revision: str | None) -> None:
    """Whatever revision the run has, a create of another one's model costs what that model costs; of no model it is unknown."""
    latest = Contract.load("latest")
    priced = [name for name in latest.models if latest.for_model(name).observed.price.per_second is not None]
    for model in (*priced, "no-such-model"):
        known = latest.for_model(model) if model in priced else None
        payload = {"model": model, "duration": 5}
        request = Request("POST", f"{latest.base_url}{latest.create.path}", body=json.dumps(payload).encode())
        cost = _cost(Exchange(0.0, request, Reply(403), latest.create.id), Contract.load(revision))
        expected = "is unknown" if known is None else f"{known.price(5):,} {known.observed.price.unit}"
        assert cost.endswith(expected)
    assert priced
