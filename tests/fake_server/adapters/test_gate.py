"""Claims about the gate: whichever way a client comes to the port, its request for the API arrives, and no other does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from fake_server.adapters.asgi import app
from fake_server.adapters.authority import Authority
from fake_server.adapters.gate import Gate
from fake_server.adapters.listen import listen
from fake_server.messages import Headers, Reply, Request
from kling_contract import SystemClock

API = "api.example.com"
AUTHORITY = Authority([API])


class Port(NamedTuple):
    number: int
    seen: list[Request]
    refused: Counter[tuple[str, int]]
    paced: list[tuple[socket.socket, bytes]]


@pytest.fixture(scope="module")
def everything() -> Iterator[Port]:
    """A gate that allows connections to this machine."""
    port = Port(0, [], Counter(), [])

    def answer(request: Request) -> Reply:
        port.seen.append(request)
        return Reply(200, Headers({"x-host": request.target.netloc}), request.target.path.encode())

    def refuse(host: str, number: int) -> None:
        port.refused[host, number] += 1

    gate = Gate(
        AUTHORITY,
        [API],
        allows=lambda host, _: host == "localhost",
        on_refused=refuse,
        on_pace=lambda *paced: port.paced.append(paced),
    )
    with listen(app(answer, body_limit=1000, clock=SystemClock()), gate=gate) as url:
        yield port._replace(number=int(url.rpartition(":")[2]))


@pytest.fixture
def port(everything: Port) -> Port:
    everything.seen.clear()
    everything.refused.clear()
    everything.paced.clear()
    return everything


def ask(connection: socket.socket, target: str, host: str = API) -> str:
    """Send a request and return the whole answer, up to the end of the connection."""
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return rest(connection)


def rest(connection: socket.socket) -> str:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65_536):
            answer += data
    return answer.decode()


def connected(port: Port) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port.number), timeout=10)


def secured(connection: socket.socket) -> ssl.SSLSocket:
    return ssl.create_default_context(cadata=AUTHORITY.certificate).wrap_socket(connection, server_hostname=API)


def tunnelled(port: Port, target: str) -> tuple[socket.socket, str]:
    connection = connected(port)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    return connection, connection.recv(1000).decode()


def test_https_and_http_on_one_port(port: Port) -> None:
    """The same port takes TLS and plain HTTP, and the scheme of the request says which."""
    with secured(connected(port)) as connection:
        assert ask(connection, "/a").endswith("/a")
    with connected(port) as connection:
        assert ask(connection, "/b").endswith("/b")
    assert [(request.target.scheme, request.target.netloc) for request in port.seen] == [("https", API), ("http", API)]


def test_it_is_a_proxy_for_the_api(port: Port) -> None:
    """A client that takes it for its proxy ends in the application: by CONNECT, with and without TLS, and in absolute form."""
    connection, said = tunnelled(port, f"{API}:443")
    with secured(connection) as tunnel:
        assert said.startswith("HTTP/1.1 200")
        assert ask(tunnel, "/a").endswith("/a")
    connection, _ = tunnelled(port, f"{API}:80")
    with connection:
        assert ask(connection, "/b").endswith("/b")
    for url in (f"http://{API}/c", f"https://{API}/c"):  # the second is what old versions of axios send
        with connected(port) as connection:
            assert ask(connection, url).endswith("/c")
    assert not port.refused


@pytest.mark.parametrize("target", ["example.com:443", "[2001:db8::1]:8443", "sub.api.example.com:443"])
def test_other_hosts_are_refused(port: Port, target: str) -> None:
    """A client that asks for another host is told why it does not get it, and the refusal is told with host and port."""
    connection, said = tunnelled(port, target)
    with connection:
        assert said.startswith("HTTP/1.1 403")
        assert "is not allowed" in said
    host, _, number = target.rpartition(":")
    assert port.refused == {(host.strip("[]"), int(number)): 1}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_other_hosts_are_refused_in_the_absolute_form(port: Port, scheme: str) -> None:
    """The same holds for a request in the absolute form, of either scheme: it never reaches the application."""
    with connected(port) as connection:
        assert ask(connection, f"{scheme}://example.com/x", "example.com").startswith("HTTP/1.1 403")
    assert port.refused == {("example.com", 80 if scheme == "http" else 443): 1}
    assert not port.seen


def test_allowed_hosts_are_reached(port: Port) -> None:
    """A host that is allowed is connected to, by CONNECT and in the absolute form, which it gets as its own requests."""
    got = []

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                got.append(connection.recv(1000).decode())
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=[listener])
        server.start()
        place = f"localhost:{listener.getsockname()[1]}"
        connection, _ = tunnelled(port, place)
        with connection:
            assert ask(connection, "/a", place).startswith("HTTP/1.1 204")
        with connected(port) as connection:
            assert ask(connection, f"http://{place}/b?c", place).startswith("HTTP/1.1 204")
        server.join()
    assert got[0].startswith("GET /a HTTP/1.1\r\n")
    assert got[1] == f"GET /b?c HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n"
    assert not port.refused


def test_what_cannot_be_reached_is_said(port: Port) -> None:
    """If an allowed host does not answer, the client is told so by 502."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        number = closed.getsockname()[1]
    connection, said = tunnelled(port, f"localhost:{number}")
    with connection:
        assert said.startswith("HTTP/1.1 502")


@pytest.mark.parametrize("target", ["nonsense:port", ":443", "[:443", ""])
def test_nonsense_is_refused(port: Port, target: str) -> None:
    """A CONNECT request to no place gets 400, and the port goes on."""
    connection, said = tunnelled(port, target)
    with connection:
        assert said.startswith("HTTP/1.1 400")
    test_https_and_http_on_one_port(port)


def test_it_keeps_to_whole_lines(port: Port) -> None:
    """A request that arrives byte by byte is understood as one that arrives at once."""
    with connected(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in f"CONNECT {API}:443 HTTP/1.1\r\n\r\n".encode():
            connection.sendall(bytes([byte]))
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        with secured(connection) as tunnel:
            assert ask(tunnel, "/a").endswith("/a")


def test_a_preload_tells_what_it_has_refused(port: Port) -> None:
    """The line of a preload counts as a refusal."""
    with connected(port) as connection:
        connection.sendall(b"KLING-REFUSED example.com:443\n")
        assert rest(connection) == ""
    assert port.refused == {("example.com", 443): 1}


def test_who_follows_the_clock_is_handed_over(port: Port) -> None:
    """A connection that begins with the line of the clock is handed over, open, with that line and no more."""
    with connected(port) as connection:
        connection.sendall(b'KLING-PACE {"pid": 1}\n{"wait": 2}\n')
        while not port.paced:
            pass
        [(other, line)] = port.paced
        with other:
            assert line == b'KLING-PACE {"pid": 1}\n'
            other.setblocking(True)
            assert other.recv(100) == b'{"wait": 2}\n'


def test_silent_clients_do_no_harm(port: Port) -> None:
    """Clients that connect and say nothing, or break off in the middle of a line, keep nobody from being served."""
    with contextlib.ExitStack() as stack:
        for start in (b"", b"CONN", b"\x16", b"GET"):
            stack.enter_context(connected(port)).sendall(start)
        test_https_and_http_on_one_port(port)
