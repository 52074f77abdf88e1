"""`kling-contract serve`: the fake server on a real port, for programs in any language."""

from __future__ import annotations

import ipaddress

import click

from kling_contract.commands import options

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
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Virtual seconds that pass in each real one.",
)
@click.option("--api-key", metavar="KEY", envvar="KLING_FAKE_API_KEY", help="The only key to take, instead of any.")
@click.option("--seed", type=int, default=0, show_default=True, help="What generation ids are drawn from.")
@options.scenario
@options.strictness
@options.revision
def command(
    host: str,
    port: int,
    rate: float,
    api_key: str | None,
    seed: int,
    scenario: str,
    strictness: str,
    revision: str | None,
) -> None:
    """Run the fake server on a real port until Ctrl-C.

    Point a program at it by changing its base URL from the API's to the one printed here. Nothing is billed, nothing
    leaves this machine, and image links are never fetched.
    """
    from pathlib import Path

    from fake_server.live import serve
    from fake_server.server import FakeServer
    from kling_contract.clock import VirtualClock

    fake = FakeServer(
        revision=revision,
        scenario=Path(scenario) if scenario.endswith(".json") else scenario,
        strictness=strictness,  # type: ignore[arg-type]  # click has checked it
        clock=VirtualClock(rate=rate),
        api_key=api_key,
        seed=seed,
    )

    def ready(url: str) -> None:
        ends = fake.scenario.timeline_under(fake.contract).final
        click.echo(f"fake Kling server ready on {url}  (Ctrl-C ends it)")
        click.echo(f"  revision    {fake.contract.revision}, {strictness}")
        for operation in fake.contract.operations.values():
            click.echo(f"  {operation.method:<11} {url}{operation.path}")
        if rate:
            click.echo(
                f"  scenario    {fake.scenario.name}: {ends.status} after {ends.at:g} s, which take {ends.at / rate:.1f} s here"
            )
        else:
            click.echo(f"  scenario    {fake.scenario.name}; time stands still (rate 0)")
        if not _loopback(host):
            click.echo(f"kling-contract: warning: {host} can be reached from other machines", err=True)

    serve(fake, host=host, port=port, on_ready=ready)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
