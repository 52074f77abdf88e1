"""The options of a fake, for each command that runs one."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kling_contract.cli import options

__all__ = ["Number", "fake_options"]

_MEGABYTE = 2**20
_OF_THE_FAKE = (
    "replay",
    "scenario",
    "progression",
    "strictness",
    "revision",
    "model",
    "api_key",
    "seed",
    "body_limit",
    "state",
)


class Number(click.FloatRange):
    """A number in a range. Refuses NaN, which click accepts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


_OPTIONS = (
    click.option(
        "--replay",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Respond to creates and polls as in this HTTP Archive, which `record` writes.",
    ),
    options.scenario,
    click.option(
        "--progression",
        type=click.Choice(["time", "immediate", "polls"]),
        default="time",
        show_default=True,
        help="What moves a generation on. immediate: it has ended at the first poll. polls: each poll is one step.",
    ),
    options.strictness,
    options.revision,
    options.model("Model of payloads that name none, with --strictness off. All models are served."),
    click.option(
        "--api-key", metavar="KEY", envvar="KLING_FAKE_API_KEY", help="Accept only this API key, instead of any."
    ),
    options.seed("The same seed gives the same generation ids.", default=0),
    click.option(
        "--body-limit",
        type=Number(0, 4096, min_open=True),
        metavar="MB",
        default=32.0,
        show_default=True,
        help="Most megabytes that the body of a request may have.",
    ),
    click.option(
        "--state",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Keep generations, ledger and time in this file, and continue from it next time.",
    ),
    click.option(
        "--log", is_flag=True, help="Log each request on standard error, with its response and what was wrong with it."
    ),
    click.option("--no-control", is_flag=True, help="Do not serve the control API, /_fake/."),
)


def fake_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a fake, as `fake`: keyword arguments of FakeServer; and --log and --no-control."""

    @functools.wraps(command)
    def collected(*args: Any, **given: Any) -> None:
        fake = {name: given.pop(name) for name in _OF_THE_FAKE}
        fake["body_limit"] = int(fake["body_limit"] * _MEGABYTE)
        command(*args, fake=fake, **given)

    for add in reversed(_OPTIONS):
        collected = add(collected)
    return collected
