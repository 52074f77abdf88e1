"""Redirections: which hosts lead to one port of this machine, which others are refused, and the addresses that stand for both."""

from __future__ import annotations

import errno

from fake_server.preload.patching import apply, changing, undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any


__all__ = [
    "Redirection",
    "covering",
    "destination",
    "is_number",
    "is_this_machine",
    "newest",
    "stand_in",
    "text",
]

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
        with changing:
            _active = (*_active, self)
            apply()

    def end(self) -> None:
        """End what `begin` began. The last one to end undoes the patches."""
        global _active
        with changing:
            _active = tuple(each for each in _active if each is not self)
            if not _active:
                undo()

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

_active: tuple[Redirection, ...] = ()  # the newest last
_addresses: dict[str, str] = {}  # by name
_names: dict[str, str] = {}  # by address


def newest() -> Redirection | None:
    """Return the newest active redirection, None if none is active."""
    return _active[-1] if _active else None


def covering(host: Any) -> Redirection | None:
    """Return the newest active redirection of this host, None if it is not redirected."""
    if not _active:
        return None
    name = text(host)
    return next((each for each in reversed(_active) if each.covers(name)), None)


def text(host: Any) -> str:
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("latin-1")
    return host.lower().rstrip(".") if isinstance(host, str) else ""


def is_number(name: str) -> bool:
    return ":" in name or not name.strip("0123456789.")


def is_this_machine(name: str) -> bool:
    if name in ("", "localhost", "::1", "::", "0.0.0.0") or name.endswith(".localhost"):
        return True
    if name.startswith("::ffff:"):
        name = name[7:]
    return name.startswith("127.") and is_number(name)


def stand_in(host: Any) -> str | None:
    """Return the address that stands for a host which is redirected or refused; None for one that is looked up as usual."""
    decides = newest()
    if decides is None:
        return None
    name = text(host)
    if covering(name) is None:
        if decides.allows(name) or is_number(name) or is_this_machine(name):
            return None
        import socket

        if name == socket.gethostname().lower():
            return None
    address = _addresses.get(name)
    if address is None:
        with changing:
            number = len(_names) % _MOST_NAMES
            address = _STAND_IN.format(number >> 8, number & 255)
            if address in _names:
                _addresses.pop(_names.pop(address), None)
            _names[address] = name
            _addresses[name] = address
    return address


def destination(host: Any, port: Any) -> tuple[Any, Any, bool]:
    """Return host and port to connect to, and whether that is a redirection. Raise ConnectionRefusedError."""
    name = text(host)
    name = _names.get(name[7:] if name.startswith("::ffff:") else name, name)
    redirection = covering(name)
    if redirection is not None:
        there, number = redirection.address()
        return there, number, True
    decides = newest()
    if decides is None or decides.allows(name, port) or is_this_machine(name):
        return (name if text(host) in _names else host), port, False
    decides.on_refused(name, port)
    place = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    raise ConnectionRefusedError(
        errno.ECONNREFUSED,
        f"kling-contract refuses a connection to {place}, which is not the API that its fake stands for{decides.advice}",
    )
