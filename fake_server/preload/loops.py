"""Event loops, aiohttp and gevent: what connects without Python's own sockets is redirected too."""

from __future__ import annotations

from fake_server.preload.redirection import destination, newest, stand_in, text
from fake_server.preload.sockets import connections_of, led, look_ups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fake_server.preload.patching import Patch


__all__ = ["patch_aiohttp", "patch_gevent_socket", "patch_proactor", "patch_uvloop"]


def patch_proactor(module: Any) -> list[Patch]:
    return [(module.BaseProactorEventLoop, "sock_connect", _sock_connect)]


def patch_uvloop(module: Any) -> list[Patch]:
    loop = module.Loop
    return [
        (loop, "getaddrinfo", _getaddrinfo_of_loop),
        (loop, "sock_connect", _sock_connect),
        (loop, "create_connection", _create_connection),
    ]


def _sock_connect(original: Any) -> Any:
    async def sock_connect(self: Any, sock: Any, address: Any) -> Any:
        return await original(self, sock, led(sock, address)[0])

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

        if stand_in(host) is not None:
            return socket.getaddrinfo(host, port, family, type, proto, flags)
        return await original(self, host, port, family=family, type=type, proto=proto, flags=flags)

    return getaddrinfo


def _create_connection(original: Any) -> Any:
    async def create_connection(
        self: Any, protocol_factory: Any, host: Any = None, port: Any = None, *arguments: Any, **named: Any
    ) -> Any:
        if newest() is not None and host is not None:
            there, number, redirected = destination(host, port)
            if redirected:
                if named.get("ssl") and not named.get("server_hostname"):
                    named["server_hostname"] = text(host)
                named.update(family=0, local_addr=None)
            host, port = there, number
        return await original(self, protocol_factory, host, port, *arguments, **named)

    return create_connection


def patch_aiohttp(module: Any) -> list[Patch]:
    return [(module.TCPConnector, "_resolve_host", _resolve_host)]


def _resolve_host(original: Any) -> Any:
    """Let no resolver of aiohttp's, nor its cache, be asked about a host that is redirected or refused."""

    async def _resolve_host(self: Any, host: str, port: int, *arguments: Any, **named: Any) -> Any:
        import socket

        address = stand_in(host)
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


def patch_gevent_socket(module: Any) -> list[Patch]:
    return [*look_ups(module), *connections_of(module.socket)]
