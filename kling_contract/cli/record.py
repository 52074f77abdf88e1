"""`kling-contract record`: a proxy in front of the API that judges what passes and writes it down."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
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
    recording = Recording(output)
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(_unblocked(sys.stderr))
        lines = stack.enter_context(_unblocked(sys.stdout, errors))
        session = RecordingSession(ExchangeValidator(contract), recording, lines, errors, color=color)
        proxy = Proxy(upstream, session.on_exchange)

        def ready(url: str) -> None:
            click.echo(
                f"recording proxy ready on {url}  (Ctrl-C ends it)\n"
                f"  upstream    {proxy.upstream}\n"
                f"  revision    {contract.revision}\n"
                f"  output      {output}, when it ends"
            )

        try:
            with contextlib.redirect_stderr(errors):  # the web server writes there, too
                serve(proxy, port=port, on_ready=ready)
        finally:
            code = session.end()
    ctx.exit(code)


@contextlib.contextmanager
def _unblocked(standard: TextIO | None, errors: TextIOBase | None = None) -> Iterator[TextIOBase]:
    """Open a stream on standard output or error that keeps no exchange waiting. `errors` is told when nobody reads it."""
    from fake_server.adapters.nonblocking_stream import NonBlockingStream

    def closed(reason: str) -> None:
        if errors is not None:
            errors.write(
                f"kling-contract: nothing more is printed, since standard output cannot be written: {reason}\n"
            )

    with contextlib.ExitStack() as stack:
        # A standard stream is None if the process was started without it.
        there = standard or stack.enter_context(Path(os.devnull).open("w"))
        there.flush()
        yield stack.enter_context(NonBlockingStream(there.fileno(), on_closed=closed))


class RecordingSession:
    """Validates each exchange that passes the proxy, prints its violations, and records it."""

    def __init__(
        self, validator: ExchangeValidator, recording: Recording, lines: TextIOBase, errors: TextIOBase, *, color: bool
    ) -> None:
        self._validator = validator
        self._recording = recording
        self._lines = lines
        self._errors = errors
        self._color = color
        self._found: Counter[str] = Counter()
        self._unwritten = False

    def on_exchange(self, exchange: Exchange) -> None:
        """Validate, record and print one exchange. A full disk, or output that nobody reads, stops no traffic."""
        from fake_server.recording.traffic import title
        from kling_contract import reports
        from kling_contract.reports import FileResult

        violations = self._validator.validate(exchange)
        if exchange.failure is not None:
            lost = Violation("", "unchecked", exchange.failure, "warning", part="response")
            violations = (*(violation for violation in violations if violation.rule != lost.rule), lost)
        kept = self._recording.without_keys(replace(exchange, violations=violations))
        self._found.update(violation.severity for violation in violations)
        try:
            self._recording.add(kept)
        except OSError as full:
            if not self._unwritten:
                self._errors.write(f"kling-contract: {full.strerror}: from here on not everything is recorded\n")
            self._unwritten = True
        *lines, _ = reports.lines([FileResult(title(kept), kept.violations)], "text", color=self._color)
        self._lines.write("".join(f"{line}\n" for line in lines))

    def end(self) -> int:
        """Keep the recording, say so, and return the exit code."""
        passed, path = self._recording.exchanges, self._recording.path
        kept = self._recording.keep()
        if kept:
            found = [f"{count} {severity}{'s' * (count > 1)}" for severity, count in sorted(self._found.items())]
            self._lines.write(f"{passed} exchanges in {path}; {', '.join(found) or 'nothing was wrong'}\n")
        elif passed:
            self._errors.write(
                f"kling-contract: an API key was recorded before it was known to be one; {path} was discarded\n"
            )
        else:
            self._lines.write(f"nothing passed, so there is no {path}\n")
        return 1 if self._found["error"] or self._unwritten or (passed and not kept) else 0
