"""`kling-contract serve`: the fake server on a real port, for programs in any language."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kling_contract.cli.fake_options import Number, fake_options

if TYPE_CHECKING:
    from fake_server.adapters.listen import BaseURL
    from fake_server.server import FakeServer

__all__ = ["command"]


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--tls", is_flag=True, help="Serve https, with a temporary certificate.")
@fake_options
@click.option(
    "--rate",
    type=Number(0, 1e9),
    default=60.0,
    show_default=True,
    help="Virtual seconds per real second. With 0 the time moves only by POST /_fake/clock.",
)
def command(host: str, port: int, tls: bool, rate: float, fake: Mapping[str, Any], log: bool, no_control: bool) -> None:
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

    server = FakeServer(**fake, clock=VirtualClock(rate=rate), on_exchange=written if log else None)

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kling-contract-"))
        # sys.stderr is None where the process was started without one.
        stream = sys.stderr or stack.enter_context(Path(os.devnull).open("w"))
        errors = stack.enter_context(NonBlockingStream(stream.fileno(), on_closed=closed))
        stack.enter_context(contextlib.redirect_stderr(errors))  # the web server writes there, too
        handle = server.handle if no_control else ControlApi(server, host=host).handle
        application = app(handle, body_limit=server.body_limit, clock=server.clock)

        def ready(url: BaseURL) -> None:
            _introduce(server, url, rate, fake["replay"])
            if url.ca_pem is not None:
                trusted = Path(folder) / "ca.pem"
                trusted.write_text(url.ca_pem)
                click.echo(
                    f"  trust       {trusted}  (curl --cacert, SSL_CERT_FILE, REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS)"
                )
            if (state := fake["state"]) is not None:
                click.echo(f"  state       {state}: {len(server.generations):,} generations restored")
            if not no_control:
                click.echo(f"  control     {url}/_fake/health")
            if not is_loopback(host):
                errors.write(f"kling-contract: warning: {host} can be reached from other machines\n")

        try:
            serve(application, host=host, port=port, tls=tls, on_ready=ready)
        finally:
            server.close()


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
