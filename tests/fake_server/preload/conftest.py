"""What the tests of the preloads share: the port of a run, played."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_server.preload.port_of_run import PortOfRun


@pytest.fixture
def port_of_run(tmp_path: Path) -> Iterator[PortOfRun]:
    """A port of a run, which moves no clock by itself."""
    port = PortOfRun(tmp_path)
    yield port
    port.close()


@pytest.fixture
def moving_port(tmp_path: Path) -> Iterator[PortOfRun]:
    """A port of a run whose clock moves to the earliest wake-up of the only process."""
    port = PortOfRun(tmp_path, moves=True, offset=500, settle=0.002)
    yield port
    port.close()
