"""What the commands that run a program share: the options of its network, an exit code, and what is said of its connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fake_server.programs.program import Ended

__all__ = ["FAILED", "isolation", "program_options"]

C = TypeVar("C", bound=Callable[..., Any])

FAILED = 90
"""The exit code where the program has ended with 0, and --fail-on fails it. No program ends with it by habit."""


def _places(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[tuple[str, int]]:
    """Read hosts and ports."""
    found = []
    for value in values:
        host, _, port = value.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
            raise click.BadParameter(f"{value!r}: write HOST:PORT, such as localhost:5432")
        found.append((host.removeprefix("[").removesuffix("]"), int(port)))
    return found


_OPTIONS = (
    click.option(
        "--isolate",
        type=click.Choice(["auto", "require", "off"]),
        default="auto",
        show_default=True,
        help="Run the program without any other network (Linux). auto: where the system permits it.",
    ),
    click.option(
        "--allow",
        callback=_places,
        multiple=True,
        metavar="HOST:PORT",
        help="Let the program reach this place, too. May be repeated.",
    ),
    click.option(
        "--publish",
        type=click.IntRange(1, 65535),
        multiple=True,
        metavar="PORT",
        help="Let this machine reach a port of the isolated program. May be repeated.",
    ),
)


def program_options(command: C) -> C:
    """Add --isolate, --allow (as hosts and ports) and --publish."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


def isolation(ended: Ended, reached: Sequence[tuple[str, int]]) -> str:
    """Return what is known of connections that nobody saw. `reached` are the places that were allowed or forwarded to."""
    from kling_contract.hosts import is_loopback

    remote = [f"{host}:{port}" for host, port in reached if not is_loopback(host)]
    if not ended.isolated:
        return f"not guaranteed ({ended.why_not}): a client that uses neither proxy nor preload can connect elsewhere"
    if remote:
        return f"no connection left this machine, but to {', '.join(remote)}"
    return "no connection left this machine: it could not"
