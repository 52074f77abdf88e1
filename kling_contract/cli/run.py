"""`kling-contract run`: any program, unchanged, against a fake that it takes for the API."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from kling_contract.cli import options
from kling_contract.cli.fake_options import Number, fake_options

if TYPE_CHECKING:
    from fake_server.adapters.pacer import Pacer
    from fake_server.programs.child import Isolate
    from fake_server.programs.program import Ended, Others
    from fake_server.programs.run_report import FailOn
    from fake_server.server import FakeServer

__all__ = ["command"]

_REPORTS = ("text", "json", "github", "sarif", "junit", "har")
_FAILED = 90  # no program ends with it by habit
_PATIENCE = 10.0  # real seconds after which it is said that a program does not follow the clock

Time = Literal["fast", "rate", "polls"]


def _places(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[tuple[str, int]]:
    """Read hosts and ports."""
    found = []
    for value in values:
        host, _, port = value.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
            raise click.BadParameter(f"{value!r}: write HOST:PORT, such as localhost:5432")
        found.append((host.removeprefix("[").removesuffix("]"), int(port)))
    return found


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
    help="Virtual seconds per real second, with --time rate.",
)
@click.option(
    "--settle",
    type=Number(0, 10_000, min_open=True),
    metavar="MS",
    default=5.0,
    show_default=True,
    help="Milliseconds for which a program must do nothing but wait before the clock moves, with --time fast.",
)
@click.option(
    "--isolate",
    type=click.Choice(["auto", "require", "off"]),
    default="auto",
    show_default=True,
    help="Run the program without any network but the fake (Linux). auto: where the system permits it.",
)
@click.option(
    "--allow",
    callback=_places,
    multiple=True,
    metavar="HOST:PORT",
    help="Let the program reach this place, too. May be repeated.",
)
@click.option(
    "--publish",
    type=click.IntRange(1, 65535),
    multiple=True,
    metavar="PORT",
    help="Let this machine reach a port of the isolated program. May be repeated.",
)
@click.option("--exercise", is_flag=True, help="Run the program once in each scenario, and print how each run ended.")
@fake_options
@options.report_among(_REPORTS)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "escape"]),
    multiple=True,
    help=f"End with {_FAILED} if the program ends with 0 and this happened: a request that broke the contract, one that was "
    "tolerated, or a connection to another host. May be repeated.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print no summary.")
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

    Exit code: that of the program; 127: there is no such program; 126: it cannot be executed; 90: see --fail-on; 2: wrong
    usage, or it cannot be run like this.
    """
    from fake_server.adapters.pacer import Pacer
    from fake_server.programs import run_report
    from fake_server.programs.program import Others, run_program
    from fake_server.programs.summary import Escape, Summary
    from fake_server.server import FakeServer
    from kling_contract.clock import VirtualClock
    from kling_contract.contract.family import hosts

    if time_ == "polls":
        fake["progression"] = "polls"
    _, *outputs = options.open_outputs(ctx, "text", report_files)
    if exercise:
        ctx.exit(_exercise(program, fake))
    with contextlib.ExitStack() as stack:
        said = stack.enter_context(_unblocked_stderr())
        say: Callable[[str], None] = (lambda _: None) if quiet else (lambda text: said(f"kling-contract: {text}"))
        clock = VirtualClock(rate=rate if time_ == "rate" else 1.0)
        server = FakeServer(**fake, clock=clock, on_exchange=_logged(said) if log else None)
        stack.callback(server.close)
        restored = frozenset(server.generations)
        pacer = Pacer(clock, may_move=lambda: _unfinished(server), settle=settle / 1000) if time_ == "fast" else None
        others = Others(allow, say)
        if pacer is not None:
            stack.enter_context(_hint(server, pacer, say))
        ended = run_program(
            program,
            _application(server, others, control=not no_control),
            hosts=hosts(server.contract),
            inherited=os.environ,
            others=others,
            pacer=pacer,
            isolate=isolate,
            publish=publish,
            say=say,
        )
        escapes = [
            *(Escape(place, "refused", times) for place, times in others.refused.items()),
            *(Escape(address, "noticed") for address in others.noticed),
        ]
        summary = Summary.of(server, escapes=escapes, isolation=_isolation(ended, others), restored=restored)
        if not quiet:
            color = sys.stderr.isatty() if ctx.color is None else ctx.color
            said(summary.text(color=color))
        options.write_reports(outputs, lambda report: run_report.lines(server, summary, report.format, fail_on=fail_on))
    ctx.exit(_FAILED if ended.code == 0 and run_report.fails(summary, fail_on) else ended.code)


def _application(server: FakeServer, others: Others, *, control: bool) -> Any:
    from fake_server.adapters.asgi import app
    from fake_server.adapters.control import ControlApi
    from fake_server.programs.program import only_for
    from kling_contract.contract.family import hosts

    handle = ControlApi(server).handle if control else server.handle
    answer = only_for(hosts(server.contract), handle, others)
    return app(answer, body_limit=server.body_limit, clock=server.clock)


def _unfinished(server: FakeServer) -> bool:
    """Return whether a generation is under way. The newest are looked at first: those are."""
    now, final = server.clock.now(), server.contract.lifecycle.is_final
    return any(not final(generation.status(now)) for generation in reversed(tuple(server.generations.values())))


def _isolation(ended: Ended, others: Others) -> str:
    """Return what is known of connections that nobody saw."""
    from kling_contract.hosts import is_loopback

    remote = [f"{host}:{port}" for host, port in others.allowed if not is_loopback(host)]
    if not ended.isolated:
        return f"not guaranteed ({ended.why_not}): a client that uses neither proxy nor preload can connect elsewhere"
    if remote:
        return f"no connection left this machine, but to {', '.join(remote)}"
    return "no connection left this machine: it could not"


@contextlib.contextmanager
def _hint(server: FakeServer, pacer: Pacer, say: Callable[[str], None]) -> Iterator[None]:
    """Say, after a while, if a generation is waited for in real time because nothing follows the fake's clock."""

    def look() -> None:
        if not pacer.following and _unfinished(server):
            say("the program does not follow the fake's clock, so waits are real: try --time rate, or --time polls")

    timer = threading.Timer(_PATIENCE, look)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _unblocked_stderr() -> Iterator[Callable[[str], None]]:
    """Give a function that writes a line on standard error, and never blocks: the fake must go on answering."""
    from fake_server.adapters.nonblocking_stream import NonBlockingStream

    with contextlib.ExitStack() as stack:
        # sys.stderr is None where the process was started without one.
        stream = sys.stderr or stack.enter_context(Path(os.devnull).open("w"))
        stream.flush()
        errors = stack.enter_context(NonBlockingStream(stream.fileno(), on_closed=lambda _: None))

        def write(text: str) -> None:
            errors.write(f"{text}\n")

        yield write


def _logged(said: Callable[[str], None]) -> Callable[[Any], None]:
    from fake_server.journal.text import line

    return lambda exchange: said(line(exchange))


def _exercise(program: Sequence[str], fake: Mapping[str, Any]) -> int:
    raise NotImplementedError
