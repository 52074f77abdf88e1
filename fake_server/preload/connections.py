"""Connections: while a redirection is active, what this process sends to its hosts goes to one port, and is trusted there.

Three things are patched at the bottom, where every HTTP client in Python ends: the look-up of names, the connection of a
socket, and the trust of TLS. Clients that do not go through these have a patch of their own. A module is patched when it is
imported, so that this module imports nothing that its program does not need.
"""

from __future__ import annotations

import contextlib
import errno
import sys
import threading
import weakref

TYPE_CHECKING = False  # that of `typing`, which takes longer to import than all else here
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    _Make = Callable[[Any], Any]
    _Patch = tuple[
        Any, str, _Make
    ]  # an owner, the name of an attribute, and what makes its replacement from the original

sys.modules.setdefault("fake_server.preload.connections", sys.modules[__name__])  # one registry, however it was loaded

__all__ = ["PATCHES", "Client", "Redirection", "client_at", "covering", "leads", "renew"]

# Names are given addresses that stand for them until they are connected to: many clients look up first and connect later.
_STAND_IN = "127.64.{}.{}"
_MOST_NAMES = 1 << 14


class Redirection:
    """Leads connections to `hosts`, and to every other name under `domain`, to one port of this machine.

    - `address` gives host and port, and is asked at each connection.
    - `authority` gives the certificate, in PEM, of what answers there: it is trusted whatever else a client trusts, and for
      these names TLS with anybody else is refused before anything is sent.
    - `refuse_others`: connections to other machines are refused, except to those in `allow`: names, or NAME:PORT.
    - `advice` ends the message of a refusal; `on_refused` is called with host and port.

    The newest active one decides. They may begin and end in any order, in any thread.
    """

    def __init__(
        self,
        hosts: Collection[str],
        domain: str,
        *,
        address: Callable[[], tuple[str, int]],
        authority: Callable[[], str],
        refuse_others: bool = True,
        allow: Collection[str] = (),
        advice: str = "",
        on_refused: Callable[[str, int], None] = lambda _host, _port: None,
    ) -> None:
        self.address = address
        self.authority = authority
        self.refuse_others = refuse_others
        self.advice = advice
        self.on_refused = on_refused
        self._hosts = frozenset(host.lower() for host in hosts)
        self._under = f".{domain.lower()}" if domain else ""
        self._allow = frozenset(place.lower() for place in allow)
        self._allowed_names = frozenset(place.rpartition(":")[0] or place for place in self._allow)
        self._key_id = b""

    def begin(self) -> None:
        """Begin to redirect."""
        global _active
        with _changing:
            _active = (*_active, self)
            _install()

    def end(self) -> None:
        """End what `begin` began. The last one to end undoes the patches."""
        global _active
        with _changing:
            _active = tuple(each for each in _active if each is not self)
            if not _active:
                _uninstall()
                for context in list(_put_off):
                    with contextlib.suppress(OSError):  # a file that is gone
                        _load_what_was_put_off(context)

    def covers(self, host: str) -> bool:
        """Return whether this host, in lower case, is redirected."""
        return host in self._hosts or bool(self._under and host.endswith(self._under))

    def allows(self, host: str, port: int | None = None) -> bool:
        """Return whether this host may be connected to, on this port (None: on any)."""
        if not self.refuse_others or host in self._allow:
            return True
        return host in self._allowed_names if port is None else f"{host}:{port}" in self._allow

    def is_peer(self, certificate: bytes | None) -> bool:
        """Return whether this certificate, in DER, was issued by the authority: it names the key that signed it."""
        if not self._key_id:
            import ssl

            whole = ssl.PEM_cert_to_DER_cert(self.authority())
            self._key_id = whole.partition(_SUBJECT_KEY_ID)[2][:20]
        return bool(certificate and self._key_id and self._key_id in certificate)


_SUBJECT_KEY_ID = b"\x55\x1d\x0e\x04\x16\x04\x14"  # the extension of RFC 5280, 4.2.1.2, with 20 bytes to come

_changing = threading.RLock()
_active: tuple[Redirection, ...] = ()  # the newest last
_addresses: dict[str, str] = {}  # by name
_names: dict[str, str] = {}  # by address


def covering(host: Any) -> Redirection | None:
    """Return the newest active redirection of this host, None if it is not redirected."""
    if not _active:
        return None
    name = _text(host)
    return next((each for each in reversed(_active) if each.covers(name)), None)


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
        _clients[connection] = self
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


_clients: weakref.WeakKeyDictionary[Any, Client] = weakref.WeakKeyDictionary()
_clients_by_port: weakref.WeakValueDictionary[int, Client] = weakref.WeakValueDictionary()


def client_at(port: int) -> Client | None:
    """Return the redirected connection of this process with this local port; None for one that does not block, or of others."""
    client = _clients_by_port.get(port)
    return client if client is not None and client.timeout() != 0 else None


def leads(connection: Any) -> bool:
    """Return whether a blocking socket of this process is known to lead to where a redirection leads, also through a proxy."""
    if connection in _clients:
        return True
    host = getattr(connection, "server_hostname", None)
    return host is not None and not connection.server_side and covering(host) is not None


# Names and addresses


def _text(host: Any) -> str:
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("latin-1")
    return host.lower().rstrip(".") if isinstance(host, str) else ""


def _is_number(name: str) -> bool:
    return ":" in name or not name.strip("0123456789.")


def _is_this_machine(name: str) -> bool:
    if name in ("", "localhost", "::1", "::", "0.0.0.0") or name.endswith(".localhost"):
        return True
    if name.startswith("::ffff:"):
        name = name[7:]
    return name.startswith("127.") and _is_number(name)


def _stand_in(host: Any) -> str | None:
    """Return the address that stands for a host which is redirected or refused; None for one that is looked up as usual."""
    newest = _active[-1:]
    if not newest:
        return None
    name = _text(host)
    if covering(name) is None:
        if newest[0].allows(name) or _is_number(name) or _is_this_machine(name):
            return None
        import socket

        if name == socket.gethostname().lower():
            return None
    address = _addresses.get(name)
    if address is None:
        with _changing:
            number = len(_names) % _MOST_NAMES
            address = _STAND_IN.format(number >> 8, number & 255)
            if address in _names:
                _addresses.pop(_names.pop(address), None)
            _names[address] = name
            _addresses[name] = address
    return address


def _destination(host: Any, port: Any) -> tuple[Any, Any, bool]:
    """Return host and port to connect to, and whether that is a redirection. Raise ConnectionRefusedError."""
    name = _text(host)
    name = _names.get(name[7:] if name.startswith("::ffff:") else name, name)
    redirection = covering(name)
    if redirection is not None:
        there, number = redirection.address()
        return there, number, True
    newest = (_active or (None,))[-1]
    if newest is None or newest.allows(name, port) or _is_this_machine(name):
        return (name if _text(host) in _names else host), port, False
    newest.on_refused(name, port)
    place = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    raise ConnectionRefusedError(
        errno.ECONNREFUSED,
        f"kling-contract refuses a connection to {place}, which is not the API that its fake stands for{newest.advice}",
    )


# What is patched: a table by module, and patches that may be undone in any order


PATCHES: dict[str, Callable[[Any], list[_Patch]]] = {}
"""By name of a module: what of it is patched once it is imported.

Every replacement acts as the original where no redirection is active.
"""

_patched: list[tuple[Any, str, Any, Any, bool]] = []


def renew() -> None:
    """Patch again what another tool has set back to what it was before, as pytest-socket does after each test."""
    with _changing:
        if _active:
            _install()


def _install() -> None:
    if not any(finder is _FINDER for finder in sys.meta_path):
        sys.meta_path.insert(0, _FINDER)
    for name in list(PATCHES):
        module = sys.modules.get(name)
        if module is not None:
            _patch(name, module)


def _patch(name: str, module: Any) -> None:
    try:
        patches = PATCHES[name](module)
    except AttributeError:  # another version, or a module that is being imported right now: the finder comes back to it
        return
    with _changing:
        for owner, attribute, make in patches:
            original = getattr(owner, attribute, None)
            if original is None or getattr(original, "_is_kling_contract", False):
                continue
            replacement = make(original)
            try:
                replacement._is_kling_contract = True
                own = attribute in vars(owner)
                setattr(owner, attribute, replacement)
            except (AttributeError, TypeError):  # a type that cannot be changed
                continue
            _patched.append((owner, attribute, original, replacement, own))


def _uninstall() -> None:
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)
    while _patched:
        owner, attribute, original, replacement, own = _patched.pop()
        if getattr(owner, attribute, None) is not replacement:
            continue  # somebody has wrapped it: it acts as the original from now on
        if own:
            setattr(owner, attribute, original)
        else:
            delattr(owner, attribute)


class _Finder:
    """Patches modules as they are imported."""

    def __init__(self) -> None:
        self._finding = threading.local()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in PATCHES or getattr(self._finding, "name", None) == name:
            return None
        self._finding.name = name
        try:
            found = (finder.find_spec(name, path, target) for finder in sys.meta_path if hasattr(finder, "find_spec"))
            spec = next((each for each in found if each is not None), None)
        finally:
            self._finding.name = None
        loader: Any = spec.loader if spec is not None else None
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type):
            return spec

        def exec_module(module: Any) -> None:
            execute(module)
            if _active:
                _patch(name, module)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            return spec
        return spec


_FINDER = _Finder()


def _patches(module: str) -> Callable[[Callable[[Any], list[_Patch]]], Callable[[Any], list[_Patch]]]:
    def note(function: Callable[[Any], list[_Patch]]) -> Callable[[Any], list[_Patch]]:
        PATCHES[module] = function
        return function

    return note


# Sockets


@_patches("socket")
def _socket(module: Any) -> list[_Patch]:
    found = module.socket
    patches = [*_look_ups(module), (module.SocketIO, "readinto", _readinto)]
    if found.__module__ == "pytest_socket":  # it forbids what cannot leave this machine, too
        patches.append((found, "__new__", _socket_of(found.__mro__[1])))
        found = found.__mro__[1]
    return [*patches, *_connections(found)]


def _socket_of(real: Any) -> _Make:
    """Let sockets be made while every other machine is refused."""

    def make(original: Any) -> Any:
        def __new__(cls: Any, *arguments: Any, **named: Any) -> Any:  # noqa: N807
            newest = _active[-1:]
            if newest and newest[0].refuse_others:
                return real.__new__(cls)
            return original(cls, *arguments, **named)

        return __new__

    return make


def _look_ups(module: Any) -> list[_Patch]:
    return [
        (module, "getaddrinfo", _getaddrinfo),
        (module, "gethostbyname", _gethostbyname),
        (module, "gethostbyname_ex", _gethostbyname_ex),
    ]


def _connections(owner: Any) -> list[_Patch]:
    return [(owner, "connect", _connect), (owner, "connect_ex", _connect_ex)]


def _getaddrinfo(original: Any) -> Any:
    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:  # noqa: A002
        import socket

        address = None if flags & socket.AI_NUMERICHOST else _stand_in(host)
        if address is not None and family == socket.AF_INET6:
            address = f"::ffff:{address}"
        if address is None and _active and _active[-1].refuse_others and _is_number(name := _text(host)):
            address = name if _is_this_machine(name) else None
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
        return _stand_in(hostname) or original(hostname)

    return gethostbyname


def _gethostbyname_ex(original: Any) -> Any:
    def gethostbyname_ex(hostname: Any) -> Any:
        address = _stand_in(hostname)
        return original(hostname) if address is None else (_text(hostname), [], [address])

    return gethostbyname_ex


def _led(connection: Any, address: Any) -> tuple[Any, bool]:
    """Return the address that a socket is really to connect to, and whether it is redirected."""
    import socket

    v6 = connection.family == socket.AF_INET6
    stream = (v6 or connection.family == socket.AF_INET) and connection.type & 0xF == socket.SOCK_STREAM
    if not _active or not stream or not isinstance(address, tuple) or len(address) < 2:
        return address, False
    try:
        host, port, redirected = _destination(address[0], address[1])
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
        there, redirected = _led(self, address)
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
            there, redirected = _led(self, address)
        except ConnectionRefusedError:
            return errno.ECONNREFUSED
        result = original(self, there)
        if redirected and not result:
            _note(self)
        return result

    return connect_ex


def _readinto(original: Any) -> Any:
    def readinto(self: Any, buffer: Any) -> Any:
        client = _clients.get(self._sock) if self._sock is not None else None
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


# TLS


@_patches("ssl")
def _ssl(module: Any) -> list[_Patch]:
    return [
        *_trust(module.SSLContext),
        *_writes(module.SSLSocket, "send", "write"),
        *_writes(module.SSLObject, "write"),
    ]


def _trust(context: Any) -> list[_Patch]:
    return [
        (context, "wrap_socket", _wrap_socket),
        (context, "wrap_bio", _wrap_bio),
        (context, "load_verify_locations", _load_verify_locations),
        (context, "set_default_verify_paths", _putting_off),
        (context, "_load_windows_store_certs", _putting_off),
        (context, "get_ca_certs", _looking),
        (context, "cert_store_stats", _looking),
    ]


def _writes(owner: Any, *names: str) -> list[_Patch]:
    return [(owner, name, _write) for name in names]


def _trusting(context: Any, host: Any) -> None:
    """Let a context trust the authority of this host if that is redirected, else all that was put off."""
    redirection = covering(host)
    if redirection is None:
        _load_what_was_put_off(context)
        return
    trusted = _trusted.setdefault(context, set())
    authority = redirection.authority()
    if authority not in trusted:
        trusted.add(authority)
        context.load_verify_locations(cadata=authority)


_trusted: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

# To parse all the certificates of the world takes 30 ms for each context, and for our hosts they are of no use. So they are
# loaded when a connection to another host is wrapped, when the program looks at them, or when the last redirection ends.
_put_off: weakref.WeakKeyDictionary[Any, list[Callable[[Any], Any]]] = weakref.WeakKeyDictionary()
_LARGE = 1 << 15  # bytes: a smaller file is loaded at once
_BEGINNING = 1 << 12  # bytes in which the first certificate of a large file is expected to begin


def _load_what_was_put_off(context: Any) -> None:
    with _changing:
        left = _put_off.get(context, [])
        while left:
            left[0](context)
            del left[0]


def _load_verify_locations(original: Any) -> Any:
    def load_verify_locations(self: Any, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        if not _active or not _is_large_bundle(cafile):
            original(self, cafile, capath, cadata)
            return
        if capath is not None or cadata is not None:
            original(self, None, capath, cadata)
        _put_off.setdefault(self, []).append(lambda context: original(context, cafile))

    return load_verify_locations


def _is_large_bundle(file: Any) -> bool:
    """Return whether a file holds many certificates. Any other is loaded at once, and raises what is wrong with it."""
    import os

    try:
        if os.stat(file).st_size < _LARGE:
            return False
        with open(file, "rb", 0) as opened:
            return b"-----BEGIN CERTIFICATE-----" in opened.read(_BEGINNING)
    except (OSError, TypeError, ValueError):
        return False


def _putting_off(original: Any) -> Any:
    def put_off(self: Any, *arguments: Any) -> Any:
        if not _active:
            return original(self, *arguments)
        _put_off.setdefault(self, []).append(lambda context: original(context, *arguments))
        return None

    return put_off


def _looking(original: Any) -> Any:
    def look(self: Any, *arguments: Any, **named: Any) -> Any:
        _load_what_was_put_off(self)
        return original(self, *arguments, **named)

    return look


def _wrap_socket(original: Any) -> Any:
    def wrap_socket(self: Any, sock: Any, *arguments: Any, **named: Any) -> Any:
        if not _active:
            return original(self, sock, *arguments, **named)
        _trusting(self, named.get("server_hostname", arguments[3] if len(arguments) > 3 else None))
        client = _clients.get(sock)
        wrapped = original(self, sock, *arguments, **named)
        if client is not None:
            client.belongs_to(wrapped)
        return wrapped

    return wrap_socket


def _wrap_bio(original: Any) -> Any:
    def wrap_bio(self: Any, incoming: Any, outgoing: Any, *arguments: Any, **named: Any) -> Any:
        if _active:
            _trusting(self, named.get("server_hostname", arguments[1] if len(arguments) > 1 else None))
        return original(self, incoming, outgoing, *arguments, **named)

    return wrap_bio


def _write(original: Any) -> Any:
    def write(self: Any, *arguments: Any, **named: Any) -> Any:
        redirection = covering(self.server_hostname)
        if redirection is not None and not self.server_side and getattr(self, "_is_of", None) is not redirection:
            if not redirection.is_peer(self.getpeercert(True)):
                raise ConnectionAbortedError(
                    errno.ECONNABORTED,
                    f"kling-contract lets nothing be sent to the real {self.server_hostname}: this connection was made before "
                    f"its fake began, or through a proxy; close it first{redirection.advice}",
                )
            self._is_of = redirection
        return original(self, *arguments, **named)

    return write


# Clients that do not go through Python's sockets


@_patches("asyncio.proactor_events")
def _proactor(module: Any) -> list[_Patch]:
    return [(module.BaseProactorEventLoop, "sock_connect", _sock_connect)]


@_patches("uvloop")
def _uvloop(module: Any) -> list[_Patch]:
    loop = module.Loop
    return [
        (loop, "getaddrinfo", _getaddrinfo_of_loop),
        (loop, "sock_connect", _sock_connect),
        (loop, "create_connection", _create_connection),
    ]


def _sock_connect(original: Any) -> Any:
    async def sock_connect(self: Any, sock: Any, address: Any) -> Any:
        return await original(self, sock, _led(sock, address)[0])

    return sock_connect


def _getaddrinfo_of_loop(original: Any) -> Any:
    async def getaddrinfo(
        self: Any,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        import socket

        if _stand_in(host) is not None:
            return socket.getaddrinfo(host, port, family, type, proto, flags)
        return await original(self, host, port, family=family, type=type, proto=proto, flags=flags)

    return getaddrinfo


def _create_connection(original: Any) -> Any:
    async def create_connection(
        self: Any, protocol_factory: Any, host: Any = None, port: Any = None, *arguments: Any, **named: Any
    ) -> Any:
        if _active and host is not None:
            there, number, redirected = _destination(host, port)
            if redirected:
                if named.get("ssl") and not named.get("server_hostname"):
                    named["server_hostname"] = _text(host)
                named.update(family=0, local_addr=None)
            host, port = there, number
        return await original(self, protocol_factory, host, port, *arguments, **named)

    return create_connection


@_patches("aiohttp.connector")
def _aiohttp(module: Any) -> list[_Patch]:
    return [(module.TCPConnector, "_resolve_host", _resolve_host)]


def _resolve_host(original: Any) -> Any:
    """Let no resolver of aiohttp's, nor its cache, be asked about a host that is redirected or refused."""

    async def _resolve_host(self: Any, host: str, port: int, *arguments: Any, **named: Any) -> Any:
        import socket

        address = _stand_in(host)
        if address is None:
            return await original(self, host, port, *arguments, **named)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    return _resolve_host


@_patches("gevent._socketcommon")
def _gevent_look_ups(module: Any) -> list[_Patch]:
    return _look_ups(module)


@_patches("gevent.socket")
def _gevent_sockets(module: Any) -> list[_Patch]:
    return [*_look_ups(module), *_connections(module.socket)]


@_patches("gevent.ssl")
def _gevent_ssl(module: Any) -> list[_Patch]:
    return [*_trust(module.SSLContext), *_writes(module.SSLSocket, "send", "write")]


@_patches("curl_cffi.curl")
def _curl_cffi(module: Any) -> list[_Patch]:
    def perform(original: Any) -> Any:
        def perform(self: Any, *arguments: Any, **named: Any) -> Any:
            _lead_curl(self, module.CurlOpt, module.CurlError)
            return original(self, *arguments, **named)

        return perform

    return [(module.Curl, "setopt", _noting_url(module.CurlOpt.URL)), (module.Curl, "perform", perform)]


@_patches("curl_cffi.aio")
def _curl_cffi_aio(module: Any) -> list[_Patch]:
    def add_handle(original: Any) -> Any:
        def add_handle(self: Any, curl: Any, *arguments: Any, **named: Any) -> Any:
            from curl_cffi.curl import CurlError, CurlOpt  # type: ignore[import-not-found,unused-ignore]

            _lead_curl(curl, CurlOpt, CurlError)
            return original(self, curl, *arguments, **named)

        return add_handle

    return [(module.AsyncCurl, "add_handle", add_handle)]


@_patches("pycurl")
def _pycurl(module: Any) -> list[_Patch]:
    class _Options:
        CAINFO = module.CAINFO
        NOPROXY = module.NOPROXY
        PROXY = module.PROXY

    def curl(original: Any) -> Any:
        class Curl(original):  # type: ignore[misc]
            setopt = _noting_url(module.URL)(original.setopt)

            def perform(self, *arguments: Any) -> Any:
                _lead_curl(self, _Options, module.error)
                return original.perform(self, *arguments)

            def perform_rb(self) -> Any:
                _lead_curl(self, _Options, module.error)
                return original.perform_rb(self)

            def perform_rs(self) -> Any:
                _lead_curl(self, _Options, module.error)
                return original.perform_rs(self)

        return Curl

    def multi(original: Any) -> Any:
        class CurlMulti(original):  # type: ignore[misc]
            def add_handle(self, handle: Any) -> Any:
                _lead_curl(handle, _Options, module.error)
                return original.add_handle(self, handle)

        return CurlMulti

    return [(module, "Curl", curl), (module, "CurlMulti", multi)]


def _noting_url(option: Any) -> _Make:
    def make(original: Any) -> Any:
        def setopt(self: Any, name: Any, *value: Any) -> Any:
            if name == option and value:
                self._url = value[0]
            return original(self, name, *value)

        return setopt

    return make


def _lead_curl(curl: Any, options: Any, error: Any) -> None:
    """Tell a handle of libcurl where its host is to be found and whom to trust there; raise its error for one that is refused."""
    if not _active:
        return
    from urllib.parse import urlsplit

    url = getattr(curl, "_url", b"")
    parts = urlsplit(url.decode("latin-1") if isinstance(url, bytes) else url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        there, number, redirected = _destination(host, port)
    except ConnectionRefusedError as refused:
        raise error(7, str(refused.strerror)) from refused
    if redirected:
        redirection = covering(host)
        # What listens there takes CONNECT; curl_cffi cannot set CONNECT_TO, whose value is a list.
        curl.setopt(options.PROXY, f"http://{there}:{number}")
        curl.setopt(options.NOPROXY, "")
        if redirection is not None:
            curl.setopt(options.CAINFO, _file_of(redirection.authority()))


def _file_of(authority: str) -> str:
    """Return a file that holds a certificate, for clients that read files alone. It goes with this process."""
    import atexit
    import os
    import tempfile

    path = _files.get(authority)
    if path is None:
        number, path = tempfile.mkstemp(prefix="kling-contract-", suffix=".pem")
        with os.fdopen(number, "w") as file:
            file.write(authority)
        _files[authority] = path
        atexit.register(_remove, path, os.getpid())
    return path


_files: dict[str, str] = {}


def _remove(path: str, made_by: int) -> None:
    import os

    if os.getpid() == made_by:
        os.unlink(path)
