"""`kling-contract schema`: prints a document of the contract."""

from __future__ import annotations

import json

import click

from kling_contract.cli import options
from kling_contract.contract import Contract, revisions

__all__ = ["command"]


@click.command("schema")
@click.argument("document", default="openapi")
@click.option(
    "--bundled",
    is_flag=True,
    help="The OpenAPI document with every schema moved into it, so that it stands alone.",
)
@click.option("--list", "listed", is_flag=True, help="List the revisions there are, with their sources.")
@options.revision
def command(document: str, bundled: bool, listed: bool, revision: str | None) -> None:
    """Print a document of the contract as JSON.

    DOCUMENT is openapi (the default), create-request, generation, error or observed.
    """
    if listed:
        _list()
        return
    contract = Contract.load(revision)
    if bundled and document != "openapi":
        raise click.UsageError("only the openapi document refers to others: --bundled goes with openapi")
    content = contract.bundled() if bundled else contract.document(document)
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _list() -> None:
    default, latest = Contract.load().revision, Contract.load("latest").revision
    for each in (Contract.load(name).revision for name in revisions()):
        marks = [mark for mark, which in (("default", default), ("latest", latest)) if which == each]
        marks += [] if each.published else [each.provenance]
        note = f"  ({', '.join(marks)})" if marks else ""
        click.echo(f"{each.id}  {each.title}{note}")
        for source in each.sources:
            click.echo(f"            {source}")
