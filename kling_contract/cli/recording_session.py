"""A recording session: what passes is validated, shown at once, and recorded, until it ends with the reports."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING

from kling_contract import reports
from kling_contract.cli import options
from kling_contract.cli.standard_streams import unblocked
from kling_contract.display import counted
from kling_contract.violation import FileResult, Severity, Strictness, Violation

if TYPE_CHECKING:
    from fake_server.messages import Exchange
    from fake_server.recording.recorder import Recording
    from fake_server.recording.traffic import ExchangeValidator
    from kling_contract.contract import Contract

__all__ = ["RecordingSession", "recording_session"]


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
    keys: Collection[str] = (),
) -> Iterator[RecordingSession]:
    """Record into `output` what passes while the context lasts, then finish it and write the reports to `outputs`.

    Violations are printed at once, on standard output, or on standard error if `aside`. `keys` are neither printed nor
    written, nor are those that requests are sent with. `color` is None for color on a terminal only. Raise OSError if the file
    cannot be made.
    """
    from fake_server.recording.recorder import Recording
    from fake_server.recording.traffic import ExchangeValidator

    archive = Recording(output, keys=keys)
    stream = sys.stderr if aside else sys.stdout
    colored = stream is not None and stream.isatty() if color is None else color
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(unblocked(sys.stderr))
        lines = errors if aside else stack.enter_context(unblocked(sys.stdout, errors))
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
                self.say(f"{full.strerror}: from here on not everything is recorded")
            self._complete = False
        *lines, _ = reports.lines([result], "text", color=self._color)
        self._lines.write("".join(f"{line}\n" for line in lines))

    def say(self, text: str) -> None:
        """Write a line on standard error."""
        self._errors.write(f"kling-contract: {text}\n")

    def end(self) -> bool:
        """Finish the recording, say where it is, and return whether it is complete."""
        count, path = self._recording.exchanges, self._recording.path
        if self._recording.keep():
            severities = Counter(found.severity for result in self.results for found in result.violations)
            found = [counted(number, severity) for severity, number in sorted(severities.items())]
            self._lines.write(f"{counted(count, 'exchange')} in {path}; {', '.join(found) or 'nothing is wrong'}\n")
            return self._complete
        if count:
            self.say(
                "an API key was recorded before it was known to be one, so the recording was deleted: "
                f"{path} is not written"
            )
            return False
        self._lines.write(f"nothing was recorded, so {path} is not written\n")
        return self._complete
