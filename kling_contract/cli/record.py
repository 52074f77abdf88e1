"""`kling-contract record`: a proxy in front of the API that judges what passes and writes it down."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from kling_contract.cli import options
from kling_contract.violation import Violation

if TYPE_CHECKING:
    from fake_server.messages import Exchange
    from fake_server.recording.recorder import Recording
    from fake_server.recording.traffic import ExchangeValidator

__all__ = ["command"]


@click.command("record")
@click.option(
    "--upstream", metavar="URL", required=True, help="Where to forward to: scheme and host, and a port if any."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port to listen on, for this machine only; 0 takes a free one.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("session.har"),
    show_default=True,
    help="The HTTP Archive to write when it ends.",
)
@options.revision
@click.pass_context
def command(ctx: click.Context, upstream: str, port: int, output: Path, revision: str | None) -> None:
    """Forward to one upstream, judge both directions, and record them until Ctrl-C.

    Point a program at the URL printed here instead of at the API. What it sends and gets passes unchanged, and is billed if
    the upstream bills; what breaks the contract is printed as it passes. Keys are never written down. Downloads of videos
    do not pass here: answers are left as they are, and with them the links in them.

    Exit code 0: what passed kept the contract; 1: it did not, or the recording could not be kept; 2: wrong usage.
    """
    from fake_server.adapters.listen import serve
    from fake_server.recording.proxy import Proxy, origin_of
    from fake_server.recording.recorder import Recording
    from fake_server.recording.traffic import ExchangeValidator
    from kling_contract.contract import Contract
    from kling_contract.hosts import is_loopback

    try:
        target = urlsplit(origin_of(upstream))
        if port and target.port == port and is_loopback(target.hostname or ""):
            raise ValueError(f"{upstream} is where this proxy is to listen itself: choose another --port")
    except ValueError as wrong:
        raise click.BadParameter(str(wrong), param_hint="--upstream") from wrong
    contract = Contract.load(revision)
    color = sys.stdout.isatty() if ctx.color is None else ctx.color
    witness = _Witness(ExchangeValidator(contract), Recording(output), color=color)
    proxy = Proxy(upstream, witness.take)

    def ready(url: str) -> None:
        click.echo(f"recording proxy ready on {url}  (Ctrl-C ends it)")
        click.echo(f"  upstream    {proxy.upstream}")
        click.echo(f"  revision    {contract.revision}")
        click.echo(f"  output      {output}, when it ends")

    try:
        serve(proxy, port=port, on_ready=ready)
    finally:
        code = witness.end()
    ctx.exit(code)


class _Witness:
    """Judges what passes, says what is wrong with it, and writes it down."""

    def __init__(self, judge: ExchangeValidator, recording: Recording, *, color: bool) -> None:
        self._judge = judge
        self._recording = recording
        self._color = color
        self._found: Counter[str] = Counter()
        self._unwritten = False

    def take(self, exchange: Exchange) -> None:
        """Validate, record and show one exchange. Nothing that fails here stops the traffic."""
        from fake_server.recording.traffic import title
        from kling_contract import reports
        from kling_contract.reports import FileResult

        violations = self._judge.judge(exchange)
        if exchange.failure is not None:
            lost = Violation("", "answer", exchange.failure, "warning", part="response")
            violations = (*(each for each in violations if each.rule != lost.rule), lost)
        kept = self._recording.without_keys(replace(exchange, violations=violations))
        self._found.update(each.severity for each in violations)
        try:
            self._recording.add(kept)
        except OSError as full:
            if not self._unwritten:
                _say(f"kling-contract: {full.strerror}: from here on not everything is recorded", err=True)
            self._unwritten = True
        *lines, _ = reports.lines([FileResult(title(kept), kept.violations)], "text", color=self._color)
        for line in lines:
            _say(line)

    def end(self) -> int:
        """Keep the recording, say so, and return the exit code."""
        passed, path = self._recording.exchanges, self._recording.path
        kept = self._recording.keep()
        if kept:
            found = [f"{count} {severity}{'s' * (count > 1)}" for severity, count in sorted(self._found.items())]
            _say(f"{passed} exchanges in {path}; {', '.join(found) or 'nothing was wrong'}")
        elif passed:
            _say(
                f"kling-contract: a key stood in the recording, in a place where it was no key yet: {path} is not kept",
                err=True,
            )
        else:
            _say(f"nothing passed, so there is no {path}")
        return 1 if self._found["error"] or self._unwritten or (passed and not kept) else 0


def _say(line: str, *, err: bool = False) -> None:
    with contextlib.suppress(OSError):  # that nobody reads any more ends no recording
        click.echo(line, err=err)
