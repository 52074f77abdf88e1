"""`kling-contract serve`: the fake server on a real port, for programs in any language."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kling_contract.cli import options

if TYPE_CHECKING:
    from fake_server.adapters.listen import BaseURL
    from fake_server.server import FakeServer
    from fake_server.service.service import Progression
    from kling_contract.violation import Strictness

__all__ = ["command"]

_MEGABYTE = 2**20


class _Number(click.FloatRange):
    """A number in a range. Refuses NaN, which click accepts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Respond to creates and polls as in this HTTP Archive, which `record` writes.",
)
@click.option("--tls", is_flag=True, help="Serve https, with a temporary certificate.")
@options.scenario
@click.option(
    "--progression",
    type=click.Choice(["time", "immediate", "polls"]),
    default="time",
    show_default=True,
    help="What moves a generation on. immediate: it has ended at the first poll. polls: each poll is one step.",
)
@click.option(
    "--rate",
    type=_Number(0, 1e9),
    default=60.0,
    show_default=True,
    help="Virtual seconds per real second. With 0 the time moves only by POST /_fake/clock.",
)
@options.strictness
@options.revision
@options.model("Model of payloads that name none, with --strictness off. All models are served.")
@click.option("--api-key", metavar="KEY", envvar="KLING_FAKE_API_KEY", help="Accept only this API key, instead of any.")
@options.seed("The same seed gives the same generation ids.", default=0)
@click.option(
    "--body-limit",
    type=_Number(0, 4096, min_open=True),
    metavar="MB",
    default=32.0,
    show_default=True,
    help="Most megabytes that the body of a request may have.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep generations, ledger and time in this file, and continue from it next time.",
)
@click.option(
    "--log", is_flag=True, help="Log each request on standard error, with its response and what was wrong with it."
)
@click.option("--no-control", is_flag=True, help="Do not serve the control API, /_fake/.")
def command(
    host: str,
    port: int,
    replay: Path | None,
    tls: bool,
    scenario: str,
    progression: Progression,
    rate: float,
    strictness: Strictness,
    revision: str | None,
    model: str | None,
    api_key: str | None,
    seed: int,
    body_limit: float,
    state: Path | None,
    log: bool,
    no_control: bool,
) -> None:
    """Run the fake server on a real port until Ctrl-C.

    Point a program at it by changing its base URL from the API's to the one printed here. Nothing is billed, nothing
    leaves this machine, and image links are never fetched.

    Exit code 0: it was ended; 2: wrong usage, or it cannot listen there.
    """
    import os
    import sys
    import tempfile

    from fake_server.adapters.asgi import app
    from fake_server.adapters.control import ControlApi
    from fake_server.adapters.listen import serve
    from fake_server.adapters.nonblocking_stream import NonBlockingStream
    from fake_server.journal.text import line
    from fake_server.messages import Exchange
    from fake_server.server import FakeServer
    from kling_contract.clock import VirtualClock
    from kling_contract.hosts import is_loopback

    def closed(reason: str) -> None:
        # Without a buffer: the end of the process would wait for it if standard output is blocked as well.
        said = f"kling-contract: nothing more is logged, since standard error cannot be written: {reason}\n"
        with contextlib.suppress(OSError):
            os.write(sys.stdout.fileno(), said.encode())

    def written(exchange: Exchange) -> None:
        errors.write(f"{line(exchange)}\n")

    fake = FakeServer(
        revision=revision,
        model=model,
        scenario=scenario,
        progression=progression,
        strictness=strictness,
        clock=VirtualClock(rate=rate),
        api_key=api_key,
        seed=seed,
        body_limit=int(body_limit * _MEGABYTE),
        state=state,
        replay=replay,
        on_exchange=written if log else None,
    )

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kling-contract-"))
        # sys.stderr is None where the process was started without one.
        stream = sys.stderr or stack.enter_context(Path(os.devnull).open("w"))
        errors = stack.enter_context(NonBlockingStream(stream.fileno(), on_closed=closed))
        stack.enter_context(contextlib.redirect_stderr(errors))  # the web server writes there, too
        handle = fake.handle if no_control else ControlApi(fake, host=host).handle
        application = app(handle, body_limit=fake.body_limit, clock=fake.clock)

        def ready(url: BaseURL) -> None:
            _introduce(fake, url, rate, replay)
            if url.ca_pem is not None:
                trusted = Path(folder) / "ca.pem"
                trusted.write_text(url.ca_pem)
                click.echo(
                    f"  trust       {trusted}  (curl --cacert, SSL_CERT_FILE, REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS)"
                )
            if state is not None:
                click.echo(f"  state       {state}: {len(fake.generations):,} generations restored")
            if not no_control:
                click.echo(f"  control     {url}/_fake/health")
            if not is_loopback(host):
                errors.write(f"kling-contract: warning: {host} can be reached from other machines\n")

        try:
            serve(application, host=host, port=port, tls=tls, on_ready=ready)
        finally:
            fake.close()


def _introduce(fake: FakeServer, url: str, rate: float, replay: Path | None) -> None:
    click.echo(f"fake Kling server ready on {url}  (Ctrl-C ends it)")
    click.echo(f"  revision    {fake.contract.revision}, {fake.strictness}")
    for operation in fake.contract.operations.values():
        click.echo(f"  {operation.method:<11} {url}{operation.path}")
    if replay is not None:
        click.echo(f"  replay      {replay}, {rate:g} of its seconds per second here")
        return
    steps = fake.scenario.timeline_under(fake.contract).steps
    end = steps[-1]
    if fake.progression == "immediate":
        course = f"{end.status} at the first poll"
    elif fake.progression == "polls":
        course = f"{end.status} at poll {len(steps)}"
    elif rate:
        course = f"{end.status} after {end.at:g} s, which is {end.at / rate:.1f} s here"
    else:
        course = f"{end.status} after {end.at:g} s; time stands still (rate 0)"
    click.echo(f"  scenario    {fake.scenario.name}: {course}")
