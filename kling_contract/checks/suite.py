"""A check as tests for pytest: one test for each claim."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from kling_contract.checks.claims import Claim
from kling_contract.checks.deadline import DeadlineExceeded
from kling_contract.checks.plan import claims_for
from kling_contract.checks.runner import CheckRun
from kling_contract.checks.target import Target
from kling_contract.contract import Contract

if TYPE_CHECKING:
    import pytest

__all__ = ["ContractTests", "contract_tests"]


class ContractTests:
    """Tests of one server, as `contract_tests` returns them: `test_contract` has one case for each claim."""

    def test_contract(self, claim: Claim, request: pytest.FixtureRequest) -> None:
        """The server keeps its promise."""
        raise NotImplementedError("use what contract_tests() returns")


def contract_tests(
    server: str | Callable[[], str | Target],
    *,
    revision: str | None = None,
    model: str | None = None,
    allow_create: bool = False,
    spend: int = 0,
    key: str | None = None,
    allow_remote: bool = False,
    time_limit: float | None = None,
    seed: int = 0,
) -> type[ContractTests]:
    """Return a class of pytest tests, one for each claim: `TestGateway = contract_tests("http://127.0.0.1:8080")`.

    `server` is a URL, the name of a fixture that gives a URL or a Target, or a function that returns one. The rest is as for
    `check`; `time_limit` is for all tests together. If something was created that must not be, all later tests fail without
    sending anything. A broken assumption is a warning of pytest, not a failure.
    """
    import pytest

    creations = None if allow_create else spend
    contract = Contract.load(revision, model=model)
    runs = pytest.StashKey[tuple[str | Target, CheckRun]]()
    stopped = pytest.StashKey[str]()

    def run_for(found: str | Target, tests: pytest.Class) -> CheckRun:
        """Return the run of a class of tests, or begin one: the first, or one for a server that is another by now."""
        if runs in tests.stash:
            server_before, run = tests.stash[runs]
            if server_before == found:
                return run
            run.close()
        run = CheckRun(
            found,
            contract=contract,
            creations=creations,
            key=key,
            allow_remote=allow_remote,
            time_limit=time_limit,
            seed=seed,
        )
        tests.addfinalizer(run.close)
        tests.stash[runs] = (found, run)
        return run

    class TestsOfServer(ContractTests):
        @pytest.mark.parametrize("claim", claims_for(creations=creations), ids=lambda claim: claim.name)
        def test_contract(self, claim: Claim, request: pytest.FixtureRequest) -> None:
            """The server keeps its promise."""
            __tracebackhide__ = True
            tests = request.node.getparent(pytest.Class)
            if stopped in tests.stash:
                pytest.fail(f"nothing was sent: in an earlier test {tests.stash[stopped]}", pytrace=False)
            found = server() if callable(server) else server
            if isinstance(found, str) and "://" not in found:
                found = request.getfixturevalue(found)
            run = run_for(found, tests)
            try:
                result = run.check(claim)
            except DeadlineExceeded:
                pytest.fail(f"the time limit of {run.time_limit:g} seconds is over", pytrace=False)
            if run.stopped:
                tests.stash[stopped] = "something was created that must not be"
            for finding in result.findings:
                if finding.severity != "error":
                    warnings.warn(str(finding), stacklevel=1)
            if broken := [str(finding) for finding in result.findings if finding.severity == "error"]:
                pytest.fail("\n".join(broken), pytrace=False)
            if result.skipped:
                pytest.skip(result.skipped)

    return TestsOfServer
