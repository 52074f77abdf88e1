"""The settings: the ini file, the command line and the markers, and the options of a test's fake that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

__all__ = [
    "SETTINGS",
    "configure",
    "configured_options",
    "merged",
    "number",
    "options_of",
    "pytest_addoption",
    "setting",
    "was_read",
]


class _Setting(NamedTuple):
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()


_OF_FAKES = {  # by option of FakeServer
    "revision": _Setting("revision of the contract that fakes follow, or latest", "ID"),
    "model": _Setting("model of payloads that name none", "ID"),
    "scenario": _Setting("scenario of fakes: a shipped name, or a JSON file", "NAME"),
    "strictness": _Setting("what fakes refuse", choices=("strict", "lax", "off")),
    "progression": _Setting("what moves the generations of fakes on", choices=("time", "immediate", "polls")),
}
SETTINGS = {
    **_OF_FAKES,
    "others": _Setting("what happens to calls of other hosts while a test uses kling", choices=("block", "pass")),
    "live": _Setting("whether tests may call the real service outside of a fake", choices=("forbid", "allow")),
    "fail_on": _Setting("what a fake tolerated that fails the run", choices=("never", "warning")),
    "budget": _Setting("how much the fakes of a run may book at most, in tokens", "TOKENS"),
    "budget_unknown": _Setting("what generations of unknown price do to a budget", choices=("fail", "ignore")),
}
"""By name without `kling_`: each setting of the ini file and of the command line."""

_MARKERS = (
    "kling(**options): the keyword arguments of fake_server.FakeServer for the fake of this test, and `others` of "
    "FakeServer.intercept; of several markers the nearest wins",
    "kling_live: let this test call the real service, which may cost money",
)
_OPTIONS = pytest.StashKey[Mapping[str, Any]]()
_READ = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kling", "fake Kling server")
    for name, (help_, metavar, choices) in SETTINGS.items():
        option = f"--kling-{name}".replace("_", "-")
        group.addoption(option, metavar=metavar, choices=choices or None, help=f"{help_[0].upper()}{help_[1:]}.")
        listed = f": {', '.join(choices)}" if choices else ""
        parser.addini(f"kling_{name}", f"{help_}{listed}", default="")


def configure(config: pytest.Config) -> None:
    """Register the markers, and check every setting. Raise UsageError for a value that cannot be used."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    for name, (_, _, choices) in SETTINGS.items():
        if choices and (value := config.getini(f"kling_{name}")) and value not in choices:
            raise pytest.UsageError(f"kling_{name} must be one of {', '.join(choices)}, not {value!r}")
    config.stash[_OPTIONS] = _configured(config)


def setting(config: pytest.Config, name: str) -> str:
    """Return a setting by its name without `kling_`: that of the command line, else of the ini file; "" if it is not set."""
    return str(config.getoption(f"kling_{name}") or config.getini(f"kling_{name}") or "")


def number(config: pytest.Config, name: str) -> float | None:
    """Return a setting that is a number, None if it is not set. Raise UsageError for what is no number, or less than 0."""
    text = setting(config, name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise pytest.UsageError(f"kling_{name} must be a number from 0 up, not {text!r}")
    return value


def configured_options(config: pytest.Config) -> Mapping[str, Any]:
    """Return the options of FakeServer that the ini file and the command line give."""
    return config.stash[_OPTIONS]


def options_of(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options of this test's fake, and `others`: those of the configuration, and over them those of the markers."""
    request.node.stash[_READ] = True
    options = configured_options(request.config)
    if others := setting(request.config, "others"):
        options = {**options, "others": others}
    for marker in reversed(list(request.node.iter_markers("kling"))):
        _check(marker)
        options = merged(options, marker.kwargs)
    return dict(options)


def was_read(item: pytest.Item) -> bool:
    """Return whether a fixture of this test has asked for its options."""
    return item.stash.get(_READ, False)


def merged(options: Mapping[str, Any], nearer: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` with `nearer` over them.

    A contract takes the place of a revision and a model, and a revision that of a contract.
    """
    replaced: set[str] = set()
    if "contract" in nearer:
        replaced = {"contract", "revision", "model"}
    elif "revision" in nearer:
        replaced = {"contract"}
    return {name: value for name, value in options.items() if name not in replaced} | dict(nearer)


def _configured(config: pytest.Config) -> dict[str, Any]:
    """Return the options of fakes in the ini file and on the command line. Raise UsageError for one that cannot be used."""
    options: dict[str, Any] = {name: value for name in _OF_FAKES if (value := setting(config, name))}
    if not {"revision", "model", "scenario"} & set(options):
        return options
    from fake_server.scenario.scenario import Scenario
    from kling_contract.contract import Contract
    from kling_contract.errors import KlingError

    try:
        if {"revision", "model"} & set(options):
            Contract.load(options.get("revision"), model=options.get("model"))
        if "scenario" in options:
            folder = config.inipath.parent if config.inipath else config.rootpath
            if config.getoption("kling_scenario"):
                folder = config.invocation_params.dir
            options["scenario"] = Scenario.load(options["scenario"], folder=folder)
    except KlingError as unusable:
        raise pytest.UsageError(str(unusable)) from unusable
    return options


def _check(marker: pytest.Mark) -> None:
    import inspect

    from fake_server.server import FakeServer
    from kling_contract.display import nearest

    known = [*inspect.signature(FakeServer).parameters, "others"]
    wrong = [repr(value) for value in marker.args]
    for name in marker.kwargs:
        if name not in known:
            near = nearest(name, known)
            wrong.append(f"{name} (did you mean {near[0]}?)" if near else name)
    if wrong:
        pytest.fail(
            f"@pytest.mark.kling does not take {', '.join(wrong)}; it takes, by name: {', '.join(known)}",
            pytrace=False,
        )
