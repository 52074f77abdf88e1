"""Claims about what a command in a network namespace may reach outside, and what may reach it."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.programs.child import Streams, prepare
from fake_server.programs.forwarding import Forward, forwards, host_lines
from kling_contract.errors import ListenError
from tests.fake_server.programs.conftest import Ended

Run = Callable[..., Ended]

SEND = """
import hashlib, os, socket, sys
for host in sys.argv[2:]:
    try:
        with socket.create_connection((host, int(sys.argv[1])), 5) as connection:
            connection.sendall(bytes(range(256)) * 8000)
            connection.shutdown(socket.SHUT_WR)
            print(connection.makefile().read())
    except OSError as error:
        print(type(error).__name__)
"""

RESPOND = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.create_server((sys.argv[1], int(sys.argv[2])), family=family) as listener:
    print("ready", flush=True)
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.makefile("rb").read().upper())
"""


@pytest.fixture
def digesting_port() -> Iterator[int]:
    """Yield a port of this machine that responds with the digest of what it gets, once all of it has come."""

    def respond() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as file:
                    connection.sendall(hashlib.sha256(file.read()).hexdigest().encode())
        except OSError:  # closed
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=respond)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


DIGEST = hashlib.sha256(bytes(range(256)) * 8000).hexdigest()


@pytest.mark.usefixtures("namespaces")
def test_an_allowed_place_is_reached(run: Run, digesting_port: int) -> None:
    """All bytes come to the allowed place, and its response comes back after the command has ended its own direction.

    This holds by the usual address, by an address made for a name, and by the address of another machine.
    """
    allow = [
        *forwards([("localhost", digesting_port), ("localhost", digesting_port)]),
        Forward("127.0.0.1", digesting_port, ("127.77.0.1",)),
        Forward("127.0.0.1", digesting_port, ("192.0.2.7",), is_address=True),
    ]
    hosts = ["127.0.0.1", "127.77.0.1", "192.0.2.7", "192.0.2.8"]
    ended = run([sys.executable, "-I", "-S", "-c", SEND, str(digesting_port), *hosts], allow=allow)
    assert ended == Ended(0, f"{DIGEST}\n{DIGEST}\n{DIGEST}\nOSError\n", [])


@pytest.mark.usefixtures("namespaces")
@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="there is no IPv6")
def test_an_allowed_place_is_reached_by_ipv6(run: Run, digesting_port: int) -> None:
    """An allowed place is reached by IPv6, too: localhost as ::1, and another machine by its address."""
    allow = [
        *forwards([("localhost", digesting_port)]),
        Forward("127.0.0.1", digesting_port, ("2001:db8::7",), is_address=True),
    ]
    ended = run([sys.executable, "-I", "-S", "-c", SEND, str(digesting_port), "::1", "2001:db8::7"], allow=allow)
    assert ended == Ended(0, f"{DIGEST}\n{DIGEST}\n", [])


@pytest.mark.usefixtures("namespaces")
def test_an_allowed_place_that_refuses_is_told_once(run: Run) -> None:
    """Where nothing listens, the command's connection is reset, and one line says so, however often it tries."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-I", "-S", "-c", SEND, str(port), "127.0.0.1", "127.0.0.1"]
    ended = run(command, allow=forwards([("localhost", port)]))
    assert set(ended.output.split()) <= {
        "ConnectionResetError",
        "BrokenPipeError",
        "OSError",
    }  # the last if it is reset before shutdown
    (line,) = ended.said
    assert line.startswith(f"localhost:{port}, which the command may reach, cannot be reached: ")
    assert "Errno" not in line


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_published_port_is_reached(folder: Path, host: str) -> None:
    """A port at which the command listens is reached from outside. Before it listens, connections are reset, which is told once."""
    if ":" in host and not Path("/proc/net/if_inet6").exists():
        pytest.skip("there is no IPv6")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said: list[str] = []
    reading, writing = os.pipe()
    with (
        os.fdopen(reading) as output,
        prepare(
            folder=folder, isolate="require", publish=[port], say=said.append, streams=Streams(stdout=writing)
        ) as child,
    ):
        os.close(writing)
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port)) as early, pytest.raises(ConnectionResetError):
                early.recv(1)
        (line,) = said
        assert (
            line
            == f"port {port} is published, but the command does not listen there: {os.strerror(errno.ECONNREFUSED)}"
        )
        child.go([sys.executable, "-I", "-S", "-c", RESPOND, host, str(port)], environment=os.environ)
        assert output.readline() == "ready\n"
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"hello" * 100_000)
            connection.shutdown(socket.SHUT_WR)
            assert connection.makefile("rb").read() == b"HELLO" * 100_000
        assert child.wait() == 0


@pytest.mark.usefixtures("namespaces")
def test_a_taken_port_is_told(folder: Path) -> None:
    """A port that is taken cannot be published, and one at which the fake listens cannot be allowed: nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"port {port} cannot be published: Address already in use"):
            prepare(folder=folder, publish=[port])
    with pytest.raises(ListenError, match="localhost:443 cannot be allowed: the fake itself listens there"):
        prepare(folder=folder, listen=[("127.0.0.1", 443)], allow=forwards([("localhost", 443)]))
    assert folder.exists()


@given(
    st.lists(st.tuples(st.from_regex(r"[a-z]{1,3}(\.example)", fullmatch=True), st.integers(1, 65535)), max_size=400)
)
def test_each_name_has_an_address_of_its_own(allowed: list[tuple[str, int]]) -> None:
    """Two names never share an address, a name has one only, and the hosts file tells it."""
    found = forwards(allowed)
    assert [(forward.host, forward.port) for forward in found] == allowed
    addresses = {forward.host: forward.inside for forward in found}
    assert len(set(addresses.values())) == len(addresses)
    lines = host_lines(found).splitlines()
    assert {tuple(line.split("\t")) for line in lines} == {(inside[0], host) for host, inside in addresses.items()}
    assert len(lines) == len(addresses)


def test_hosts_with_an_address_keep_it() -> None:
    """This machine and hosts that are given by an address are found where they are, and need no line in the hosts file."""
    found = forwards([("localhost", 1), ("127.0.0.2", 2), ("10.1.2.3", 3), ("[2001:db8::1]", 4), ("::1", 5)])
    assert found == [
        Forward("localhost", 1, ("127.0.0.1", "::1")),
        Forward("127.0.0.2", 2, ("127.0.0.2",)),
        Forward("10.1.2.3", 3, ("10.1.2.3",), is_address=True),
        Forward("2001:db8::1", 4, ("2001:db8::1",), is_address=True),
        Forward("::1", 5, ("::1",)),
    ]
    assert host_lines(found) == ""
