"""The budget: the run fails if its fakes together would have booked more than it allows."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from kling_contract.pytest_plugin.settings import configured_options, setting
from kling_contract.pytest_plugin.use import note_property, uses

__all__ = ["Budget"]

_SHOWN = 5  # tests, and as many of each model of unknown price


class Budget:
    """Adds up what the fakes of the fixtures have booked or may still book, over all tests and all workers of xdist."""

    def __init__(self, config: pytest.Config, limit: float) -> None:
        self._config = config
        self._limit = limit
        self._ignores_unknown = setting(config, "budget_unknown") == "ignore"
        self._by_test: dict[str, float] = {}
        self._unknown: dict[str, list[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if call.when == "teardown":
            charges = [charge for use in uses(item) for charge in use.charges]
            if cost := sum(charge.amount or 0 for charge in charges if charge.state != "void"):
                note_property(item, "cost", cost)
            for model in dict.fromkeys(charge.model for charge in charges if charge.state == "unknown"):
                note_property(item, "price_unknown", model)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":
            return
        for name, value in report.user_properties:
            if name == "kling_cost" and isinstance(value, int | float):
                self._by_test[report.nodeid] = self._by_test.get(report.nodeid, 0) + value  # each attempt costs
            elif name == "kling_price_unknown":
                self._unknown.setdefault(str(value), []).append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._exceeded and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._by_test and not self._unknown:
            return
        from kling_contract.contract import Contract

        unit = Contract.load(configured_options(self._config).get("revision")).observed.price.unit
        out = terminalreporter
        out.section("kling: budget", red=self._exceeded)
        ending = f", and the budget is {self._limit:,.0f}: they fail this run" if self._cost > self._limit else ""
        out.line(f"The fakes of this run would have booked {self._cost:,.0f} {unit}{ending}.")
        dearest = sorted(self._by_test.items(), key=lambda each: -each[1])
        for test, cost in dearest[:_SHOWN]:
            out.line(f"    {cost:>12,.0f}  {test}")
        if len(dearest) > _SHOWN:
            out.line(f"    and {len(dearest) - _SHOWN} more")
        for model, tests in self._unknown.items():
            more = f" and {len(tests) - _SHOWN} more" if len(tests) > _SHOWN else ""
            out.line(f"The price of {model} is unknown: {', '.join(tests[:_SHOWN])}{more}")
        if self._unknown and not self._ignores_unknown:
            out.line(
                "An unknown price fails this run, since it may exceed any budget; kling_budget_unknown = ignore lets it pass."
            )

    @property
    def _cost(self) -> float:
        return sum(self._by_test.values())

    @property
    def _exceeded(self) -> bool:
        return self._cost > self._limit or (bool(self._unknown) and not self._ignores_unknown)
