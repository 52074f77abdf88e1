"""The bindings of libcurl, curl_cffi and pycurl: each handle is told where its host is, and whom to trust there."""

from __future__ import annotations

import sys

from fake_server.preload.redirection import covering, destination, newest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fake_server.preload.patching import Make, Patch


__all__ = ["patch_curl_cffi", "patch_curl_cffi_aio", "patch_pycurl"]

_COULD_NOT_CONNECT = 7  # an error code of libcurl


def patch_curl_cffi(module: Any) -> list[Patch]:
    def perform(original: Any) -> Any:
        def perform(self: Any, *arguments: Any, **named: Any) -> Any:
            _lead_curl_cffi(self, module)
            return original(self, *arguments, **named)

        return perform

    return [(module.Curl, "setopt", _noting_url(module.CurlOpt.URL)), (module.Curl, "perform", perform)]


def patch_curl_cffi_aio(module: Any) -> list[Patch]:
    def add_handle(original: Any) -> Any:
        def add_handle(self: Any, curl: Any, *arguments: Any, **named: Any) -> Any:
            _lead_curl_cffi(curl, sys.modules["curl_cffi.curl"])
            return original(self, curl, *arguments, **named)

        return add_handle

    return [(module.AsyncCurl, "add_handle", add_handle)]


def _lead_curl_cffi(curl: Any, module: Any) -> None:
    _lead_curl(curl, module.CurlOpt, lambda why: module.CurlError(why, _COULD_NOT_CONNECT))


def patch_pycurl(module: Any) -> list[Patch]:
    def lead(curl: Any) -> None:
        _lead_curl(curl, module, lambda why: module.error(_COULD_NOT_CONNECT, why))

    def curl(original: Any) -> Any:
        class Curl(original):  # type: ignore[misc]
            setopt = _noting_url(module.URL)(original.setopt)

            def perform(self, *arguments: Any) -> Any:
                lead(self)
                return original.perform(self, *arguments)

            def perform_rb(self) -> Any:
                lead(self)
                return original.perform_rb(self)

            def perform_rs(self) -> Any:
                lead(self)
                return original.perform_rs(self)

        return Curl

    def multi(original: Any) -> Any:
        class CurlMulti(original):  # type: ignore[misc]
            def add_handle(self, handle: Any) -> Any:
                lead(handle)
                return original.add_handle(self, handle)

        return CurlMulti

    return [(module, "Curl", curl), (module, "CurlMulti", multi)]


def _noting_url(option: Any) -> Make:
    def make(original: Any) -> Any:
        def setopt(self: Any, name: Any, *value: Any) -> Any:
            if name == option and value:
                self._url = value[0]
            return original(self, name, *value)

        return setopt

    return make


def _lead_curl(curl: Any, options: Any, error: Callable[[str], Exception]) -> None:
    """Tell a handle of libcurl where its host is to be found and whom to trust there; raise an error for one that is refused."""
    if newest() is None:
        return
    from urllib.parse import urlsplit

    url = getattr(curl, "_url", b"")
    parts = urlsplit(url.decode("latin-1") if isinstance(url, bytes) else url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        there, number, redirected = destination(host, port)
    except ConnectionRefusedError as refused:
        raise error(str(refused.strerror)) from refused
    if redirected:
        redirection = covering(host)
        # What listens there takes CONNECT; curl_cffi cannot set CONNECT_TO, whose value is a list.
        curl.setopt(options.PROXY, f"http://{there}:{number}")
        curl.setopt(options.NOPROXY, "")
        if redirection is not None:
            curl.setopt(options.CAINFO, _file_of(redirection.authority()))


def _file_of(authority: str) -> str:
    """Return a file that holds a certificate, for clients that read files alone. It goes with this process."""
    import atexit
    import os
    import tempfile

    path = _files.get(authority)
    if path is None:
        number, path = tempfile.mkstemp(prefix="kling-contract-", suffix=".pem")
        with os.fdopen(number, "w") as file:
            file.write(authority)
        _files[authority] = path
        atexit.register(_remove, path, os.getpid())
    return path


_files: dict[str, str] = {}


def _remove(path: str, made_by: int) -> None:
    import os

    if os.getpid() == made_by:
        os.unlink(path)
