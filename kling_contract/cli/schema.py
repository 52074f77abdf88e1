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
    help="Include every schema in the OpenAPI document, so that it needs no other file.",
)
@click.option("--list", "listed", is_flag=True, help="List the revisions, with their sources.")
@options.revision
def command(document: str, bundled: bool, listed: bool, revision: str | None) -> None:
    """Print a document of the contract as JSON.

    DOCUMENT is openapi (the default), create-request, generation, error or observed.

    Exit code 0: it is printed; 2: wrong usage, or no such document or revision.
    """
    if listed:
        _list()
        return
    contract = Contract.load(revision)
    if bundled and document != "openapi":
        raise click.UsageError("--bundled needs the document openapi: the others refer to no other document")
    content = contract.bundled() if bundled else contract.document(document)
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _list() -> None:
    default, latest = Contract.load().revision, Contract.load("latest").revision
    for revision in (Contract.load(name).revision for name in revisions()):
        marks = [mark for mark, which in (("default", default), ("latest", latest)) if which == revision]
        marks += [] if revision.published else [revision.provenance]
        note = f"  ({', '.join(marks)})" if marks else ""
        click.echo(f"{revision.id}  {revision.title}{note}")
        for source in revision.sources:
            click.echo(f"            {source}")
