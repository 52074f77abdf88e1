"""A folder for runs of pytest inside a test."""

from __future__ import annotations

import pytest

from tests.pytest_plugin.runs import INI, PROGRAM


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder for runs of pytest: with the program in it, and settings that let no warning through."""
    pytester.makepyfile(program=PROGRAM)
    pytester.makeini(INI)
    return pytester


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Keep other plugins out of runs in processes of their own; return what lets ours in."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return "-p", "kling_contract.pytest_plugin"
