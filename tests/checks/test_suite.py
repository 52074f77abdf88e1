"""Claims about a check as tests of pytest."""

from __future__ import annotations

import pytest

from kling_contract.checks.plan import CLAIMS, EXPLORATIONS
from kling_contract.checks.suite import ContractTests, contract_tests

pytest_plugins = ["pytester"]

FREE = [claim for claim in CLAIMS if claim.free]

SERVERS = """
import pytest
from fake_server import FakeServer
from kling_contract.checks import contract_tests

KEY = "a-key-of-the-tests"

def fixture(scope="module", **options):
    @pytest.fixture(scope=scope)
    def server():
        fake = FakeServer(**{"api_key": KEY, **options})
        with fake.listen() as url:
            yield url
        with open("sent.txt", "a") as file:
            file.write(f"{len(fake.journal)} {len(fake.generations)}\\n")
    return server
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder for test programs, whose pytest warns of nothing that is not about them."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def sent(suite: pytest.Pytester) -> list[tuple[int, int]]:
    """Return of each server, in the order of their ends, how many requests and generations it has seen."""
    lines = (suite.path / "sent.txt").read_text().splitlines()
    return [(int(requests), int(made)) for requests, made in (line.split() for line in lines)]


def test_contract_tests_in_a_suite(suite: pytest.Pytester) -> None:
    """Each test checks one claim; after a create that was accepted the rest fail without sending anything."""
    suite.makepyfile(
        f"""{SERVERS}
gateway, sloppy = fixture(), fixture(strictness="off")
TestGateway = contract_tests("gateway", key=KEY)
TestSloppy = contract_tests("sloppy", key=KEY)
"""
    )
    good = suite.runpytest_inprocess("-p", "no:cacheprovider", "-k", "TestGateway")
    good.assert_outcomes(passed=len(FREE) - 1, skipped=1, deselected=len(FREE))
    bad = suite.runpytest_inprocess("-p", "no:cacheprovider", "-k", "TestSloppy")
    counted = bad.parseoutcomes()
    assert (counted["passed"], counted["failed"]) == (2, len(FREE) - 2)
    bad.stdout.fnmatch_lines(["*was created, which may be billed*", "*nothing was sent: in an earlier test*"])


def test_a_server_is_met_once(suite: pytest.Pytester) -> None:
    """All tests of one server are one run: they send as many requests as a check does. Another server is another run."""
    suite.makepyfile(
        f"""{SERVERS}
from kling_contract.checks.runner import CheckRun
gateway, fresh = fixture(), fixture(scope="function")
TestGateway = contract_tests("gateway", key=KEY)
TestFresh = contract_tests("fresh", key=KEY)

def test_check(gateway):
    with CheckRun(gateway, key=KEY, seed=0) as run:
        list(run.results())
        print("by check", run.sent)
"""
    )
    whole = suite.runpytest_inprocess("-p", "no:cacheprovider", "-k", "test_check", "-s")
    (line,) = [line for line in whole.outlines if "by check" in line]
    suite.runpytest_inprocess("-p", "no:cacheprovider", "-k", "TestGateway")
    suite.runpytest_inprocess("-p", "no:cacheprovider", "-k", "TestFresh").assert_outcomes(
        passed=len(FREE) - 1, skipped=1, deselected=len(FREE) + 1
    )
    by_check, by_tests, *each_fresh = sent(suite)
    assert f"by check {by_check[0]}" in line
    assert by_tests == by_check
    assert len(each_fresh) == len(FREE)
    assert sum(requests for requests, _ in each_fresh) == by_check[0] + 2 * (
        len(FREE) - 1
    )  # each meets the server, and asks it what becomes of the model


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_any_order_will_do(suite: pytest.Pytester, order: str) -> None:
    """If creating is allowed, a correct server passes in any order of the tests: each counts its own generations only."""
    suite.makeconftest(
        f"""
import random

def pytest_collection_modifyitems(items):
    items.reverse() if "{order}" == "reversed" else random.Random(5).shuffle(items)
"""
    )
    suite.makepyfile(
        f"""{SERVERS}
gateway = fixture()
TestGateway = contract_tests("gateway", key=KEY, allow_create=True)
"""
    )
    done = suite.runpytest_inprocess(
        "-p",
        "no:cacheprovider",
        "-k",
        "not any-order and not schemathesis",
    )
    done.assert_outcomes(passed=len(CLAIMS), deselected=len(EXPLORATIONS))


def test_generations_that_are_paid_for(suite: pytest.Pytester) -> None:
    """With `spend`, each generation that is paid for is one more test, and no more are created."""
    suite.makepyfile(
        f"""{SERVERS}
gateway = fixture()
TestGateway = contract_tests("gateway", key=KEY, spend=2)
"""
    )
    done = suite.runpytest_inprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=len(FREE) + 2)
    ((_, made),) = sent(suite)
    assert made == 2


def test_a_time_limit_that_is_over(suite: pytest.Pytester) -> None:
    """When the time limit is over, tests fail and say so."""
    suite.makepyfile(
        f"""{SERVERS}
import time
gateway = fixture()

@pytest.fixture
def late(gateway):
    yield gateway
    time.sleep(0.5)

TestGateway = contract_tests("late", key=KEY, time_limit=0.5)
"""
    )
    done = suite.runpytest_inprocess("-p", "no:cacheprovider", "-k", "key-is-needed or other-keys")
    done.assert_outcomes(passed=1, failed=1, deselected=len(FREE) - 2)
    done.stdout.fnmatch_lines(["*time limit of 0.5 seconds is over*"])


def test_the_class_has_a_type() -> None:
    """What `contract_tests` returns is a class of tests, of a type that can be named; the type itself has no server."""
    tests = contract_tests("http://127.0.0.1:9")
    assert issubclass(tests, ContractTests)
    with pytest.raises(NotImplementedError, match="contract_tests"):
        ContractTests().test_contract(CLAIMS[0], None)  # type: ignore[arg-type]
