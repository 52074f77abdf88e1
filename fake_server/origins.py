"""Does this name lead to this machine? Names of hosts, as addresses and requests have them."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["is_loopback", "leads_here"]

_WILDCARDS = ("0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Is this a name or an address that no other machine can mean?"""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def leads_here(authority: str, host: str) -> bool:
    """Does whoever names this authority (`name:port`) mean a server that listens on `host`, by a name of its own?

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
