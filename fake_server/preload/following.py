"""Following a run: a child tells it when its earliest wait is due, and is told by how much the clocks have moved."""

from __future__ import annotations

import _thread
import contextlib
import json
import math
import os
import select

from fake_server.preload.descriptors import patch_socket_reads, patch_ssl_reads, real_poll
from fake_server.preload.registry import EARLY, LONGEST, begin, earliest, idle, move, now, nudge
from fake_server.preload.replacing import LATER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["follow"]


class _Follower:
    """Follows the clock of a run over a connection: tells it the earliest wait, and is told the offset."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Any = None
        self._sent: float | None = None
        self._seen = 0.0
        self._asked: Any = None
        self._lock: Any = _thread.RLock()

    def start(self) -> None:
        if self._connect():
            _thread.start_new_thread(self._run, ())

    def _connect(self) -> bool:
        import _socket  # what the program imports as `socket` may be patched

        connection: Any = None
        try:
            connection = _socket.socket()
            connection.settimeout(2.0)
            connection.connect(("127.0.0.1", self._port))
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            connection.sendall(b'KLING-PACE {"pid": %d}\n' % os.getpid())
            self._rest = b""
            self._connection = connection
            return self._receive()
        except OSError:
            if connection is not None:
                connection.close()
            self._connection = None
            return False

    def began(self) -> None:
        self._send()

    ended = began

    def forked(self) -> None:
        """Connect anew: the connection is the parent's."""
        self._lock = _thread.RLock()
        self._sent = self._asked = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            _thread.start_new_thread(self._restart, ())

    def _restart(self) -> None:
        if self._connect():
            self._send(again=True)
            self._run()

    def _send(self, again: bool = False) -> None:
        """Tell the earliest wait, if it has changed."""
        with self._lock:
            if self._connection is None:
                return
            wait = earliest()
            due = None if wait is None else wait + now()
            if again or not _same(due, self._sent):
                self._sent = due
                self._line(b'{"wait": %s}\n' % _number(wait))

    def _line(self, line: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._connection is not None:
                self._connection.sendall(line)

    def _run(self) -> None:
        connection = self._connection
        poll = real_poll()
        poll.register(connection.fileno(), select.POLLIN)
        while True:
            wait = earliest()
            left = None if wait is None else math.ceil(max(0.0, min(wait, LONGEST)) * 1000)
            if poll.poll(1 if self._asked is not None else left):
                try:
                    if not self._receive():
                        break
                except OSError:
                    break
            else:
                move(0.0)  # those whose time has come by itself
            self._answer()
        self._connection = None
        connection.close()
        nudge()

    def _receive(self) -> bool:
        """Read what has come. Return whether the connection goes on."""
        got = self._connection.recv(65536)
        *lines, self._rest = (self._rest + got).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "offset" in told:
                ahead, self._seen = told["offset"] - self._seen, told["offset"]
                move(max(0.0, ahead))
                self._send(again=True)
            if "ask" in told:
                self._asked = told["ask"]
        return bool(got)

    def _answer(self) -> None:
        """Answer what was asked, once every loop that waits has nothing to do."""
        if self._asked is not None and idle():
            wait = earliest()
            self._line(b'{"answer": %s, "wait": %s}\n' % (json.dumps(self._asked).encode(), _number(wait)))
            self._asked = None


def _same(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and abs(one - other) < EARLY)


def _number(wait: float | None) -> bytes:
    return b"null" if wait is None else b"%.9f" % max(0.0, wait)


def follow(port: int, leads: Callable[[Any], bool] = lambda _connection: False) -> None:
    """Follow the clock of the run that listens on a port of this machine, from now on. Without one the time stays real.

    `leads` says of a socket whether it leads to the fake: then the timeout of its reads counts on the clock.
    """
    LATER["socket"] = lambda module: patch_socket_reads(module, leads)
    LATER["ssl"] = lambda module: patch_ssl_reads(module, leads)
    follower = _Follower(port)
    follower.start()
    begin(follower)
