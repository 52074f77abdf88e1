"""`kling-contract run`: any program, unchanged, against a fake that it takes for the API."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import click

from kling_contract.cli import options
from kling_contract.cli.fake_options import Number, fake_options
from kling_contract.cli.program_options import FAILED, isolation, program_options

if TYPE_CHECKING:
    from fake_server.programs.child import Isolate
    from fake_server.programs.faked import Faked
    from fake_server.programs.run_report import FailOn

__all__ = ["command"]

_REPORTS = ("text", "json", "github", "sarif", "junit", "har")
_NOT_STARTED = (126, 127)  # as in a shell: there is no such program, or it cannot be executed
_TAIL = 10_000  # bytes of standard error in which the last line of a program is looked for

Time = Literal["fast", "rate", "polls"]


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.argument("program", nargs=-1, required=True, metavar="-- CMD [ARGS]…", type=click.UNPROCESSED)
@click.option(
    "--time",
    "time_",
    type=click.Choice(["fast", "rate", "polls"]),
    default="fast",
    show_default=True,
    help="fast: the waits of Python and Node programs move the fake's clock. rate: it runs --rate times as fast as real "
    "time. polls: each poll is one step, whatever the time.",
)
@click.option(
    "--rate",
    type=Number(0, 1e9, min_open=True),
    default=60.0,
    show_default=True,
    help="Virtual seconds per real second, with --time rate or polls.",
)
@click.option(
    "--settle",
    type=Number(0, 10_000, min_open=True),
    metavar="MS",
    default=5.0,
    show_default=True,
    help="Milliseconds for which a program must do nothing but wait before the clock moves, with --time fast.",
)
@program_options
@click.option("--exercise", is_flag=True, help="Run the program once in each scenario, and print how each run ended.")
@fake_options
@options.report_among(_REPORTS)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "escape"]),
    multiple=True,
    help=f"End with {FAILED} if the program ends with 0 and this happened: a request that broke the contract, one that was "
    "tolerated, or a connection to another host. May be repeated.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print no summary, and no line about refused connections.")
@click.pass_context
def command(
    ctx: click.Context,
    program: tuple[str, ...],
    time_: Time,
    rate: float,
    settle: float,
    isolate: Isolate,
    allow: list[tuple[str, int]],
    publish: tuple[int, ...],
    exercise: bool,
    fake: dict[str, Any],
    log: bool,
    no_control: bool,
    report_files: list[tuple[str, Path]],
    fail_on: tuple[FailOn, ...],
    quiet: bool,
) -> None:
    """Run any program, unchanged, against a fake of the API: no edit, no key, no cost, no waiting.

    \b
      kling-contract run -- python bot.py
      kling-contract run -- npm test
      kling-contract run --exercise -- node bot.mjs

    The program's requests to the API end in the fake, and its waits move the fake's clock. Where Linux permits it, no
    other host can be reached at all. Containers that the program starts are not reached.

    Exit code: that of the program, and as in a shell 127 if there is none, 126 if it cannot be executed, and 128 plus the
    signal that ended it; 90: see --fail-on, or a report could not be written; 2: wrong usage, or it cannot be run like
    this. With --exercise 1 if a run created twice or never stopped, else 0.
    """
    from fake_server.programs.faked import Faked

    if time_ == "polls":
        fake["progression"] = "polls"
    _, *outputs = options.open_outputs(ctx, "text", report_files)
    faked = Faked(
        program,
        os.environ,
        follows=time_ == "fast",
        settle=settle / 1000,
        control=not no_control,
        isolate=isolate,
        publish=publish,
    )
    rated = None if time_ == "fast" else rate
    with _written_on_standard_error() as write:
        if exercise:
            code = _exercise(faked, fake, rated, allow, write)
        else:
            code = _run(faked, fake, rated, allow, outputs, fail_on, write, log=log, quiet=quiet, color=ctx.color)
    ctx.exit(code)


def _run(
    faked: Faked,
    fake: Mapping[str, Any],
    rate: float | None,
    allow: Sequence[tuple[str, int]],
    outputs: Sequence[options.Output],
    fail_on: Sequence[FailOn],
    write: Callable[[str], None],
    *,
    log: bool,
    quiet: bool,
    color: bool | None,
) -> int:
    from fake_server.journal.text import line
    from fake_server.programs import run_report
    from fake_server.programs.faked import clock_of
    from fake_server.programs.program import Others
    from fake_server.programs.summary import Summary
    from fake_server.server import FakeServer

    def say(text: str) -> None:
        write(f"kling-contract: {text}")

    others = Others(allow, (lambda _: None) if quiet else say)
    on_exchange = (lambda exchange: write(line(exchange))) if log else None
    with contextlib.closing(FakeServer(**fake, clock=clock_of(rate), on_exchange=on_exchange)) as server:
        restored = frozenset(server.generations)
        ended = faked.run(server, others, say=say)
        summary = Summary.of(
            server, escapes=others.escapes, isolation=isolation(ended, others.allowed), restored=restored
        )
        if not quiet and not (ended.code in _NOT_STARTED and not summary.exchanges):  # one line has said it
            write(summary.text(color=sys.stderr.isatty() if color is None else color))
        reported = options.write_reports(
            outputs, lambda report: run_report.lines(server, summary, report.format, fail_on=fail_on)
        )
    return FAILED if ended.code == 0 and (run_report.fails(summary, fail_on) or not reported) else ended.code


def _exercise(
    faked: Faked,
    fake: Mapping[str, Any],
    rate: float | None,
    allow: Sequence[tuple[str, int]],
    write: Callable[[str], None],
) -> int:
    """Run the program once in each scenario, and return 0 if none of the runs has a warning."""
    from fake_server.exercises import table
    from fake_server.programs.child import Streams
    from fake_server.programs.command_exercise import CommandRun, Watch, exercise_command
    from fake_server.programs.faked import clock_of
    from fake_server.programs.program import Others
    from fake_server.scenario.scenario import scenarios
    from kling_contract.cli.progress import progress

    def run_once(scenario: str) -> CommandRun:
        watch = Watch(**{**fake, "scenario": scenario, "clock": clock_of(rate)})
        with contextlib.closing(watch.fake), tempfile.TemporaryFile() as errors:
            ended = faked.run(
                watch.fake,
                Others(allow, lambda _: None),
                say=lambda text: write(f"kling-contract: {scenario}: {text}"),
                streams=Streams(subprocess.DEVNULL, subprocess.DEVNULL, errors),
                during=watch.over,
            )
            return CommandRun(None if watch.stopped else ended.code, watch.seconds, watch.fake, _last_line(errors))

    with progress("exercising", len(scenarios())) as step:
        outcomes = exercise_command(run_once, on_outcome=lambda outcome: step(outcome.scenario))
    click.echo(table(outcomes))
    return 1 if any(outcome.warnings for outcome in outcomes) else 0


def _last_line(errors: IO[bytes]) -> str:
    """Return the last line that is not empty of what a program has written, without the keys in our environment."""
    from fake_server.programs.environment import KEY_VARIABLES
    from kling_contract.redaction import mask

    start = max(0, errors.seek(0, os.SEEK_END) - _TAIL)
    errors.seek(start)
    lines = errors.read().decode("utf-8", "replace").splitlines()
    whole = lines[1:] if start else lines  # of the first one there may be no more than half a key
    last = next((line.strip() for line in reversed(whole) if line.strip()), "")
    return mask(last, *(key for name in KEY_VARIABLES if (key := os.environ.get(name))))


@contextlib.contextmanager
def _written_on_standard_error() -> Iterator[Callable[[str], None]]:
    """Give a function that writes a line on standard error, and never blocks: the fake must go on answering."""
    from fake_server.adapters.nonblocking_stream import NonBlockingStream

    with contextlib.ExitStack() as stack:
        # sys.stderr is None where the process was started without one.
        stream = sys.stderr or stack.enter_context(Path(os.devnull).open("w"))
        stream.flush()
        errors = stack.enter_context(NonBlockingStream(stream.fileno(), on_closed=lambda _: None))

        def write(line: str) -> None:
            errors.write(f"{line}\n")

        yield write
