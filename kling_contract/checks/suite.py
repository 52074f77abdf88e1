"""Does this server keep the contract? As a function, and as tests for pytest; free of charge unless told otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from kling_contract.checks.findings import Finding
from kling_contract.checks.plan import Question, questions
from kling_contract.checks.runner import Inspection
from kling_contract.checks.target import Target
from kling_contract.contract import Contract

__all__ = ["Finding", "contract_tests"]


def contract_tests(
    server: str | Callable[[], str | Target],
    *,
    revision: str | None = None,
    allow_create: bool = False,
    key: str | None = None,
    live: bool = False,
    seed: int = 0,
) -> type:
    """Return a class of pytest tests, one a question: `TestGateway = contract_tests("http://127.0.0.1:8080")`.

    `server` is a URL, the name of a fixture that gives a URL or a Target, or a function that returns one. Free of charge, as
    `check` is, unless `allow_create`; when something was created nevertheless, the tests after it fail without asking. Of what
    is not as the documents only assume, a test warns.
    """
    import pytest

    creations = None if allow_create else 0
    stopped = pytest.StashKey[str]()

    class ContractTests:
        """Holds a server against the contract."""

        @pytest.mark.parametrize("question", questions(creations=creations), ids=lambda question: question.name)
        def test_contract(self, question: Question, request: pytest.FixtureRequest) -> None:
            """The server keeps its promise."""
            __tracebackhide__ = True
            family = request.node.getparent(pytest.Class).stash
            if stopped in family:
                pytest.fail(f"not asked: in an earlier test {family[stopped]}", pytrace=False)
            found: Any = server() if callable(server) else server
            if isinstance(found, str) and "://" not in found:
                found = request.getfixturevalue(found)
            contract = Contract.load(revision)
            with Inspection(found, contract=contract, creations=creations, key=key, live=live, seed=seed) as asked:
                verdict = asked.judge(question)
                if asked.stopped:
                    family[stopped] = "something was created that must not be"
            for finding in verdict.findings:
                if finding.severity != "error":
                    warnings.warn(str(finding), stacklevel=1)
            if broken := [str(finding) for finding in verdict.findings if finding.severity == "error"]:
                pytest.fail("\n".join(broken), pytrace=False)
            if verdict.left_out:
                pytest.skip(verdict.left_out)

    return ContractTests
