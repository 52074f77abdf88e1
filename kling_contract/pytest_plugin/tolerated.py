"""What fakes tolerated: listed at the end of the run, which it fails on demand."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from kling_contract.pytest_plugin.settings import setting
from kling_contract.pytest_plugin.use import note_property, uses

__all__ = ["Tolerated"]

_SHOWN = 5  # tests for each violation


class Tolerated:
    """Collects what was tolerated, shows it at the end of the run, and fails the run if --kling-fail-on says so."""

    def __init__(self, config: pytest.Config) -> None:
        self._fails = setting(config, "fail_on") == "warning"
        self._by_test: dict[str, list[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if call.when == "teardown":
            violations = (wrong for use in uses(item) for exchange in use.exchanges for wrong in exchange.violations)
            for text in dict.fromkeys(str(wrong) for wrong in violations if wrong.severity == "warning"):
                note_property(item, "tolerated", text)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":  # of several attempts the last one counts
            found = [str(value) for name, value in report.user_properties if name == "kling_tolerated"]
            self._by_test[report.nodeid] = found

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._fails and any(self._by_test.values()) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        by_text: dict[str, list[str]] = {}
        for test, texts in self._by_test.items():
            for text in texts:
                by_text.setdefault(text, []).append(test)
        if not by_text:
            return
        out = terminalreporter
        out.section("kling: tolerated violations", red=self._fails, yellow=not self._fails)
        for text, tests in by_text.items():
            out.line(text)
            for test in tests[:_SHOWN]:
                out.line(f"    {test}")
            if len(tests) > _SHOWN:
                out.line(f"    and {len(tests) - _SHOWN} more")
        ending = "they fail this run" if self._fails else "--kling-fail-on warning makes them fail the run"
        out.line(f"The service is known to accept these, although the contract does not: {ending}.")
