"""Host names and URLs: whether a name means this machine, and whether a URL can be asked."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import httpx

from kling_contract.errors import ServerUnreachable

__all__ = ["is_loopback", "is_own_page", "leads_here", "root_of"]

_WILDCARDS = ("0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Return whether no other machine can be meant by this name or address, in any case of its letters."""
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def leads_here(authority: str, host: str) -> bool:
    """Return whether this authority (`name:port`) is a name of its own for a server that listens on `host`.

    Another name may have been made to lead here, so that pages of that name can reach the server (DNS rebinding). A number
    cannot: where the server listens on every address, every number will do.
    """
    try:
        name = urlsplit(f"//{authority}").hostname or ""
        if is_loopback(name) or name == host.lower():
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return host in _WILDCARDS


def is_own_page(origin: str, host: str) -> bool:
    """Return whether this origin is a page on this machine, or on the very name that a server listens on, `host`.

    Stricter than `leads_here`: wherever the server listens, a page of a bare address may be anybody's.
    """
    try:
        name = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or (name != "" and name == host.lower() and host not in _WILDCARDS)


def root_of(url: str, *, allow_remote: bool = False) -> str:
    """Return the URL that paths are put after. Raise ServerUnreachable for an unusable URL, or another machine's without `allow_remote`."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname or ""
        _ = parts.port
        httpx.URL(url.strip())
    except (ValueError, httpx.InvalidURL) as bad:
        raise ServerUnreachable(f"{url!r} is no URL: {bad}") from bad
    if parts.scheme not in ("http", "https") or not host:
        raise ServerUnreachable(f"{url!r} leads nowhere: write it with scheme and host, as in http://127.0.0.1:8080")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ServerUnreachable(
            "the URL must be scheme, host, port and path alone: no user name, password, query or fragment"
        )
    if not allow_remote and not is_loopback(host):
        raise ServerUnreachable(
            f"{host} is another machine: say --remote (in Python allow_remote=True) to send requests to it"
        )
    return url.strip().rstrip("/")
