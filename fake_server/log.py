"""What is arriving right now? A line for each request, as it is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fake_server.messages import Reply, Request
from fake_server.server import FakeServer
from fake_server.transcript import line
from kling_contract.clock import Clock

__all__ = ["Logged"]


class Logged:
    """A fake that gives `write` one line for each exchange: as the journal has it, without keys."""

    def __init__(self, fake: FakeServer, write: Callable[[str], None]) -> None:
        self._fake = fake
        self._write = write
        self._lock = threading.Lock()

    @property
    def body_limit(self) -> int:
        return self._fake.body_limit

    @property
    def clock(self) -> Clock:
        return self._fake.clock

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        with self._lock:  # else the last exchange may be another's
            reply = self._fake.handle(request)
            self._write(line(self._fake.journal[-1]))
        return reply
