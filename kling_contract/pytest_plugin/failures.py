"""What the fakes of a failed test saw: a section of its report with the exchanges, and with what was wrong with them."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from kling_contract.pytest_plugin.use import Use, uses

__all__ = ["add_section", "pytest_runtest_makereport"]

_TITLE = "kling: what the fake saw"
_LINE = 400  # characters


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the section to the report of each phase that failed."""
    report = yield
    if report.failed and call.excinfo is not None:
        told = str(call.excinfo.value)
        texts = [text for use in uses(item) if (text := _seen(use, told))]
        if texts:
            add_section(report, _TITLE, "\n\n".join(texts))
    return report


def add_section(report: pytest.TestReport, title: str, text: str) -> None:
    """Add a section below the traceback: a JUnit report has it there too, which it has of no other section of ours."""
    add = getattr(report.longrepr, "addsection", None)
    if add is None:  # no traceback, but a plain text
        report.sections.append((title, text))
    else:
        add(title, text)


def _seen(use: Use, told: str) -> str:
    """Return what a fake saw; "" if the error of the test, `told`, says it already."""
    from fake_server.journal import text
    from fake_server.journal.journal import Journal

    fake = use.fake
    journal = fake.journal
    if use.shared:
        journal = Journal(fake.contract)
        for exchange in use.exchanges:
            journal.add(exchange)
    table = text.table(journal)
    if table in told:
        return ""
    lines = [f"{use.fixture}: revision {fake.contract.revision.id}, scenario {fake.scenario.name}, {fake.strictness}"]
    lines += table.splitlines()
    if violations := text.violations(journal):
        lines += ["what was wrong with the requests:", *violations.splitlines()]
    return "\n".join(text.shortened(line, _LINE) for line in lines)
