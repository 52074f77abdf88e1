"""`kling-contract diff`: what changed between two revisions or documents, and what it breaks."""

from __future__ import annotations

from pathlib import Path

import click

from kling_contract.cli import options
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
@options.format_among(tuple(_WRITERS))
@options.report_among(tuple(_WRITERS))
@click.pass_context
def command(
    ctx: click.Context, old: str, new: tuple[str, ...], format_: str, report_files: list[tuple[str, Path]]
) -> None:
    """Show what changed from OLD to NEW, and what it breaks: requests that were valid, or programs that read responses.

    Each of the two is a revision (see `schema --list`), 'latest', or an OpenAPI document in a JSON file. NEW may be several
    files that describe the API together.

    Exit code 0: nothing breaks; 1: something breaks, or a report could not be written; 2: wrong usage, or a document that
    cannot be read.
    """
    changes = diff(_read(old), _together(new))
    outputs = options.open_outputs(ctx, format_, report_files)
    written = options.write_reports(
        outputs,
        lambda output: [_WRITERS[output.format](changes, old=old, new=", ".join(new)).removesuffix("\n")],
    )
    ctx.exit(0 if written and not breaks(changes) else 1)


def _together(names: tuple[str, ...]) -> Contract | ApiDocument:
    first, *others = map(_read, names)
    if not others:
        return first
    documents = [document for document in (first, *others) if isinstance(document, ApiDocument)]
    if len(documents) < len(names):
        raise click.UsageError(
            "NEW must be one revision, or one or more files: a revision cannot be combined with others"
        )
    return DocumentSet(documents)


def _read(name: str) -> Contract | ApiDocument:
    path = Path(name)
    if path.exists() or path.suffix:
        return load_document(path)
    try:
        return Contract.load(name)
    except UnknownRevision as unknown:
        raise UnknownRevision(name, (*revisions(), "an OpenAPI document in a file")) from unknown
