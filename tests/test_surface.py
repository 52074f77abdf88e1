"""Claims about what is public, whatever it does: options go by their names, and values stay as they were made."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fake_server
import kling_contract

MODULES = [
    importlib.import_module(found.name)
    for package in (kling_contract, fake_server)
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    if not found.name.endswith("__main__")
]
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in getattr(module, "__all__", ())
    if getattr(getattr(module, name), "__module__", "") == module.__name__
}
VALUES = {name: each for name, each in PUBLIC.items() if dataclasses.is_dataclass(each) and isinstance(each, type)}


def calls(public: Any) -> Iterator[Callable[..., Any]]:
    """Yield what of a public name can be called. Values are made with their members, in whichever way."""
    if inspect.isfunction(public):
        yield public
    elif inspect.isclass(public):
        for name, member in vars(public).items():
            called = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            made = name == "__init__" and public not in VALUES.values()
            if inspect.isfunction(called) and (made or not name.startswith("_")):
                yield called


@pytest.mark.parametrize("name", PUBLIC)
def test_options_go_by_their_names(name: str) -> None:
    """Of the arguments of a call that may be left out, no more than one can be given by its place."""
    for call in calls(PUBLIC[name]):
        optional = [each for each in inspect.signature(call).parameters.values() if each.default is not each.empty]
        placed = [each.name for each in optional if each.kind is not each.KEYWORD_ONLY]
        assert len(placed) <= 1, (call.__qualname__, placed)


@pytest.mark.parametrize("name", VALUES)
def test_values_stay_as_they_are(name: str) -> None:
    """A value cannot be changed, nor be given what it does not declare."""
    value = object.__new__(VALUES[name])
    field = dataclasses.fields(VALUES[name])[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
    with pytest.raises(AttributeError):
        object.__setattr__(value, "undeclared", None)
