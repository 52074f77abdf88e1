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
from fake_server import Reply, Request
from kling_contract import Contract
from kling_contract.validation.creates import validator_for
from kling_contract.violation import STRICTNESS

MODULES = [
    importlib.import_module(found.name)
    for package in (kling_contract, fake_server)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
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


CONTRACT = Contract.load()
REQUEST = Request("GET", CONTRACT.base_url)
ARGUMENTS: dict[str, Any] = {  # what a call needs beside the argument that a test is about
    "api_key": "a-key",
    "archive": {"log": {}},
    "body": b"",
    "contract": CONTRACT,
    "headers": {},
    "invalid": 1,
    "operation": CONTRACT.get,
    "path": CONTRACT.create.path,
    "payload": {},
    "query": "",
    "request": REQUEST,
    "response": Reply(200),
    "self": validator_for(CONTRACT),
    "text": "{}",
    "valid": 1,
    "value": {},
}


def taking(*names: str) -> dict[str, Callable[..., Any]]:
    """Return the public calls, by name, that may be given each of these arguments. A class stands for its `__init__`."""
    found: dict[str, Callable[..., Any]] = {}
    for name, public in PUBLIC.items():
        if inspect.isclass(public):
            found |= {f"{name}.{call.__name__}": call for call in calls(public) if call.__name__ != "__init__"}
        if inspect.isfunction(public) or (inspect.isclass(public) and inspect.isfunction(public.__init__)):
            found[name] = public
    return {name: call for name, call in found.items() if set(names) <= optional(call)}


def optional(call: Callable[..., Any]) -> set[str]:
    """Return the names of the arguments that may be left out."""
    return {name for name, each in inspect.signature(call).parameters.items() if each.default is not each.empty}


def call_with(call: Callable[..., Any], **given: Any) -> None:
    """Make a call with these arguments, and whatever else it needs."""
    needed = {
        name: ARGUMENTS[name]
        for name, each in inspect.signature(call).parameters.items()
        if name not in given and (each.default is each.empty or name == "api_key")
    }
    result = call(**needed, **given)
    if isinstance(result, Iterator):
        next(result)


@pytest.mark.parametrize("name", taking("strictness"))
def test_a_misspelt_strictness_is_refused(name: str) -> None:
    """Whatever takes a strictness refuses one that there is not, and lists those that there are."""
    with pytest.raises(ValueError, match=rf"{', '.join(STRICTNESS)}, not 'Strict'"):
        call_with(taking("strictness")[name], strictness="Strict")


def test_every_call_that_takes_a_strictness_is_found() -> None:
    """The search for calls finds functions, methods and classes, with inherited arguments as well."""
    known = (
        "kling_contract.validation.creates.validate",
        "kling_contract.validation.validator.Validator.validate_text",
        "kling_contract.client.client.Client",
    )
    assert {*known, "fake_server.server.FakeServer"} <= set(taking("strictness"))


@pytest.mark.parametrize("name", taking("contract", "revision"))
def test_a_contract_and_a_revision_are_one_too_many(name: str) -> None:
    """Whatever takes a contract or a revision refuses both together, even when they agree."""
    for revision in ("latest", CONTRACT.revision.id):
        with pytest.raises(TypeError, match="give contract or revision, not both"):
            call_with(taking("contract", "revision")[name], contract=CONTRACT, revision=revision)
