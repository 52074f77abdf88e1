"""`kling-contract schema`: prints a document of the contract."""

from __future__ import annotations

import json

import click

from kling_contract.commands import options
from kling_contract.contract import Contract

__all__ = ["command"]


@click.command("schema")
@click.argument("document", default="openapi")
@click.option(
    "--bundled",
    is_flag=True,
    help="The OpenAPI document with every schema moved into it, so that it stands alone.",
)
@options.revision
def command(document: str, bundled: bool, revision: str | None) -> None:
    """Print a document of the contract as JSON.

    DOCUMENT is openapi (the default), create-request, generation, error or observed.
    """
    contract = Contract.load(revision)
    if bundled and document != "openapi":
        raise click.UsageError("only the openapi document refers to others: --bundled goes with openapi")
    content = contract.bundled() if bundled else contract.document(document)
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))
