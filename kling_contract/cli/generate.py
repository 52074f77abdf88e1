"""`kling-contract generate`: makes one video, on the embedded fake or, when told so, on the live service."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from kling_contract.cli import options
from kling_contract.client import Client
from kling_contract.client.calls import IMAGE, completed
from kling_contract.client.client import Generation
from kling_contract.contract import Contract
from kling_contract.jsontext.parser import InvalidJson, parse
from kling_contract.redaction import KEY_VARIABLE
from kling_contract.validation import validate
from kling_contract.violation import Severity, Strictness, failing

__all__ = ["Shown", "command", "embedded", "save"]


@click.command("generate")
@click.argument("payload", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--image", metavar="FILE|URL", help="First frame: a local picture, a link, or a data URI.")
@click.option("--prompt", metavar="TEXT", help="What should happen.")
@click.option("--duration", type=int, metavar="SECONDS", help="Length of the video.")
@click.option(
    "--field",
    "fields",
    metavar="NAME=VALUE",
    multiple=True,
    help="Any other field; the value is JSON, or else text. Repeatable.",
)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Where to save the video.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long to wait at most. Default: as documented.",
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

    PAYLOAD is a JSON file (- for standard input); options override its fields. What is wrong with it is told before
    anything is sent; if it is of the severity --fail-on or worse, nothing is sent. Without --live everything happens in this
    process, on the fake server's virtual clock: no network, no key, no waiting, no cost.
    """
    given = _read_payload(payload)
    named = dict(_field(text) for text in fields)
    if image is not None:
        if IMAGE in named:
            raise click.UsageError(f"give --image or --field {IMAGE}=…, not both")
        given.pop(IMAGE, None)
    given |= {name: value for name, value in {"prompt": prompt, "duration": duration}.items() if value is not None}
    given |= named
    if not given and image is None:
        raise click.UsageError("nothing to generate from: give a payload file, or --image and --prompt")
    contract = Contract.load(revision)
    shown = Shown(real_time=live)
    with _live(contract, strictness, fail_on) if live else embedded(contract, scenario, strictness, fail_on) as client:
        body = completed(given, image, {}, contract=contract)
        violations = validate(body, contract=contract, strictness=strictness)
        if not any(violation.severity in failing(fail_on) for violation in violations):  # else the client refuses it
            for violation in violations:
                click.echo(f"kling-contract: {violation.severity} {violation}", err=True)
        with shown:
            generation = client.generate(body, timeout=timeout, on_progress=shown.progress)
            shown.stop()
            _tell(contract, body, generation, live=live)
            if output is not None:
                save(client, generation, output)


@contextmanager
def embedded(contract: Contract, scenario: str, strictness: Strictness, fail_on: Severity) -> Iterator[Client]:
    """Give a client whose every call ends in a fake server of this process, on a clock that both share."""
    import httpx

    from fake_server.server import FakeServer

    fake = FakeServer(contract=contract, scenario=scenario, strictness=strictness)
    with (
        httpx.Client(transport=fake.transport()) as http,
        Client(
            "embedded-fake",
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


class Shown:
    """Shows each new status on a terminal as it is seen, with a spinner between two looks in real time. Silent in pipes."""

    def __init__(self, *, real_time: bool = False) -> None:
        from rich.console import Console
        from rich.status import Status

        self._console = Console(stderr=True, highlight=False)
        self._seen: str | None = None
        self._id: str | None = None
        self._status = Status("sending…", console=self._console) if real_time and self._console.is_terminal else None

    def __enter__(self) -> Shown:
        if self._status:
            self._status.start()
        return self

    def progress(self, generation: Generation, seconds: float) -> None:
        """Say where a generation is after so many seconds."""
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
                f"kling-contract: generation {self._id} goes on at the service, and is billed when it ends",
                err=True,
            )


def save(client: Client, generation: Generation, output: Path) -> None:
    """Download the video and say so."""
    path = client.download(generation, output)
    click.echo(f"saved {path} ({path.stat().st_size:,} bytes)")


def _tell(contract: Contract, body: Mapping[str, Any], generation: Generation, *, live: bool) -> None:
    click.echo(f"generation {generation.id}: {generation.status}")
    if live:
        if generation.video and generation.video.url:
            click.echo(f"video {generation.video.url}")
        return
    seconds = contract.video_seconds(body)
    price = f"{contract.price(seconds):,.0f} {contract.observed.price.unit}"
    click.echo(f"{seconds:g} s of video would have cost {price}; on the embedded fake nothing is billed")


def _read_payload(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    text = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    try:
        value = parse(text)
    except InvalidJson as bad:
        raise click.UsageError(f"{path}:{bad.line}:{bad.column}: {bad.reason}") from bad
    if not isinstance(value, dict):
        raise click.UsageError(f"{path}: a payload is a JSON object, not {type(value).__name__}")
    value.pop("$schema", None)  # for editors; it is not part of what is sent
    return value


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--field {text}: write it as NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
