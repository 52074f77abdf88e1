"""`kling-contract samples`: payloads with their expected verdict, for tests in any language."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import click

from kling_contract.cli import options

__all__ = ["command"]


@click.command("samples")
@click.option("--valid", type=click.IntRange(0), default=5, show_default=True, help="How many valid payloads.")
@click.option("--invalid", type=click.IntRange(0), default=5, show_default=True, help="How many invalid ones.")
@click.option("--seed", type=int, default=0, show_default=True, help="What they are drawn from.")
@click.option("--output", "-o", type=click.Path(path_type=Path, file_okay=False), help="Folder for one file each.")
@options.revision
def command(valid: int, invalid: int, seed: int, output: Path | None, revision: str | None) -> None:
    """Write sample payloads, each with the verdict that a validator must reach.

    They go to standard output as JSON Lines, or with --output into a folder, one file each. A sample is an object of payload,
    valid, and violation: null, or the one thing that is wrong (its id, pointer and rule).
    """
    try:
        from kling_contract.payloads import samples
    except ModuleNotFoundError as missing:
        raise click.UsageError(f"samples needs {missing.name}: install kling-contract[testing]") from missing

    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    for number, sample in zip(count(1), samples(valid, invalid, seed, revision=revision), strict=False):
        text = json.dumps(sample, ensure_ascii=False)
        if output is None:
            click.echo(text)
        else:
            kind = "valid" if sample["valid"] else "invalid"
            (output / f"{number:04}-{kind}.json").write_text(text + "\n", encoding="utf-8")
    if output is not None:
        click.echo(f"wrote {valid + invalid} files to {output}")
