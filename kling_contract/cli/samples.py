"""`kling-contract samples`: payloads, each with the verdict to expect, for tests in any language."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import click

from kling_contract.cli import options
from kling_contract.contract import Contract

__all__ = ["command"]


@click.command("samples")
@click.option("--valid", type=click.IntRange(0), default=5, show_default=True, help="Number of valid payloads.")
@click.option("--invalid", type=click.IntRange(0), default=5, show_default=True, help="Number of invalid payloads.")
@options.seed("The same seed gives the same samples.", default=0)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write one file per sample into this folder.",
)
@options.revision
@options.model("Model that the payloads are for. Default: that of the revision.")
def command(valid: int, invalid: int, seed: int, output: Path | None, revision: str | None, model: str | None) -> None:
    """Write sample payloads, each with the verdict that a validator must reach.

    They go to standard output as JSON Lines, or with --output into a folder, one file each. A sample is an object with the
    members payload, valid, and violation: null, or the one thing that is wrong (its id, pointer and rule).

    Exit code 0: the samples are written; 2: wrong usage, or a folder that cannot be written.
    """
    try:
        from kling_contract.payloads import samples
    except ModuleNotFoundError as missing:
        raise click.UsageError(f"samples needs {missing.name}: install kling-contract[testing]") from missing

    contract = Contract.load(revision, model=model)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    for number, sample in zip(count(1), samples(valid, invalid, seed, contract=contract), strict=False):
        text = json.dumps(sample, ensure_ascii=False)
        if output is None:
            click.echo(text)
        else:
            kind = "valid" if sample["valid"] else "invalid"
            (output / f"{number:04}-{kind}.json").write_text(text + "\n", encoding="utf-8")
    if output is not None:
        click.echo(f"wrote {valid + invalid} files to {output}")
