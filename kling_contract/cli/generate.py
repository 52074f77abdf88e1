"""`kling-contract generate`: makes one video, on a fake in this process or, with --live, on the live service."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from kling_contract.cli import options
from kling_contract.client import Client, Generation
from kling_contract.client.fields import IMAGE, build_payload
from kling_contract.contract import Contract
from kling_contract.contract.family import contract_for
from kling_contract.contract.operation import MODEL
from kling_contract.errors import InvalidJson
from kling_contract.jsontext.parser import parse
from kling_contract.redaction import KEY_VARIABLE
from kling_contract.validation import validate
from kling_contract.violation import Severity, Strictness, failing

__all__ = ["command"]


@click.command("generate")
@click.argument("payload", required=False, type=click.Path(path_type=Path, allow_dash=True))
@options.model("Model that makes the video. Default: that of the revision.")
@click.option("--image", metavar="FILE|URL", help="First frame: a local image, a link, or a data URI.")
@click.option("--prompt", metavar="TEXT", help="What should happen.")
@click.option("--duration", type=int, metavar="SECONDS", help="Length of the video.")
@click.option(
    "--field",
    "fields",
    metavar="NAME=VALUE",
    multiple=True,
    help="Any other field; the value is JSON, or else text. May be repeated.",
)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Where to save the video.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Longest time to wait. Default: as documented.",
)
@click.option(
    "--live",
    is_flag=True,
    help=f"Call the real service, which costs money. The key comes from ${KEY_VARIABLE}.",
)
@options.scenario
@options.strictness
@options.fail_on
@options.revision
def command(
    payload: Path | None,
    model: str | None,
    image: str | None,
    prompt: str | None,
    duration: int | None,
    fields: tuple[str, ...],
    output: Path | None,
    timeout: float | None,
    live: bool,
    scenario: str,
    strictness: Strictness,
    fail_on: Severity,
    revision: str | None,
) -> None:
    """Make a video: validate, create, poll to the end, download.

    PAYLOAD is a JSON file (- for standard input); options override its fields. Everything that is wrong with it is printed
    before anything is sent; if any of it is of the severity --fail-on or worse, nothing is sent. Without --live everything
    happens in this process, on the fake server's virtual clock: no network, no key, no waiting, no cost.

    Exit code 0: the video is made; 1: the payload is refused, or the generation or the download failed; 2: wrong usage, or a
    file that cannot be read.
    """
    given = _read_payload(payload)
    named = dict(_field(text) for text in fields)
    if image is not None:
        if IMAGE in named:
            raise click.UsageError(f"give --image or --field {IMAGE}=…, not both")
        given.pop(IMAGE, None)
    options_given = {MODEL: model, "prompt": prompt, "duration": duration}
    given |= {name: value for name, value in options_given.items() if value is not None}
    given |= named
    if not given and image is None:
        raise click.UsageError("there is no payload: give a file, or --image and --prompt")
    contract = Contract.load(revision)
    if model is not None and contract_for(contract, model) is None:
        contract.for_model(model)  # raises UnknownModel, with the nearest
    display = _ProgressDisplay(real_time=live)
    with (
        _live(contract, strictness, fail_on)
        if live
        else client_on_fake(contract, scenario, strictness, fail_on) as client
    ):
        body = build_payload(given, image, {}, contract=contract)
        violations = validate(body, contract=contract, strictness=strictness)
        if not any(violation.severity in failing(fail_on) for violation in violations):  # else the client refuses it
            for violation in violations:
                click.echo(f"kling-contract: {violation.severity} {violation}", err=True)
        with display:
            generation = client.generate(body, timeout=timeout, on_progress=display.progress)
            display.stop()
            _print_result(contract_for(contract, str(body.get(MODEL))), body, generation, live=live)
            if output is not None:
                _save(client, generation, output)


@contextmanager
def client_on_fake(contract: Contract, scenario: str, strictness: Strictness, fail_on: Severity) -> Iterator[Client]:
    """Yield a client of a fake server in this process, on a clock that both share."""
    import httpx

    from fake_server.server import FakeServer

    fake = FakeServer(contract=contract, scenario=scenario, strictness=strictness)
    with (
        httpx.Client(transport=fake.transport()) as http,
        Client(
            "key-for-the-fake",
            http=http,
            clock=fake.clock,
            contract=contract,
            strictness=strictness,
            fail_on=fail_on,
        ) as client,
    ):
        yield client


@contextmanager
def _live(contract: Contract, strictness: Strictness, fail_on: Severity) -> Iterator[Client]:
    try:
        client = Client.from_env(contract=contract, strictness=strictness, fail_on=fail_on)
    except ValueError as unusable:
        raise click.UsageError(f"--live needs the API key: {unusable}") from unusable
    with client:
        yield client


class _ProgressDisplay:
    """Shows each new status on a terminal, with a spinner between polls in real time. Prints nothing into pipes."""

    def __init__(self, *, real_time: bool = False) -> None:
        from rich.console import Console
        from rich.status import Status

        self._console = Console(stderr=True, highlight=False)
        self._seen: str | None = None
        self._id: str | None = None
        self._status = Status("sending…", console=self._console) if real_time and self._console.is_terminal else None

    def __enter__(self) -> _ProgressDisplay:
        if self._status:
            self._status.start()
        return self

    def progress(self, generation: Generation, seconds: float) -> None:
        """Show the status of a generation `seconds` after the wait began."""
        self._id = generation.id
        if self._status:
            self._status.update(f"{generation.status}, {seconds:.0f} s")
        if generation.status != self._seen and self._console.is_terminal:
            self._console.print(f"{seconds:6.0f} s  [bold]{generation.status}[/bold]")
        self._seen = generation.status

    def stop(self) -> None:
        """End the spinner."""
        if self._status:
            self._status.stop()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is KeyboardInterrupt and self._id:
            click.echo(
                f"kling-contract: generation {self._id} continues at the service, and is billed when it ends",
                err=True,
            )


def _save(client: Client, generation: Generation, output: Path) -> None:
    path = client.download(generation, output)
    click.echo(f"saved {path} ({path.stat().st_size:,} bytes)")


def _print_result(contract: Contract | None, body: Mapping[str, Any], generation: Generation, *, live: bool) -> None:
    """Print how it ended, and its price by the contract of its model (None: no revision knows the model)."""
    click.echo(f"generation {generation.id}: {generation.status}")
    if live:
        if generation.video and generation.video.url:
            click.echo(f"video {generation.video.url}")
        return
    if contract is None:
        click.echo("nobody knows this model and its price; the fake bills nothing")
        return
    seconds = contract.video_seconds(body)
    amount = contract.price(seconds)
    price = "a price that nobody has published" if amount is None else f"{amount:,.0f} {contract.observed.price.unit}"
    click.echo(f"{seconds:g} s of video would have cost {price}; the fake bills nothing")


def _read_payload(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    text = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    try:
        value = parse(text)
    except InvalidJson as invalid:
        raise click.UsageError(f"{path}:{invalid.line}:{invalid.column}: {invalid.reason}") from invalid
    if not isinstance(value, dict):
        raise click.UsageError(f"{path}: a payload is a JSON object, not {type(value).__name__}")
    value.pop("$schema", None)  # for editors; it is not sent
    return value


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--field {text}: write it as NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
