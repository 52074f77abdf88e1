"""Claims about what fakes tolerated: shown in the end, and failing the run on demand."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.pytest_plugin.runs import INI, QUIET, TOLERATED, run

pytest_plugins = ["pytester"]


TOLERATING = """
def test_good(kling):
    assert send().status_code == CREATED

@pytest.mark.parametrize("n", range(7))
def test_many(kling, n):
    assert send(DEVIANT).status_code == CREATED

def test_on_a_port(kling_server):
    send(DEVIANT, url=kling_server.url + PATH)
    send(DEVIANT, url=kling_server.url + PATH)

@pytest.mark.kling(strictness="strict")
def test_refused(kling):
    assert send(DEVIANT).status_code == 400
"""


def summary(shown: str) -> list[str]:
    return shown.split("kling: tolerated violations")[1].splitlines()[1:]


def test_what_was_tolerated_is_shown_in_the_end(inner: pytest.Pytester) -> None:
    """Each violation that a fake took is shown once, with the first tests that it came from; others are not shown.

    In a JUnit report it is a property of its test.
    """
    lines = summary(run(inner, TOLERATING, "--junit-xml", "report.xml", passed=10))
    assert lines[0].startswith(f"{TOLERATED.pointer}: ")
    assert [line.split("::")[1] for line in lines[1:6]] == [f"test_many[{n}]" for n in range(5)]
    assert lines[6].split() == ["and", "3", "more"]
    assert "--kling-fail-on warning" in lines[7]
    found = ET.parse(inner.path / "report.xml").findall(".//testcase[@name='test_many[0]']//property")
    assert [each.get("name") for each in found] == ["kling_tolerated"]
    assert str(found[0].get("value")).startswith(TOLERATED.pointer)


def test_it_fails_the_run_on_demand(inner: pytest.Pytester) -> None:
    """Asked to by the ini file, the plugin fails a run in which every test passed and something was tolerated, and no other
    run. The command line has the last word.
    """
    inner.makeini(f"{INI}kling_fail_on = warning\n")
    inner.makepyfile(test_inner=f"from program import *\n{TOLERATING}")
    result = inner.runpytest_inprocess(*QUIET)
    result.assert_outcomes(passed=10)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "they fail this run" in summary(result.stdout.str())[7]
    assert inner.runpytest_inprocess(*QUIET, "-k", "good or refused").ret == pytest.ExitCode.OK
    assert inner.runpytest_inprocess(*QUIET, "--kling-fail-on", "never").ret == pytest.ExitCode.OK


@pytest.mark.other_programs
def test_it_fails_a_run_of_many_workers(inner: pytest.Pytester, alone: tuple[str, ...]) -> None:
    """Under xdist what each worker saw is one list, and fails the run."""
    inner.makepyfile(test_inner=f"from program import *\n{TOLERATING}")
    inner.makeini("")
    result = inner.runpytest_subprocess(*QUIET, *alone, "-p", "xdist", "-n", "2", "--kling-fail-on", "warning")
    result.assert_outcomes(passed=10)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = summary(result.stdout.str())
    assert lines[0].startswith(f"{TOLERATED.pointer}: ")
    assert lines[6].split() == ["and", "3", "more"]


def test_whose_it_was(inner: pytest.Pytester) -> None:
    """What a fake of the session tolerated belongs to the test that sent it, also to one that failed afterwards.

    Of several attempts at a test the last one counts.
    """
    tests = """
        import pathlib

        def test_before(kling_session_server):
            send(url=kling_session_server.url + PATH)

        def test_with_it(kling_session_server):
            send(DEVIANT, url=kling_session_server.url + PATH)
            assert False

        def test_after(kling_session_server):
            assert len(kling_session_server.fake.journal) == 2

        def test_that_is_repeated(kling, request):
            attempts = pathlib.Path("attempts")
            first = not attempts.exists()
            attempts.touch()
            send(DEVIANT if first else PAYLOAD)
        """.replace("\n        ", "\n")
    inner.makeconftest("""
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            if "repeated" not in item.name:
                return None
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for report in runtestprotocol(item, nextitem=nextitem, log=False):
                if report.when != "call":
                    item.ihook.pytest_runtest_logreport(report=report)
            item._initrequest()
            runtestprotocol(item, nextitem=nextitem)
            return True
        """)
    lines = summary(run(inner, tests, passed=3, failed=1))
    assert [line.split("::")[1] for line in lines if "::" in line and line.startswith("    ")] == ["test_with_it"]
