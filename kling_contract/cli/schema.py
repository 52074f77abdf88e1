"""`kling-contract schema`: prints a document of the contract."""

from __future__ import annotations

import json

import click

from kling_contract.cli import options
from kling_contract.contract import Contract, revisions

__all__ = ["command"]

_OPENAPI = "openapi"


@click.command("schema")
@click.argument("document", default="openapi")
@click.option(
    "--bundled",
    is_flag=True,
    help="Include every schema in the OpenAPI document, so that it needs no other file.",
)
@click.option("--list", "listed", is_flag=True, help="List the revisions, with their sources.")
@click.option(
    "--models",
    "models",
    is_flag=True,
    help="List the models of the revision (by default of each), with the document of their payloads.",
)
@options.revision
@options.model("Model that create-request, generation, and openapi with --bundled, are to describe.")
def command(document: str, bundled: bool, listed: bool, models: bool, revision: str | None, model: str | None) -> None:
    """Print a document of the contract as JSON.

    DOCUMENT is openapi (the default), create-request, generation, error or observed, or one that --models lists.

    Exit code 0: it is printed; 2: wrong usage, or no such document, revision or model.
    """
    if listed or models:
        _list() if listed else _list_models(revision)
        return
    contract = Contract.load(revision, model=model)
    if bundled and document != _OPENAPI:
        raise click.UsageError("--bundled needs the document openapi: the others refer to no other document")
    if model is not None and document not in (_OPENAPI, "create-request", "generation"):
        raise click.UsageError(f"--model does not go with {document}, which is about all models")
    if model is not None and document == _OPENAPI and not bundled:
        raise click.UsageError("--model with the document openapi needs --bundled: the file itself is about all models")
    if document == "generation":
        document = contract.generation_document
    if not bundled:
        content = contract.document(document)
    elif model is None:
        content = contract.bundled()
    else:
        content = contract.bundled_for_model()
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _list_models(revision: str | None) -> None:
    for contract in map(Contract.load, revisions() if revision is None else [revision]):
        width = max(map(len, contract.models))
        for model in contract.models.values():
            click.echo(
                f"{contract.revision.id}  {model.id:<{width}}  {model.request_document.removesuffix('.schema.json')}"
            )


def _list() -> None:
    default, latest = Contract.load().revision, Contract.load("latest").revision
    for revision in (Contract.load(name).revision for name in revisions()):
        marks = [mark for mark, which in (("default", default), ("latest", latest)) if which == revision]
        marks += [] if revision.published else [revision.provenance]
        note = f"  ({', '.join(marks)})" if marks else ""
        click.echo(f"{revision.id}  {revision.title}{note}")
        for source in revision.sources:
            click.echo(f"            {source}")
