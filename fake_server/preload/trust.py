"""Trust: at redirected hosts a TLS context trusts one authority, and sends nothing to anybody else. The rest is loaded late."""

from __future__ import annotations

import contextlib
import errno
import weakref

from fake_server.preload.patching import AT_THE_END, changing
from fake_server.preload.redirection import covering, newest
from fake_server.preload.sockets import clients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fake_server.preload.patching import Patch


__all__ = ["patch_gevent_ssl", "patch_ssl"]


def patch_ssl(module: Any) -> list[Patch]:
    return [
        *_trust(module.SSLContext),
        *_writes(module.SSLSocket, "send", "write"),
        *_writes(module.SSLObject, "write"),
    ]


def _trust(context: Any) -> list[Patch]:
    return [
        (context, "wrap_socket", _wrap_socket),
        (context, "wrap_bio", _wrap_bio),
        (context, "load_verify_locations", _load_verify_locations),
        (context, "set_default_verify_paths", _putting_off),
        (context, "_load_windows_store_certs", _putting_off),
        (context, "get_ca_certs", _looking),
        (context, "cert_store_stats", _looking),
    ]


def _writes(owner: Any, *names: str) -> list[Patch]:
    return [(owner, name, _write) for name in names]


def _trusting(context: Any, host: Any) -> None:
    """Let a context trust the authority of this host if that is redirected, else all that was put off."""
    redirection = covering(host)
    if redirection is None:
        _load_what_was_put_off(context)
        return
    trusted = _trusted.setdefault(context, set())
    authority = redirection.authority()
    if authority not in trusted:
        trusted.add(authority)
        context.load_verify_locations(cadata=authority)


_trusted: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

# To parse all the certificates of the world takes 30 ms for each context, and for our hosts they are of no use. So they are
# loaded when a connection to another host is wrapped, when the program looks at them, or when the last redirection ends.
_put_off: weakref.WeakKeyDictionary[Any, list[Callable[[Any], Any]]] = weakref.WeakKeyDictionary()
_LARGE = 1 << 15  # bytes: a smaller file is loaded at once
_BEGINNING = 1 << 12  # bytes in which the first certificate of a large file is expected to begin


def _load_what_was_put_off(context: Any) -> None:
    with changing:
        left = _put_off.get(context, [])
        while left:
            left[0](context)
            del left[0]


def _load_all_that_was_put_off() -> None:
    for context in list(_put_off):
        with contextlib.suppress(OSError):  # a file that is gone
            _load_what_was_put_off(context)


AT_THE_END.append(_load_all_that_was_put_off)


def _load_verify_locations(original: Any) -> Any:
    def load_verify_locations(self: Any, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        if newest() is None or not _is_large_bundle(cafile):
            original(self, cafile, capath, cadata)
            return
        if capath is not None or cadata is not None:
            original(self, None, capath, cadata)
        _put_off.setdefault(self, []).append(lambda context: original(context, cafile))

    return load_verify_locations


def _is_large_bundle(file: Any) -> bool:
    """Return whether a file holds many certificates. Any other is loaded at once, and raises what is wrong with it."""
    import os

    try:
        if os.stat(file).st_size < _LARGE:
            return False
        with open(file, "rb", 0) as opened:
            return b"-----BEGIN CERTIFICATE-----" in opened.read(_BEGINNING)
    except (OSError, TypeError, ValueError):
        return False


def _putting_off(original: Any) -> Any:
    def put_off(self: Any, *arguments: Any) -> Any:
        if newest() is None:
            return original(self, *arguments)
        _put_off.setdefault(self, []).append(lambda context: original(context, *arguments))
        return None

    return put_off


def _looking(original: Any) -> Any:
    def look(self: Any, *arguments: Any, **named: Any) -> Any:
        _load_what_was_put_off(self)
        return original(self, *arguments, **named)

    return look


def _wrap_socket(original: Any) -> Any:
    def wrap_socket(self: Any, sock: Any, *arguments: Any, **named: Any) -> Any:
        if newest() is None:
            return original(self, sock, *arguments, **named)
        _trusting(self, named.get("server_hostname", arguments[3] if len(arguments) > 3 else None))
        client = clients.get(sock)
        wrapped = original(self, sock, *arguments, **named)
        if client is not None:
            client.belongs_to(wrapped)
        return wrapped

    return wrap_socket


def _wrap_bio(original: Any) -> Any:
    def wrap_bio(self: Any, incoming: Any, outgoing: Any, *arguments: Any, **named: Any) -> Any:
        if newest() is not None:
            _trusting(self, named.get("server_hostname", arguments[1] if len(arguments) > 1 else None))
        return original(self, incoming, outgoing, *arguments, **named)

    return wrap_bio


def _write(original: Any) -> Any:
    def write(self: Any, *arguments: Any, **named: Any) -> Any:
        redirection = covering(self.server_hostname)
        if redirection is not None and not self.server_side and getattr(self, "_is_of", None) is not redirection:
            if not redirection.is_peer(self.getpeercert(True)):
                raise ConnectionAbortedError(
                    errno.ECONNABORTED,
                    f"kling-contract lets nothing be sent to the real {self.server_hostname}: this connection was made before "
                    f"its fake began, or through a proxy; close it first{redirection.advice}",
                )
            self._is_of = redirection
        return original(self, *arguments, **named)

    return write


def patch_gevent_ssl(module: Any) -> list[Patch]:
    return [*_trust(module.SSLContext), *_writes(module.SSLSocket, "send", "write")]
