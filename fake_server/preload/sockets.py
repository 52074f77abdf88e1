"""Sockets: what they look up and connect to is redirected, and the fake's end may know how long they wait for an answer."""

from __future__ import annotations

import errno
import sys
import weakref

from fake_server.preload.redirection import covering, destination, is_number, is_this_machine, newest, stand_in, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fake_server.preload.patching import Make, Patch


__all__ = ["Client", "client_at", "clients", "connections_of", "leads", "led", "look_ups", "patch_socket"]


class Client:
    """A blocking connection of this process that was redirected: what its other end wants to know about it.

    `error` is raised by its next read at the end of what has arrived.
    """

    __slots__ = ("__weakref__", "_arrival", "_reads_plainly", "_socket", "error", "is_reading")

    def __init__(self) -> None:
        self._socket: Callable[[], Any] = lambda: None
        self.error: BaseException | None = None
        self.is_reading = False
        self._reads_plainly = False
        self._arrival: Callable[[], None] | None = None

    def belongs_to(self, connection: Any) -> None:
        """Say which socket this is, also when TLS has made a new one of it."""
        clients[connection] = self
        _clients_by_port[connection.getsockname()[1]] = self
        self._socket = weakref.ref(connection)

    def timeout(self) -> float | None:
        """Return for how many seconds it waits for an answer: None for ever, 0 if it does not block."""
        connection = self._socket()
        timeout: float | None = connection.gettimeout() if connection is not None else 0.0
        return timeout

    def on_reading(self, call: Callable[[], None] | None) -> bool:
        """Have `call` called in its thread when it begins to read; return False if it reads already, or in ways not seen here."""
        self._arrival = call
        return call is None or not (self.is_reading or self._reads_plainly)

    def reads_plainly(self) -> None:
        """Remember that it is never seen to read."""
        self._reads_plainly = True

    def begins_to_read(self) -> None:
        self.is_reading = True
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival()

    def read_timeout(self) -> OSError:
        """Return what a read raises after its timeout."""
        from socket import timeout  # Python 3.8 and 3.9 know it by this name alone

        connection = self._socket()
        return timeout("The read operation timed out" if hasattr(connection, "context") else "timed out")  # noqa: UP041 - an alias since 3.10


clients: weakref.WeakKeyDictionary[Any, Client] = weakref.WeakKeyDictionary()
_clients_by_port: weakref.WeakValueDictionary[int, Client] = weakref.WeakValueDictionary()


def client_at(port: int) -> Client | None:
    """Return the redirected connection of this process with this local port; None for one that does not block, or of others."""
    client = _clients_by_port.get(port)
    return client if client is not None and client.timeout() != 0 else None


def leads(connection: Any) -> bool:
    """Return whether a blocking socket of this process is known to lead to where a redirection leads, also through a proxy."""
    if connection in clients:
        return True
    host = getattr(connection, "server_hostname", None)
    return host is not None and not connection.server_side and covering(host) is not None


def patch_socket(module: Any) -> list[Patch]:
    found = module.socket
    patches = [*look_ups(module), (module.SocketIO, "readinto", _readinto)]
    if found.__module__ == "pytest_socket":  # it forbids what cannot leave this machine, too
        patches.append((found, "__new__", _socket_of(found.__mro__[1])))
        found = found.__mro__[1]
    return [*patches, *connections_of(found)]


def _socket_of(real: Any) -> Make:
    """Let sockets be made while every other machine is refused."""

    def make(original: Any) -> Any:
        def __new__(cls: Any, *arguments: Any, **named: Any) -> Any:  # noqa: N807
            decides = newest()
            if decides is not None and decides.refuse_others:
                return real.__new__(cls)
            return original(cls, *arguments, **named)

        return __new__

    return make


def look_ups(module: Any) -> list[Patch]:
    return [
        (module, "getaddrinfo", _getaddrinfo),
        (module, "gethostbyname", _gethostbyname),
        (module, "gethostbyname_ex", _gethostbyname_ex),
    ]


def connections_of(owner: Any) -> list[Patch]:
    return [(owner, "connect", _connect), (owner, "connect_ex", _connect_ex)]


def _getaddrinfo(original: Any) -> Any:
    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:  # noqa: A002
        import socket

        address = None if flags & socket.AI_NUMERICHOST else stand_in(host)
        if address is not None and family == socket.AF_INET6:
            address = f"::ffff:{address}"
        decides = newest()
        if address is None and decides is not None and decides.refuse_others and is_number(name := text(host)):
            address = name if is_this_machine(name) else None
        if address is None:
            return original(host, port, family, type, proto, flags)
        flags &= ~getattr(socket, "AI_ADDRCONFIG", 0)
        return [  # with the function below the one that other tools replace
            (socket.AddressFamily(family), socket.SocketKind(type), *rest)
            for family, type, *rest in sys.modules["_socket"].getaddrinfo(address, port, family, type, proto, flags)  # noqa: A001
        ]

    return getaddrinfo


def _gethostbyname(original: Any) -> Any:
    def gethostbyname(hostname: Any) -> Any:
        return stand_in(hostname) or original(hostname)

    return gethostbyname


def _gethostbyname_ex(original: Any) -> Any:
    def gethostbyname_ex(hostname: Any) -> Any:
        address = stand_in(hostname)
        return original(hostname) if address is None else (text(hostname), [], [address])

    return gethostbyname_ex


def led(connection: Any, address: Any) -> tuple[Any, bool]:
    """Return the address that a socket is really to connect to, and whether it is redirected."""
    import socket

    v6 = connection.family == socket.AF_INET6
    stream = (v6 or connection.family == socket.AF_INET) and connection.type & 0xF == socket.SOCK_STREAM
    if newest() is None or not stream or not isinstance(address, tuple) or len(address) < 2:
        return address, False
    try:
        host, port, redirected = destination(address[0], address[1])
    except OSError:
        raise
    except BaseException:  # clients close a socket after an OSError alone
        connection.close()
        raise
    if not redirected:
        return (host, port, *address[2:]), False
    return ((f"::ffff:{host}", port, 0, 0) if v6 and ":" not in host else (host, port)), True


def _note(connection: Any) -> None:
    if connection.gettimeout() != 0 and hasattr(connection, "__weakref__"):
        Client().belongs_to(connection)


def _connect(original: Any) -> Any:
    def connect(self: Any, address: Any) -> Any:
        there, redirected = led(self, address)
        if not redirected:
            return original(self, there)
        plain = sys.modules["_socket"].socket
        result = plain.connect(self, there) if isinstance(self, plain) else original(self, there)
        _note(self)
        return result

    return connect


def _connect_ex(original: Any) -> Any:
    def connect_ex(self: Any, address: Any) -> Any:
        try:
            there, redirected = led(self, address)
        except ConnectionRefusedError:
            return errno.ECONNREFUSED
        result = original(self, there)
        if redirected and not result:
            _note(self)
        return result

    return connect_ex


def _readinto(original: Any) -> Any:
    def readinto(self: Any, buffer: Any) -> Any:
        client = clients.get(self._sock) if self._sock is not None else None
        if client is None:
            return original(self, buffer)
        client.begins_to_read()
        try:
            count = original(self, buffer)
        except OSError:
            if client.error is None:
                raise
            count = 0
        finally:
            client.is_reading = False
        if not count and client.error is not None:
            raise client.error
        return count

    return readinto
