"""The options that several commands share."""

from __future__ import annotations

from typing import Any

import click

from kling_contract import reports, violation
from kling_contract.contract import REVISION_VARIABLE
from kling_contract.violation import STRICTNESS

__all__ = ["fail_on", "format_", "revision", "scenario", "strictness"]


def fail_on(command: Any) -> Any:
    """Add --fail-on."""
    return click.option(
        "--fail-on",
        type=click.Choice(violation.SEVERITIES),
        default="error",
        show_default=True,
        help="The least severity that makes the exit code 1.",
    )(command)


def format_(command: Any) -> Any:
    """Add --format, as `format_`."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(reports.FORMATS),
        default="text",
        show_default=True,
        help="How to report.",
    )(command)


def revision(command: Any) -> Any:
    """Add --revision."""
    return click.option(
        "--revision",
        metavar="ID",
        help=f"Revision of the contract, or 'latest'. Default: ${REVISION_VARIABLE}, or the first one documented.",
    )(command)


def strictness(command: Any) -> Any:
    """Add --strictness."""
    return click.option(
        "--strictness",
        type=click.Choice(STRICTNESS),
        default="lax",
        show_default=True,
        help="strict: the documents to the letter. lax: also what the live service is known to take. off: refuse nothing.",
    )(command)


def scenario(command: Any) -> Any:
    """Add --scenario."""
    return click.option(
        "--scenario",
        metavar="NAME",
        default="happy",
        show_default=True,
        help="How generations go: a shipped scenario, or a file whose name ends in .json.",
    )(command)
