"""`kling-contract demo`: the whole project in one command, without network, key or waiting."""

from __future__ import annotations

from pathlib import Path

import click

from kling_contract.contract import Contract
from kling_contract.contract.documents import FIXTURES

__all__ = ["command"]

PHOTOGRAPH = FIXTURES / "images" / "cat.jpg"
PROMPT = "The cat blinks slowly, then turns its head towards the window as the morning light moves across its fur."
MISTAKES = {"image": "cat.jpg", "prompt": PROMPT, "duration": 7, "cfg_scale": 1.5}


@click.command("demo")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), default=Path("kling-demo.mp4"), show_default=True,
    help="Where to save the video.",
)  # fmt: skip
def command(output: Path) -> None:
    """Send a real photograph through validator, fake server and client, and save the video that comes back.

    Exit code 0: the video is saved; 1: something failed; 2: wrong usage.
    """
    import httpx

    from fake_server.server import FakeServer
    from kling_contract.client import Client, Generation
    from kling_contract.reports import render
    from kling_contract.validation import validate
    from kling_contract.violation import FileResult

    contract = Contract.load()
    fake = FakeServer(contract=contract)
    photograph = PHOTOGRAPH.read_bytes()
    seen: list[str] = []

    def progress(generation: Generation, seconds: float) -> None:
        if not seen or seen[-1] != generation.status:
            seen.append(generation.status)
            click.echo(f"  {seconds:5.0f} s  {generation.status}")

    click.echo(f"A photograph ({len(photograph):,} bytes) and a prompt, sent to a fake Kling of {contract.revision}:")
    with httpx.Client(transport=fake.transport()) as http:
        client = Client("no-key-needed", http=http, clock=fake.clock, contract=contract)
        generation = client.generate(image=photograph, prompt=PROMPT, duration=5, on_progress=progress)
        path = client.download(generation, output)
    click.echo(f"  bill     {fake.ledger.booked:,.0f} {fake.ledger.unit} would have been booked")
    click.echo(f"  journal  {len(fake.journal)} exchanges, without any waiting")
    click.echo(f"  saved    {path} ({path.stat().st_size:,} bytes)")
    click.echo()
    wrong = {"model": contract.model, **MISTAKES}
    click.echo("And a payload with three mistakes, found before it is paid for:")
    click.echo(render([FileResult("mistakes.json", validate(wrong, contract=contract))], "text"))
