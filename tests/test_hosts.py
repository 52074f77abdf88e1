"""Claims about hosts: whatever asks whether a name means this machine gets the same answer."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fake_server import FakeServer, Request
from fake_server.adapters.control import ControlApi
from fake_server.messages import Headers
from kling_contract.checks.runner import check
from kling_contract.errors import ServerUnreachable
from kling_contract.hosts import is_loopback, names_this_host, root_of
from tests.support import ROOT

THIS_MACHINE = [
    "localhost",
    "LOCALHOST",
    "kling.localhost",
    "a.b.localhost",
    "127.0.0.1",
    "127.9.9.9",
    "[::1]",
    "[::ffff:127.0.0.1]",
]
OTHERS = [
    "192.0.2.1",
    "[::2]",
    "[::ffff:192.0.2.1]",
    "0.0.0.0",
    "localhost.example.com",
    "evillocalhost",
    "127.0.0.1.example",
    "127.1",
]
HOSTS = st.sampled_from([*THIS_MACHINE, *OTHERS]) | st.from_regex(r"([a-z0-9]{1,5}\.){0,3}[a-z]{1,9}", fullmatch=True)


@given(HOSTS, st.sampled_from(["", ":8080"]))
@example("kling.localhost", ":8080")
def test_check_and_control_path_agree(host: str, port: str) -> None:
    """`check` takes a name for this machine just where the control path of a fake on this machine does."""
    request = Request("GET", f"http://{host}{port}/_fake/health", Headers({"host": f"{host}{port}"}), b"")
    admitted = ControlApi(FakeServer()).handle(request).status == 200
    try:
        asked = root_of(f"http://{host}{port}/") == f"http://{host}{port}"
    except ServerUnreachable:
        asked = False
    assert admitted == asked == names_this_host(f"{host}{port}", "127.0.0.1")
    assert asked == is_loopback(urlsplit(f"//{host}").hostname or "")


@pytest.mark.parametrize("host", THIS_MACHINE)
def test_names_of_this_machine(host: str) -> None:
    """Names and addresses that can only mean this machine need no `allow_remote`."""
    assert root_of(f"http://{host}:8080") == f"http://{host}:8080"


@pytest.mark.parametrize("host", OTHERS)
def test_names_of_other_machines(host: str) -> None:
    """Another machine is called only with `allow_remote`."""
    with pytest.raises(ServerUnreachable, match="another machine"):
        check(f"http://{host}:8080")
    assert root_of(f"http://{host}:8080", allow_remote=True) == f"http://{host}:8080"


def test_asking_for_a_host_loads_no_client() -> None:
    """Whether a name means this machine can be asked without a library that sends requests."""
    code = (
        "import sys, kling_contract.hosts as hosts; assert hosts.is_loopback('::1'); assert 'httpx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
