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
    """A number in a range. NaN is in none, though click takes it."""

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
    help="Answer creates and polls as in this HTTP Archive, as `record` writes them.",
)
@click.option("--tls", is_flag=True, help="Serve https, under a throw-away certificate. Needs trustme.")
@options.scenario
@click.option(
    "--progression",
    type=click.Choice(["time", "immediate", "polls"]),
    default="time",
    show_default=True,
    help="What moves a generation: time, nothing (it has ended at the first poll), or each poll by one step.",
)
@click.option(
    "--rate",
    type=_Number(0, 1e9),
    default=60.0,
    show_default=True,
    help="Virtual seconds that pass in each real one; with 0 only POST /_fake/clock moves the time.",
)
@options.strictness
@options.revision
@click.option("--api-key", metavar="KEY", envvar="KLING_FAKE_API_KEY", help="The only key to take, instead of any.")
@click.option("--seed", type=int, default=0, show_default=True, help="What generation ids are drawn from.")
@click.option(
    "--body-limit",
    type=_Number(0, 4096, min_open=True),
    metavar="MB",
    default=32.0,
    show_default=True,
    help="Megabytes that the body of a request may have.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep generations, ledger and time in this file, and go on from there next time.",
)
@click.option(
    "--log", is_flag=True, help="Say on standard error what each request was answered, and what was wrong with it."
)
@click.option("--no-control", is_flag=True, help="Serve nothing under /_fake/, where the fake is steered and asked.")
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
        there = sys.stderr or stack.enter_context(Path(os.devnull).open("w"))
        errors = stack.enter_context(NonBlockingStream(there.fileno(), on_closed=closed))
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
                click.echo(f"  state       {state}: {len(fake.generations):,} generations from before")
            if not no_control:
                click.echo(f"  control     {url}/_fake/health")
            if not is_loopback(host):
                errors.write(f"kling-contract: warning: {host} can be reached from other machines\n")

        try:
            serve(application, host=host, port=port, tls=tls, on_ready=ready)
        except ModuleNotFoundError as missing:
            raise click.UsageError(str(missing)) from missing
        finally:
            fake.close()


def _introduce(fake: FakeServer, url: str, rate: float, replay: Path | None) -> None:
    click.echo(f"fake Kling server ready on {url}  (Ctrl-C ends it)")
    click.echo(f"  revision    {fake.contract.revision}, {fake.strictness}")
    for operation in fake.contract.operations.values():
        click.echo(f"  {operation.method:<11} {url}{operation.path}")
    if replay is not None:
        click.echo(f"  replay      {replay}, {rate:g} of its seconds in each one here")
        return
    steps = fake.scenario.timeline_under(fake.contract).steps
    end = steps[-1]
    if fake.progression == "immediate":
        goes = f"{end.status} at the first poll"
    elif fake.progression == "polls":
        goes = f"{end.status} at poll {len(steps)}"
    elif rate:
        goes = f"{end.status} after {end.at:g} s, which take {end.at / rate:.1f} s here"
    else:
        goes = f"{end.status} after {end.at:g} s; time stands still (rate 0)"
    click.echo(f"  scenario    {fake.scenario.name}: {goes}")
