"""Claims about the budget of a run."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from kling_contract import Contract
from tests.pytest_plugin.runs import CONTRACT, INI, PAYLOAD, QUIET

pytest_plugins = ["pytester"]

PRICE = CONTRACT.price(CONTRACT.video_seconds(PAYLOAD)) or 0
UNPRICED = next(name for name in CONTRACT.models if Contract.load(model=name).observed.price.per_second is None)
SPENDING = """
def test_booked(kling):
    send()
    kling.advance(1000)
    send()

def test_of_the_session(kling_session_server):
    send(url=kling_session_server.url + PATH)

def test_of_the_session_again(kling_session_server):
    requests.get(kling_session_server.url + PATH, timeout=30)

@pytest.mark.kling(scenario="fails")
def test_void(kling):
    send()
    kling.advance(1000)
"""
UNKNOWN = f"""
def test_unknown(kling):
    send(PAYLOAD | {{"model": {UNPRICED!r}}})
"""


def section(result: pytest.RunResult) -> str:
    return result.stdout.str().split("kling: budget")[1].split("short test summary")[0]


def test_a_run_keeps_within_its_budget(inner: pytest.Pytester) -> None:
    """A run in which every test passed fails if its fakes have booked, or may still book, more than its budget; it names the
    sum and the most expensive tests. A failed generation costs nothing, and each generation is counted once.
    """
    inner.makeini(f"{INI}kling_budget = {3 * PRICE - 1}\n")
    inner.makepyfile(test_inner=f"from program import *\n{SPENDING}")
    result = inner.runpytest_inprocess(*QUIET, "--junit-xml", "report.xml")
    result.assert_outcomes(passed=4)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = section(result).splitlines()
    assert f"would have booked {3 * PRICE:,.0f} tokens, and the budget is {3 * PRICE - 1:,.0f}: they fail" in lines[1]
    assert [line.split() for line in lines[2:4]] == [
        [f"{2 * PRICE:,.0f}", "test_inner.py::test_booked"],
        [f"{PRICE:,.0f}", "test_inner.py::test_of_the_session"],
    ]
    costs = ET.parse(inner.path / "report.xml").findall(".//property[@name='kling_cost']")
    assert sorted(float(str(each.get("value"))) for each in costs) == [PRICE, 2 * PRICE]
    assert inner.runpytest_inprocess(*QUIET, f"--kling-budget={3 * PRICE}").ret == pytest.ExitCode.OK


def test_an_unknown_price_exceeds_it(inner: pytest.Pytester) -> None:
    """A generation of unknown price fails a run with a budget, unless that is to be ignored; it is named in both cases."""
    inner.makepyfile(test_inner=f"from program import *\n{UNKNOWN}")
    asked = [*QUIET, "--kling-budget=0"]
    result = inner.runpytest_inprocess(*asked)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert f"The price of {UNPRICED} is unknown: test_inner.py::test_unknown" in section(result)
    assert "kling_budget_unknown = ignore" in section(result)
    ignored = inner.runpytest_inprocess(*asked, "--kling-budget-unknown=ignore")
    assert ignored.ret == pytest.ExitCode.OK
    assert UNPRICED in section(ignored)


@pytest.mark.other_programs
def test_all_workers_share_it(inner: pytest.Pytester, alone: tuple[str, ...]) -> None:
    """Under xdist the budget is that of the run, not of each worker."""
    inner.makepyfile(test_inner=f"from program import *\n{SPENDING}")
    inner.makeini("")
    workers = [*QUIET, *alone, "-p", "xdist", "-n", "2", "--kling-budget", str(3 * PRICE - 1)]
    result = inner.runpytest_subprocess(*workers)
    result.assert_outcomes(passed=4)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert f"would have booked {3 * PRICE:,.0f} tokens" in section(result)
