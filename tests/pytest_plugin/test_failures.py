"""Claims about the reports of failed tests."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.pytest_plugin.runs import CREATE, QUIET, run

pytest_plugins = ["pytester"]

TITLE = "kling: what the fake saw"


def test_an_assertion_ends_in_the_line_of_the_test(inner: pytest.Pytester) -> None:
    """When a claim about the fake fails, pytest shows the test's own line and the explanation, and no code of ours."""
    tests = "def test_it(kling):\n    send()\n    kling.assert_polled_until_done()"
    shown = run(inner, tests, failed=1)
    assert next(line for line in shown.splitlines() if line.startswith(">")).endswith("assert_polled_until_done()")
    assert "assertions.py" not in shown
    assert TITLE not in shown, "the assertion has shown it already"
    assert "what would be right:" in shown


FAILING = """
def test_refused(kling):
    send(PAYLOAD | {"prompt": 7, "\\x1b[31m" + "x" * 3000: 1})
    requests.get(URL, params={PARAMETER: "none"}, headers={"authorization": "Bearer my-own-key-1234"}, timeout=30)
    assert False

def test_passes(kling):
    send()

def test_nothing_sent(kling_server):
    assert False

def test_of_another_kind():
    assert False

@pytest.fixture
def made(kling):
    send({})
    raise ValueError("my-own error")

def test_not_even_begun(made):
    pass

def test_shared_before(kling_session_server):
    send({"model": "before"}, url=kling_session_server.url + PATH)

def test_shared(kling_session_server):
    send({"model": "mine"}, url=kling_session_server.url + PATH)
    pytest.fail("without a traceback", pytrace=False)

@pytest.mark.xfail
def test_expected(kling):
    send({})
    assert False
"""


def test_a_failed_test_says_what_its_fakes_saw(inner: pytest.Pytester) -> None:
    """The report of a failed test has the exchanges of its fakes, and all that was wrong with them: with no key in it, no
    control character and no endless line. Other tests have no such section. A JUnit report has it as well.
    """
    shown = run(inner, FAILING, "--junit-xml", "report.xml", passed=2, failed=4, errors=1, xfailed=1)
    sections = {
        str(case.get("name")): (case.find("failure") if case.find("failure") is not None else case.find("error"))
        for case in ET.parse(inner.path / "report.xml").iter("testcase")
    }
    texts = {
        name: str(found.text) for name, found in sections.items() if found is not None and TITLE in str(found.text)
    }
    assert set(texts) == {"test_refused", "test_nothing_sent", "test_not_even_begun", "test_shared"}
    assert shown.count(TITLE) == 4

    refused = texts["test_refused"].split(TITLE)[1]
    assert "kling: revision" in refused
    assert refused.count(CREATE.path) == 2
    assert "400" in refused
    assert "error    /prompt: " in refused
    assert "query " in refused
    assert "my-own-key" not in refused
    assert refused.replace("\n", "").isprintable()
    assert max(map(len, refused.splitlines())) <= 400
    assert "no request reached the fake" in texts["test_nothing_sent"]
    assert "error    " in texts["test_not_even_begun"].split(TITLE)[1]
    assert '"mine"' in texts["test_shared"]
    assert '"before"' not in texts["test_shared"]


@pytest.mark.other_programs
def test_a_worker_says_it_too(inner: pytest.Pytester, alone: tuple[str, ...]) -> None:
    """Under xdist the section comes from the worker in which the test failed."""
    inner.makepyfile(test_inner=f"from program import *\n{FAILING}")
    inner.makeini("")
    result = inner.runpytest_subprocess(*QUIET, *alone, "-p", "xdist", "-n", "1")
    result.assert_outcomes(passed=2, failed=4, errors=1, xfailed=1)
    assert result.stdout.str().count(TITLE) == 4
