"""Claims about exceptions: one root, a complete drawing, and messages that survive what they are made of."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pytest

import fake_server
import kling_contract
from fake_server import FakeServer
from kling_contract import errors
from kling_contract.errors import InvalidJson, KlingError, ListenError, StateError

SIGNALS = {
    "kling_contract.client.retry.NoTimeToRetry",  # the client turns it into a timeout
    "kling_contract.client.retry.Retryable",  # the loop takes it for "try again"
    "kling_contract.checks.deadline.DeadlineExceeded",  # the runner turns it into a finding
    "fake_server.adapters.control_pages.Refused",  # the control API turns it into a response
}
"""Exceptions that never leave the package that raises them."""

OF_OTHER_KINDS = {
    "fake_server.adapters.virtual_time.NeverEnds",  # no Exception: the program that it stops would catch that, and go on
    "fake_server.adapters.respx_internals.Refused",  # an AssertionError, as respx raises for a call that nobody answers
}
"""Exceptions that cannot be KlingErrors."""


def exceptions() -> Iterator[type[BaseException]]:
    """Yield the public exceptions of both packages."""
    for package in (kling_contract, fake_server):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith("__main__"):
                continue
            for name, value in vars(importlib.import_module(found.name)).items():
                own = inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == found.name
                if own and not name.startswith("_"):
                    yield value


def named(exception: type[BaseException]) -> str:
    return f"{exception.__module__}.{exception.__qualname__}"


def test_one_root_catches_all() -> None:
    """Whatever the project raises on purpose, and lets out, is a KlingError, unless it must be something else."""
    found = {named(each): each for each in exceptions()}
    assert {name for name, each in found.items() if not issubclass(each, KlingError)} == SIGNALS | OF_OTHER_KINDS
    assert set(found) >= {named(getattr(errors, name)) for name in errors.__all__}


def test_the_drawing_is_the_tree() -> None:
    """The drawing in the docstring has every exception of the module once, below the one that it derives from."""
    drawn: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"((?:│   |    )*(?:├── |└── )?)([A-Z]\w+)(?:  |$)", line):
            depth = len(found[1]) // 4
            assert found[2] not in drawn
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else None
    public = {name: getattr(errors, name) for name in errors.__all__}
    parents = {
        name: next((base.__name__ for base in kind.__mro__[1:] if base.__name__ in public), None)
        for name, kind in public.items()
    }
    assert drawn == parents


@pytest.mark.parametrize(
    ("kind", "builtin"), [(InvalidJson, ValueError), (ListenError, OSError), (StateError, OSError)]
)
def test_builtin_kinds_still_catch(kind: type[KlingError], builtin: type[Exception]) -> None:
    """Who catches the builtin exception for such a failure catches ours."""
    assert issubclass(kind, builtin)
    assert builtin.__name__ in (errors.__doc__ or "")


def test_a_port_that_is_taken_is_a_project_error() -> None:
    """A fake that cannot listen raises what `except KlingError` catches, with its message."""
    with FakeServer().listen() as url, pytest.raises(KlingError, match=r"cannot listen on 127\.0\.0\.1") as refused:
        FakeServer().listen(port=int(url.rpartition(":")[2])).__enter__()
    assert isinstance(refused.value, OSError)
