"""The pytest plugin: fixtures for a fake in this process or on a real port, and what it says of a run that used them.

Every run of pytest loads it where the package is installed, so it imports what it works with only when it is used.
"""

from __future__ import annotations

import pytest

from kling_contract.pytest_plugin import settings, use
from kling_contract.pytest_plugin.failures import pytest_runtest_makereport
from kling_contract.pytest_plugin.fixtures import (
    KlingServer,
    _kling_port,
    kling,
    kling_async_client,
    kling_client,
    kling_clock,
    kling_server,
    kling_server_factory,
    kling_session_server,
    kling_virtual_time,
)
from kling_contract.pytest_plugin.guard import Guard
from kling_contract.pytest_plugin.settings import pytest_addoption
from kling_contract.pytest_plugin.tolerated import Tolerated
from kling_contract.pytest_plugin.use import pytest_runtest_setup, pytest_runtest_teardown

__all__ = [
    "KlingServer",
    "_kling_port",
    "kling",
    "kling_async_client",
    "kling_client",
    "kling_clock",
    "kling_server",
    "kling_server_factory",
    "kling_session_server",
    "kling_virtual_time",
    "pytest_addoption",
    "pytest_configure",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
]


def pytest_configure(config: pytest.Config) -> None:
    settings.configure(config)
    use.configure(config)
    config.pluginmanager.register(Tolerated(config), "kling-tolerated")
    config.pluginmanager.register(Guard(config), "kling-guard")
    if (limit := settings.number(config, "budget")) is not None:
        from kling_contract.pytest_plugin.budget import Budget

        config.pluginmanager.register(Budget(config, limit), "kling-budget")
