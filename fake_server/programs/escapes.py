"""Escapes of a command without a network namespace: its connections to other machines, as far as they can be noticed."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["Escapes"]

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS, _NOBODY = "0A", "0"  # a state of a socket, and the inode of one that no process has any more
_PERIOD = 0.05  # seconds between two looks: a connection that is shorter may be missed


class Escapes:
    """Looks for connections to other machines, from a thread, while its context lasts. Linux only: elsewhere it finds none.

    `processes` returns the processes to look at, and `tell` gets each remote address once, such as "192.0.2.1:443".
    """

    def __init__(self, processes: Callable[[], Iterable[int]], tell: Callable[[str], None]) -> None:
        self._processes = processes
        self._tell = tell
        self._told: set[str] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="escapes", daemon=True)

    def __enter__(self) -> Escapes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def look(self) -> None:
        """Look once, and tell what is new."""
        new = {inode: address for inode, address in _connections_to_others().items() if address not in self._told}
        if new:
            own = {inode for pid in self._processes() for inode in _sockets(pid)}
            for address in sorted({address for inode, address in new.items() if inode in own}):
                self._told.add(address)
                self._tell(address)

    def _run(self) -> None:
        while not self._done.wait(_PERIOD):
            self.look()


def _connections_to_others() -> dict[str, str]:
    """Return the remote address of each TCP connection of this machine to another, or attempt at one, by the socket's inode."""
    found: dict[str, str] = {}
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                _, _, remote, state, *rest = line.split()
                inode = rest[5]
                if state != _LISTENS and inode != _NOBODY:
                    address, port = _decoded(remote)
                    if not (address.is_loopback or address.is_unspecified):
                        found[inode] = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    return found


def _decoded(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """Return the address and port that the kernel shows as hexadecimal words in the byte order of this machine."""
    words, _, port = text.partition(":")
    packed = b"".join(int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8))
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address, int(port, 16)


def _sockets(pid: int) -> set[str]:
    """Return the inodes of the sockets that a process has open: none if it has ended, or is another user's."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                name = str(descriptor.readlink())
                if name.startswith("socket:["):
                    found.add(name[8:-1])
    return found
