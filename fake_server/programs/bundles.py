"""The trust bundles that a command may read: the files with the certificates of the authorities that it trusts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["bundles_of"]

_OF_THE_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",
)
_OF_PYTHON_PACKAGES = (
    "certifi/cacert.pem",
    "pip/_vendor/certifi/cacert.pem",
    "botocore/cacert.pem",
    "httplib2/cacerts.txt",
    "stripe/data/ca-certificates.crt",
    "grpc/_cython/_credentials/roots.pem",
)
_PACKAGES = ("lib/python*/site-packages", "lib/python*/dist-packages", "local/lib/python*/dist-packages")
_MOST_INTERPRETERS = 4  # of which each is named by the first line of the one before
_LONGEST_LINE = 256


def bundles_of(command: Sequence[str], path: str) -> list[Path]:
    """Return the bundles of the system, and those of the packages of each Python that the command may start.

    These are the one that runs the command, those found first in `path` (the command's PATH), and that of `.venv` in the
    current folder. The files exist, and none is there twice by another name.
    """
    system = (Path(name) for name in _OF_THE_SYSTEM)
    packages = (
        folder / name
        for prefix in _prefixes(command, path)
        for pattern in _PACKAGES
        for folder in prefix.glob(pattern)
        for name in _OF_PYTHON_PACKAGES
    )
    return list(dict.fromkeys(bundle.resolve() for bundle in (*system, *packages) if os.access(bundle, os.R_OK)))


def _prefixes(command: Sequence[str], path: str) -> list[Path]:
    """Return the folders above `bin` of everything that may be a Python of the command's, and of what it links to."""
    programs = [*_interpreters(command[0], path), Path(".venv/bin/python").absolute()]
    for name in ("python3", "python"):
        programs += [Path(found).absolute() for found in [shutil.which(name, path=path)] if found]
    prefixes = (each.parent.parent for program in programs for each in (program, program.resolve()))
    return list(dict.fromkeys(prefix for prefix in prefixes if prefix != Path("/")))


def _interpreters(program: str, path: str) -> Iterator[Path]:
    """Yield a program, the interpreter that its first line names, the interpreter of that one, and so on."""
    for _ in range(_MOST_INTERPRETERS):
        if not (found := shutil.which(program, path=path)):
            return
        yield Path(found).absolute()
        try:
            with Path(found).open("rb") as file:
                line = file.readline(_LONGEST_LINE)
        except OSError:
            return
        if not line.startswith(b"#!"):
            return
        words = line[2:].decode(errors="surrogateescape").split()
        if words and Path(words[0]).name == "env":
            words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        if not words:
            return
        program = words[0]
