"""The options that several commands share."""

from __future__ import annotations

from typing import Any

import click

from kling_contract.contract import REVISION_VARIABLE

__all__ = ["revision", "scenario", "strictness"]


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
        type=click.Choice(["strict", "lax", "off"]),
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
        help="How generations go: a shipped scenario, or a JSON file.",
    )(command)
