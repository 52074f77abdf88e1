"""Connections: while a redirection is active, what this process sends to its hosts goes to one port, and is trusted there.

Three things are patched at the bottom, where every HTTP client in Python ends: the look-up of names, the connection of a
socket, and the trust of TLS. Clients that do not go through these have a patch of their own. A module is patched when it is
imported, so that nothing is imported that a program does not need.
"""

from __future__ import annotations

from fake_server.preload.curl import patch_curl_cffi, patch_curl_cffi_aio, patch_pycurl
from fake_server.preload.loops import patch_aiohttp, patch_gevent_socket, patch_proactor, patch_uvloop
from fake_server.preload.patching import PATCHES, renew
from fake_server.preload.redirection import Redirection, covering
from fake_server.preload.sockets import Client, client_at, leads, look_ups, patch_socket
from fake_server.preload.trust import patch_gevent_ssl, patch_ssl

__all__ = ["PATCHES", "Client", "Redirection", "client_at", "covering", "leads", "renew"]

PATCHES.update(
    {
        "aiohttp.connector": patch_aiohttp,
        "asyncio.proactor_events": patch_proactor,
        "curl_cffi.aio": patch_curl_cffi_aio,
        "curl_cffi.curl": patch_curl_cffi,
        "gevent._socketcommon": look_ups,
        "gevent.socket": patch_gevent_socket,
        "gevent.ssl": patch_gevent_ssl,
        "pycurl": patch_pycurl,
        "socket": patch_socket,
        "ssl": patch_ssl,
        "uvloop": patch_uvloop,
    }
)
