"""Escapes of a command without a network namespace: its connections to other machines, as far as they can be noticed."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["Escapes"]

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS, _NOBODY = "0A", "0"  # a state of a socket, and the inode of one that no process has any more
_PERIOD = 0.05  # seconds between two looks: a connection that is shorter may be missed
_SHARE = 0.05  # of a processor's time that looking may take: with very many connections, looks are less frequent


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
        own = {inode for pid in self._processes() for inode in _sockets(pid)}
        if own:  # reading the table of all connections takes milliseconds
            found = {address for inode, address in _connections_to_others().items() if inode in own}
            for address in sorted(found - self._told):
                self._told.add(address)
                self._tell(address)

    def _run(self) -> None:
        pause = _PERIOD
        while not self._done.wait(pause):
            begun = time.thread_time()
            self.look()
            pause = max(_PERIOD, (time.thread_time() - begun) / _SHARE)


def _connections_to_others() -> dict[str, str]:
    """Return the remote address of each TCP connection of this machine to another, or attempt at one, by the socket's inode."""
    found: dict[str, str] = {}
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                _, _, remote, state, _, _, _, _, _, inode, *_ = line.split(None, 10)
                if state != _LISTENS and inode != _NOBODY:
                    words, _, port = remote.partition(":")
                    address = _address(words)
                    if not (address.is_loopback or address.is_unspecified):
                        found[inode] = (
                            f"[{address}]:{int(port, 16)}" if address.version == 6 else f"{address}:{int(port, 16)}"
                        )
    return found


@functools.lru_cache(1000)  # a table may have thousands of lines, and is read 20 times a second
def _address(words: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that the kernel shows as hexadecimal words in the byte order of this machine."""
    packed = b"".join(int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8))
    address = ipaddress.ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address


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
