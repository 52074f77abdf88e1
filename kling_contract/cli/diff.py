"""`kling-contract diff`: what changed between two revisions or documents, and what it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from kling_contract.cli import options
from kling_contract.contract import Contract, revisions
from kling_contract.drift import (
    ApiDocument,
    Change,
    FamilyChanges,
    as_json,
    as_markdown,
    as_text,
    breaks,
    diff,
    diff_family,
    load_document,
)
from kling_contract.errors import UnknownRevision

__all__ = ["command"]

_WRITERS = {"text": as_text, "json": as_json, "markdown": as_markdown}


@click.command("diff")
@click.argument("old")
@click.argument("new", nargs=-1, required=True)
@options.model("Model that is compared alone. Default: all models, grouped by what changed.")
@options.format_among(tuple(_WRITERS))
@options.report_among(tuple(_WRITERS))
@click.pass_context
def command(
    ctx: click.Context,
    old: str,
    new: tuple[str, ...],
    model: str | None,
    format_: str,
    report_files: list[tuple[str, Path]],
) -> None:
    """Show what changed from OLD to NEW, and what it breaks: requests that were valid, or programs that read responses.

    All models are compared: which were added, which are gone, and what changed for the others. Models with the same changes
    are named together. A document that describes one model, or names none, is compared as that model alone.

    Each of the two is a revision (see `schema --list`), 'latest', or an OpenAPI document in a JSON file. NEW may be several
    files that describe the API together. A change that breaks requests comes with a counterexample: a request that was
    valid before.

    Exit code 0: nothing breaks; 1: something breaks, or a report could not be written; 2: wrong usage, or a document that
    cannot be read.
    """
    changes = _compare(_read(old), _read(*new), model)
    outputs = options.open_outputs(ctx, format_, report_files)
    written = options.write_reports(
        outputs,
        lambda output: [_WRITERS[output.format](changes, old=old, new=", ".join(new)).removesuffix("\n")],
    )
    ctx.exit(0 if written and not _breaks(changes) else 1)


def _compare(
    old: Contract | ApiDocument, new: Contract | ApiDocument, model: str | None
) -> Sequence[Change] | FamilyChanges:
    """Compare one model, or all of them if both sides describe several."""
    if model is not None:
        return diff(old, new, model=model)
    for side in (old, new):
        if isinstance(side, ApiDocument) and len(side.models) < 2:
            return diff(old, new, model=next(iter(side.models), None))
    return diff_family(old, new)


def _breaks(changes: Sequence[Change] | FamilyChanges) -> bool:
    return changes.breaks if isinstance(changes, FamilyChanges) else breaks(changes)


def _read(*names: str) -> Contract | ApiDocument:
    """Read a revision, or an OpenAPI document in one or more files."""
    paths = [Path(name) for name in names if Path(name).exists() or Path(name).suffix]
    if len(paths) == len(names):
        return load_document(*paths)
    if len(names) > 1:
        raise click.UsageError(
            "NEW must be one revision, or one or more files: a revision cannot be combined with others"
        )
    try:
        return Contract.load(names[0])
    except UnknownRevision as unknown:
        raise UnknownRevision(names[0], (*revisions(), "an OpenAPI document in a file")) from unknown
