"""`kling-contract diff`: what changed between two revisions, or two documents, and whom it breaks."""

from __future__ import annotations

from pathlib import Path

import click

from kling_contract.contract import Contract, revisions
from kling_contract.drift import breaks, diff, report
from kling_contract.drift.document_set import DocumentSet
from kling_contract.drift.openapi import ApiDocument, load_document
from kling_contract.errors import UnknownRevision

__all__ = ["command"]

_WRITERS = {"text": report.as_text, "json": report.as_json, "markdown": report.as_markdown}


@click.command("diff")
@click.argument("old")
@click.argument("new", nargs=-1, required=True)
@click.option(
    "--format", "format_", type=click.Choice(list(_WRITERS)), default="text", show_default=True, help="How to print it."
)
@click.pass_context
def command(ctx: click.Context, old: str, new: tuple[str, ...], format_: str) -> None:
    """Show what changed from OLD to NEW, and whom it breaks: those who send requests, those who read answers.

    Each of the two is a revision (see schema --list), 'latest', or an OpenAPI document in a JSON file. NEW may be several files
    that describe the API together. Exit code 1 when something breaks.
    """
    changes = diff(_read(old), _together(new))
    click.echo(_WRITERS[format_](changes, old=old, new=", ".join(new)), nl=False)
    ctx.exit(1 if breaks(changes) else 0)


def _together(names: tuple[str, ...]) -> Contract | ApiDocument:
    first, *others = map(_read, names)
    if not others:
        return first
    documents = [each for each in (first, *others) if isinstance(each, ApiDocument)]
    if len(documents) < len(names):
        raise click.UsageError("NEW is one revision, or one or several files: a revision describes the whole by itself")
    return DocumentSet(documents)


def _read(name: str) -> Contract | ApiDocument:
    path = Path(name)
    if path.exists() or path.suffix:
        return load_document(path)
    try:
        return Contract.load(name)
    except UnknownRevision as unknown:
        raise UnknownRevision(name, (*revisions(), "an OpenAPI document in a file")) from unknown
