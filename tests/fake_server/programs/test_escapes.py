"""Claims about noticing connections to other machines."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.programs.escapes import Escapes, _address
from fake_server.programs.forwarding import Forward
from tests.fake_server.programs.conftest import Ended
from tests.support import ROOT

ESCAPING = """
import os, socket, subprocess, sys, time
from fake_server.programs.escapes import Escapes
from fake_server.programs.launcher import descendants
connect = '''
import socket, sys
for host in sys.argv[1:]:
    globals()[host] = socket.create_connection((host, 5000))
print("connected", flush=True)
sys.stdin.read()
'''
listener = socket.create_server(("", 5000), backlog=20)
hosts = ["127.0.0.1", "192.0.2.7", "192.0.2.8", "192.0.2.7"]
of_another = socket.create_connection(("192.0.2.9", 5000))
told = []
with Escapes(lambda: descendants(os.getpid()), told.append):
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", connect, *hosts], stdin=-1, stdout=-1) as program:
        program.stdout.readline()
        deadline = time.monotonic() + 3
        while len(told) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.12)
print(*told)
"""


@pytest.mark.other_programs
@pytest.mark.usefixtures("namespaces")
def test_connections_to_other_machines_are_told_once(
    run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each address of another machine to which a process of the command connects is told once: no loopback, nobody else's."""
    others = [Forward("127.0.0.1", port, (f"192.0.2.{port}",), is_address=True) for port in (7, 8, 9)]
    monkeypatch.chdir(ROOT)
    ended = run([sys.executable, "-c", ESCAPING], allow=others)
    assert ended == Ended(0, "192.0.2.7:5000 192.0.2.8:5000\n", [])


@given(st.ip_addresses())
def test_addresses_of_the_kernel_are_read(address: IPv4Address | IPv6Address) -> None:
    """An address in the kernel's table, whose words are in the byte order of the machine, is read as what it is."""
    words = struct.unpack(f"={len(address.packed) // 4}I", address.packed)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    assert _address("".join(f"{word:08X}" for word in words)) == (mapped or address)


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="there is no IPv6, or no table")
def test_local_connections_are_no_escapes() -> None:
    """Connections within this machine's loopback are not told, over IPv4 or as IPv4 in IPv6, nor are listeners."""
    told: list[str] = []
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("::1", port)):
            Escapes(lambda: [os.getpid()], told.append).look()
    assert told == []
    assert _address("0000000000000000FFFF00000100007F") == ip_address("127.0.0.1")
