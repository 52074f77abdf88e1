"""The environment of a program that ends in a fake without an edit: its variables, and the files that they name."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fake_server import preload
from fake_server.adapters.authority import Authority

__all__ = ["KEY_VARIABLES", "URL_VARIABLE", "Trust", "environment"]

URL_VARIABLE = "KLING_FAKE_URL"
"""Holds the base URL of the fake, for programs that want to steer it by `/_fake/`."""

KEY_VARIABLES = ("AIMLAPI_KEY", "AIML_API_KEY", "AIMLAPI_API_KEY", "AIML_KEY")
"""The variables in which programs usually look for the key of the API."""

_FALSE_KEY = "a-false-key"  # a fake accepts any
_PASSWORD = "changeit"  # of a trust store that holds nothing secret; the one that Java has always used

_PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_NO_PROXY = ("NO_PROXY", "no_proxy")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_BUNDLE = (
    "SSL_CERT_FILE",  # OpenSSL: Python, Ruby, curl, httpx; Go, .NET
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PERL_LWP_SSL_CA_FILE",
    "CARGO_HTTP_CAINFO",
)
_AUTHORITY = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
_UNSET = ("ALL_PROXY", "all_proxy", "SSL_CERT_DIR", "NODE_USE_ENV_PROXY")


class Trust:
    """The files in a folder by which programs trust an authority.

    `bundles` are what the programs trust besides, as files; those of them that are not there are left out. A trust store for
    Java takes ten times as long to write with them, so they are in it only if the program `reaches_others`.
    """

    def __init__(
        self, folder: Path, authority: Authority, bundles: Sequence[Path], *, reaches_others: bool = True
    ) -> None:
        self._folder = folder
        self._certificate = authority.certificate
        found = [bundle.read_bytes() for bundle in bundles if bundle.is_file()]
        self.authority = self._written("authority.pem", authority.certificate.encode())
        """The authority alone, in PEM."""
        self.bundle = self.with_authority(found[0] if found else b"", "bundle.pem")
        """The first of the bundles, with the authority."""
        self.java = self._written("java.p12", authority.java_trust_store(found[: int(reaches_others)], _PASSWORD))
        """The same as a PKCS #12 trust store."""
        self.wget = self._written("wgetrc", f"ca_certificate={self.bundle}\n".encode())
        self.php = folder / "php"
        self.php.mkdir()
        self._written("php/fake.ini", f'curl.cainfo="{self.bundle}"\nopenssl.cafile="{self.bundle}"\n'.encode())

    def with_authority(self, bundle: bytes, name: str) -> Path:
        """Write a bundle, with the authority at its end, into a file of the folder."""
        return self._written(name, b"\n".join((bundle, self._certificate.encode())))

    def _written(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        try:
            path.write_bytes(content)
        except OSError as failed:  # a full disk does not name the file
            raise OSError(failed.errno, failed.strerror, str(path)) from None
        return path


def environment(
    inherited: Mapping[str, str],
    *,
    port: int,
    trust: Trust,
    configuration: Mapping[str, Any],
    direct: Sequence[str] = (),
    is_fake: bool = True,
) -> dict[str, str]:
    """Return the environment of a program whose requests end on `port` of 127.0.0.1.

    `direct` are hosts that need no proxy, since a look-up of them leads to that port: then a broken connection looks as it
    would without a proxy. `configuration` is what the preloads read. What a variable of `inherited` says is kept where both
    can be said: preloads and options of the user's go on as before. `is_fake` says that a fake answers: then URL_VARIABLE
    leads to it, and if none of the usual variables holds a key, each of them holds a false one.
    """
    url = f"http://127.0.0.1:{port}"
    found = {name: value for name, value in inherited.items() if name not in _UNSET}
    found |= dict.fromkeys(_PROXY, url)
    found |= dict.fromkeys(_NO_PROXY, ",".join((*_THIS_MACHINE, *direct)))
    found |= dict.fromkeys(_BUNDLE, str(trust.bundle))
    found |= dict.fromkeys(_AUTHORITY, str(trust.authority))
    found["WGETRC"] = str(trust.wget)
    found["PHP_INI_SCAN_DIR"] = f"{inherited.get('PHP_INI_SCAN_DIR', '')}:{trust.php}"
    found["PYTHONPATH"] = _joined(":", str(preload.PYTHON), inherited.get("PYTHONPATH"))
    found["NODE_OPTIONS"] = _joined(" ", inherited.get("NODE_OPTIONS"), f"--require={json.dumps(str(preload.NODE))}")
    found["JAVA_TOOL_OPTIONS"] = _joined(" ", inherited.get("JAVA_TOOL_OPTIONS"), _java_options(port, trust))
    if is_fake:
        found[URL_VARIABLE] = url
        if not any(inherited.get(name) for name in KEY_VARIABLES):
            found |= dict.fromkeys(KEY_VARIABLES, _FALSE_KEY)
    found[preload.VARIABLE] = json.dumps(configuration)
    return found


def _joined(separator: str, *parts: str | None) -> str:
    return separator.join(part for part in parts if part)


def _java_options(port: int, trust: Trust) -> str:
    properties = {
        "http.proxyHost": "127.0.0.1",
        "http.proxyPort": str(port),
        "https.proxyHost": "127.0.0.1",
        "https.proxyPort": str(port),
        "http.nonProxyHosts": "localhost|127.*|[::1]",
        "javax.net.ssl.trustStore": str(trust.java),
        "javax.net.ssl.trustStoreType": "PKCS12",
        "javax.net.ssl.trustStorePassword": _PASSWORD,
    }
    return " ".join(shlex.quote(f"-D{name}={value}") for name, value in properties.items())
