"""`kling-contract record`: a proxy in front of the API that validates and records what passes through it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import urlsplit

import click

from kling_contract import reports, violation
from kling_contract.cli import options
from kling_contract.display import counted
from kling_contract.violation import FileResult, Severity, Strictness, Violation

if TYPE_CHECKING:
    from fake_server.messages import Exchange
    from fake_server.recording.recorder import Recording
    from fake_server.recording.traffic import ExchangeValidator
    from kling_contract.contract import Contract

__all__ = ["RecordingSession", "command", "recording_session"]


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
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("session.har"),
    show_default=True,
    help="The HTTP Archive to write when it ends.",
)
@options.report
@options.fail_on
@options.strictness
@options.revision
@click.pass_context
def command(
    ctx: click.Context,
    upstream: str,
    port: int,
    output: Path,
    report_files: list[tuple[str, Path]],
    fail_on: Severity,
    strictness: Strictness,
    revision: str | None,
) -> None:
    """Forward to an upstream, validate requests and responses, and record them until Ctrl-C.

    Point a program at the URL printed here instead of at the API. Requests and responses are forwarded unchanged, and are
    billed if the upstream bills; violations are printed at once, and written to reports at the end. Keys are never written
    down. Downloads of videos are not recorded: the links in responses still lead to the media host.

    Exit code 0: nothing is wrong; 1: something is, of the severity --fail-on or worse, or the recording or a report could not
    be written; 2: wrong usage, or it cannot listen there.
    """
    from fake_server.adapters.listen import serve
    from fake_server.recording.proxy import Proxy, origin_of
    from kling_contract.contract import Contract
    from kling_contract.hosts import is_loopback

    try:
        target = urlsplit(origin_of(upstream))
        if port and target.port == port and is_loopback(target.hostname or ""):
            raise ValueError(f"{upstream} is where this proxy is to listen itself: choose another --port")
    except ValueError as wrong:
        raise click.BadParameter(str(wrong), param_hint="--upstream") from wrong
    contract = Contract.load(revision)
    _, *outputs = options.open_outputs(ctx, "text", report_files)
    with recording_session(
        output, outputs, contract=contract, strictness=strictness, fail_on=fail_on, color=ctx.color
    ) as session:
        proxy = Proxy(upstream, session.on_exchange)

        def ready(url: str) -> None:
            click.echo(
                f"recording proxy ready on {url}  (Ctrl-C ends it)\n"
                f"  upstream    {proxy.upstream}\n"
                f"  revision    {contract.revision}, {strictness}\n"
                f"  output      {output}, when it ends"
            )

        serve(proxy, port=port, on_ready=ready)
    ctx.exit(0 if session.kept and not session.found(violation.failing(fail_on)) else 1)


@contextlib.contextmanager
def recording_session(
    output: Path,
    outputs: Sequence[options.Output],
    *,
    contract: Contract,
    strictness: Strictness,
    fail_on: Severity,
    color: bool | None,
    aside: bool = False,
) -> Iterator[RecordingSession]:
    """Record into `output` what passes while the context lasts, then finish it and write the reports to `outputs`.

    Violations are printed at once, on standard output, or on standard error if `aside`. `color` is None for color on a terminal
    only. Raise OSError if the file cannot be made.
    """
    from fake_server.recording.recorder import Recording
    from fake_server.recording.traffic import ExchangeValidator

    archive = Recording(output)
    stream = sys.stderr if aside else sys.stdout
    colored = stream is not None and stream.isatty() if color is None else color
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(_unblocked(sys.stderr))
        lines = errors if aside else stack.enter_context(_unblocked(sys.stdout, errors))
        stack.enter_context(contextlib.redirect_stderr(errors))  # the web server writes there, too
        session = RecordingSession(
            ExchangeValidator(contract, strictness=strictness), archive, lines, errors, color=colored
        )
        try:
            yield session
        finally:
            recorded = session.end()
            reported = options.write_reports(
                outputs, lambda report: reports.lines(session.results, report.format, fail_on=fail_on)
            )
            session.kept = recorded and reported


@contextlib.contextmanager
def _unblocked(standard: TextIO | None, errors: TextIOBase | None = None) -> Iterator[TextIOBase]:
    """Open a stream on standard output or error to which writing never blocks. If its reader goes, `errors` says so."""
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
    """Validates each exchange, shows what is wrong with it, and records it.

    `results` are its exchanges, in order, with their violations. `kept` says, in the end, whether recording and reports are
    written and complete.
    """

    def __init__(
        self, validator: ExchangeValidator, recording: Recording, lines: TextIOBase, errors: TextIOBase, *, color: bool
    ) -> None:
        self.results: list[FileResult] = []
        self.kept = False
        self._validator = validator
        self._recording = recording
        self._lines = lines
        self._errors = errors
        self._color = color
        self._complete = True

    def found(self, severities: Collection[Severity]) -> bool:
        """Whether there is a violation of one of `severities`."""
        return any(found.severity in severities for result in self.results for found in result.violations)

    def on_exchange(self, exchange: Exchange) -> None:
        """Validate, record and show one exchange. Nothing that fails here stops the traffic."""
        from fake_server.recording.traffic import title

        violations = self._validator.validate(exchange)
        if exchange.failure is not None:
            lost = Violation("", "unchecked", exchange.failure, "warning", part="response")
            violations = (*(found for found in violations if found.rule != lost.rule), lost)
        recorded = self._recording.without_keys(replace(exchange, violations=violations))
        result = FileResult(title(recorded), recorded.violations)
        self.results.append(result)
        try:
            self._recording.add(recorded)
        except OSError as full:
            if self._complete:
                self._errors.write(f"kling-contract: {full.strerror}: from here on not everything is recorded\n")
            self._complete = False
        *lines, _ = reports.lines([result], "text", color=self._color)
        self._lines.write("".join(f"{line}\n" for line in lines))

    def end(self) -> bool:
        """Finish the recording, say where it is, and return whether it is complete."""
        count, path = self._recording.exchanges, self._recording.path
        if self._recording.keep():
            severities = Counter(found.severity for result in self.results for found in result.violations)
            found = [counted(number, severity) for severity, number in sorted(severities.items())]
            self._lines.write(f"{counted(count, 'exchange')} in {path}; {', '.join(found) or 'nothing is wrong'}\n")
            return self._complete
        if count:
            self._errors.write(
                "kling-contract: an API key was recorded before it was known to be one, so the recording was deleted: "
                f"{path} is not written\n"
            )
            return False
        self._lines.write(f"nothing was recorded, so {path} is not written\n")
        return self._complete
