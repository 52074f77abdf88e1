"""The waits of this process: who waits until when. Its clocks can be moved, and whoever is due then wakes.

While somebody listens (see `begin`), the usual ways to tell the time and to wait are patched, for the whole process: the
clocks show the real time and an offset, and a wait ends when it is due on them. Calls by the runtime's own machinery
(`MACHINERY`) stay real. All of it is loaded into other programs before anything else, so it imports little.
"""

from __future__ import annotations

from fake_server.preload.callers import MACHINERY, in_machinery
from fake_server.preload.clocks import patch_datetime
from fake_server.preload.descriptors import patch_selectors, patch_trio
from fake_server.preload.following import follow
from fake_server.preload.registry import begin, earliest, end, everybody_waits, fail, idle, move, nudge, offset
from fake_server.preload.replacing import LATER
from fake_server.preload.threads import patch_threading
from fake_server.preload.timers import patch_gevent, patch_uvloop

__all__ = [
    "MACHINERY",
    "begin",
    "earliest",
    "end",
    "everybody_waits",
    "fail",
    "follow",
    "idle",
    "in_machinery",
    "move",
    "nudge",
    "offset",
]

LATER.update(
    {
        "datetime": patch_datetime,
        "gevent.hub": patch_gevent,
        "selectors": patch_selectors,
        "threading": patch_threading,
        "trio._core._io_epoll": patch_trio,
        "trio._core._io_kqueue": patch_trio,
        "uvloop": patch_uvloop,
    }
)
