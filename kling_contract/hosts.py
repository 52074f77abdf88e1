"""Host names and URLs: whether a name means this machine, and whether requests can be sent to a URL."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from kling_contract.errors import ServerUnreachable

__all__ = ["is_loopback", "is_own_page", "names_this_host", "root_of"]

_WILDCARDS = ("0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Return whether this name or address can only mean this machine. The case of its letters does not matter."""
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None  # not every Python looks at it
    return (mapped or address).is_loopback


def names_this_host(authority: str, host: str) -> bool:
    """Return whether this authority (`name:port`, as in a Host header) is one of the names of a server that listens on `host`.

    This guards against DNS rebinding: another name may have been made to lead here, so that pages of that name can reach the
    server. A numeric address cannot, so each is accepted where the server listens on every address.
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

    Stricter than `names_this_host`: a page of a numeric address may be anybody's, even if the server listens on every address.
    """
    try:
        name = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or (name != "" and name == host.lower() and host not in _WILDCARDS)


def root_of(url: str, *, allow_remote: bool = False) -> str:
    """Return the URL that paths are appended to.

    Raise ServerUnreachable for what is not a URL, and for one of another machine unless `allow_remote`.
    """
    import httpx  # here, because only the checks need it

    try:
        parts = urlsplit(url.strip())
        host = parts.hostname or ""
        _ = parts.port
        httpx.URL(url.strip())
    except (ValueError, httpx.InvalidURL) as unusable:
        raise ServerUnreachable(f"{url!r} is not a URL: {unusable}") from unusable
    if parts.scheme not in ("http", "https") or not host:
        raise ServerUnreachable(f"{url!r} is not a URL with scheme and host: write it as in http://127.0.0.1:8080")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ServerUnreachable(
            "the URL must be scheme, host, port and path alone: no user name, password, query or fragment"
        )
    if not allow_remote and not is_loopback(host):
        raise ServerUnreachable(
            f"{host} is another machine: say --remote (in Python allow_remote=True) to send requests to it"
        )
    return url.strip().rstrip("/")
