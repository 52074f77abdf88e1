"""`kling-contract record`: what a program asks of the API is forwarded, validated and recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from kling_contract import violation
from kling_contract.cli import options
from kling_contract.cli.program_options import FAILED, isolation, program_options
from kling_contract.cli.recording_session import RecordingSession, recording_session
from kling_contract.violation import Severity, Strictness

if TYPE_CHECKING:
    from fake_server.programs.child import Isolate
    from kling_contract.contract import Contract

__all__ = ["command"]

_WITH_PROGRAM = ("live", "isolate", "allow", "publish")
_WITHOUT_PROGRAM = ("port",)


@click.command("record", context_settings={"allow_interspersed_args": False})
@click.argument("program", nargs=-1, metavar="[-- CMD [ARGS]…]", type=click.UNPROCESSED)
@click.option("--live", is_flag=True, help="Forward what CMD asks of the API to the real service, which costs money.")
@click.option("--upstream", metavar="URL", help="Where to forward to instead: scheme and host, and a port if any.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port to listen on without CMD, for this machine only; 0 takes a free one.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("session.har"),
    show_default=True,
    help="The HTTP Archive to write when it ends.",
)
@program_options
@options.report
@options.fail_on
@options.strictness
@options.revision
@click.pass_context
def command(
    ctx: click.Context,
    program: tuple[str, ...],
    live: bool,
    upstream: str | None,
    port: int,
    output: Path,
    isolate: Isolate,
    allow: list[tuple[str, int]],
    publish: tuple[int, ...],
    report_files: list[tuple[str, Path]],
    fail_on: Severity,
    strictness: Strictness,
    revision: str | None,
) -> None:
    """Forward to the API or another upstream, validate requests and responses, and record them.

    \b
      kling-contract record --live -- python bot.py
      kling-contract record --upstream https://api.aimlapi.com

    With CMD, a program runs unchanged, and what it asks of the API is forwarded. It reaches no other host, as with `run`.
    Without CMD, point a program at the URL printed here instead of at the API; Ctrl-C ends it.

    Requests and responses are forwarded unchanged, and are billed if the upstream bills; violations are printed at once, and
    written to reports at the end. Keys are never written down. Downloads of videos are not recorded.

    Exit code 0: nothing is wrong; 1: something is, of the severity --fail-on or worse, or the recording or a report could not
    be written; 2: wrong usage, or it cannot listen there. With CMD: that of the program, as with `run`, and 90 in place of 1
    if the program itself ended with 0.
    """
    from kling_contract.contract import Contract

    if program and live == (upstream is not None):
        raise click.UsageError(
            "write either --live, which lets the program reach the real service and costs money, or --upstream URL"
        )
    if not program and upstream is None:
        raise click.UsageError("write --upstream URL, or a program to run: record --live -- CMD")
    for name in _WITHOUT_PROGRAM if program else _WITH_PROGRAM:
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            there = "goes with no program" if program else "is about a program: write that at the end, after --"
            raise click.UsageError(f"--{name} {there}")
    contract = Contract.load(revision)
    if program:
        try:
            route = _Route.to_service(contract) if upstream is None else _Route.to_upstream(upstream, contract)
        except ValueError as wrong:
            raise click.BadParameter(str(wrong), param_hint="--upstream") from wrong
    elif upstream is not None:
        _check_upstream(upstream, port)
    _, *outputs = options.open_outputs(ctx, "text", report_files)
    keys = _keys_in(os.environ) if program else set()
    code = 0
    with recording_session(
        output,
        outputs,
        contract=contract,
        strictness=strictness,
        fail_on=fail_on,
        color=ctx.color,
        aside=bool(program),
        keys=keys,
    ) as session:
        if program:
            code = _run(program, route, session, isolate=isolate, allow=allow, publish=publish)
        elif upstream is not None:
            _serve(upstream, session, port, contract, strictness, output)
    if code == 0 and (not session.kept or session.found(violation.failing(fail_on))):
        code = FAILED if program else 1
    ctx.exit(code)


@dataclass(frozen=True, slots=True)
class _Route:
    """Where the requests of a program go. The keys of `recorded` and `passed` are hosts, their values URLs of upstreams.

    `linked` are the places on this machine to which responses may link, as those of a fake link to its videos.
    """

    recorded: Mapping[str, str]
    passed: Mapping[str, str]
    linked: Sequence[tuple[str, int]] = ()

    @classmethod
    def to_service(cls, contract: Contract) -> Self:
        """Return the route to the API itself, and to the hosts of its videos."""
        from kling_contract.contract.family import hosts

        api, *media = hosts(contract)
        return cls({api: contract.base_url}, {host: f"https://{host}" for host in media})

    @classmethod
    def to_upstream(cls, upstream: str, contract: Contract) -> Self:
        """Return the route to another server. Raise ValueError if it cannot be one."""
        from fake_server.recording.proxy import origin_of
        from kling_contract.contract.family import hosts
        from kling_contract.hosts import is_loopback

        api, *media = hosts(contract)
        host, port = _place(origin_of(upstream))
        if host in (api, *media):
            raise ValueError(f"{host} is the real service: write --live in place of --upstream")
        if is_loopback(host):
            return cls({api: upstream}, {}, [(host, port)])
        if urlsplit(upstream).scheme != "https":
            raise ValueError(f"{upstream} would get the key of the program unencrypted: write https://")
        return cls({api: upstream}, {host: upstream})

    @property
    def hosts(self) -> list[str]:
        """The hosts whose requests are forwarded. The first is the API's."""
        return [*self.recorded, *self.passed]

    @property
    def reached(self) -> list[tuple[str, int]]:
        """The hosts and ports to which they are forwarded."""
        return list(dict.fromkeys(_place(url) for url in (*self.recorded.values(), *self.passed.values())))


def _run(
    program: Sequence[str],
    route: _Route,
    session: RecordingSession,
    *,
    isolate: Isolate,
    allow: Sequence[tuple[str, int]],
    publish: Sequence[int],
) -> int:
    """Run a program, forward and record what it asks of the API, and return its exit code."""
    from fake_server.programs.program import Others, run_program
    from fake_server.recording.proxied import proxied

    others = Others([*allow, *route.linked], session.say)
    application = proxied(
        session.on_exchange, recorded=route.recorded, passed=route.passed, on_refused=others.refuse_name
    )
    for host, upstream in route.recorded.items():
        session.say(f"requests for {host} are forwarded to {upstream}, which may bill them")
    ended = run_program(
        program,
        application,
        hosts=route.hosts,
        inherited=os.environ,
        others=others,
        is_fake=False,
        isolate=isolate,
        publish=publish,
        say=session.say,
    )
    session.say(f"isolation: {isolation(ended, [*route.reached, *others.allowed])}")
    return ended.code


def _serve(
    upstream: str, session: RecordingSession, port: int, contract: Contract, strictness: Strictness, output: Path
) -> None:
    """Forward and record whatever comes to a port, until Ctrl-C."""
    from fake_server.adapters.listen import serve
    from fake_server.recording.proxy import Proxy

    proxy = Proxy(upstream, session.on_exchange)

    def ready(url: str) -> None:
        click.echo(
            f"recording proxy ready on {url}  (Ctrl-C ends it)\n"
            f"  upstream    {proxy.upstream}\n"
            f"  revision    {contract.revision}, {strictness}\n"
            f"  output      {output}, when it ends"
        )

    serve(proxy, port=port, on_ready=ready)


def _check_upstream(upstream: str, port: int) -> None:
    """Raise BadParameter if a proxy that listens on this port cannot forward there."""
    from fake_server.recording.proxy import origin_of
    from kling_contract.hosts import is_loopback

    try:
        target = urlsplit(origin_of(upstream))
        if port and target.port == port and is_loopback(target.hostname or ""):
            raise ValueError(f"{upstream} is where this proxy is to listen itself: choose another --port")
    except ValueError as wrong:
        raise click.BadParameter(str(wrong), param_hint="--upstream") from wrong


def _place(url: str) -> tuple[str, int]:
    """Return host and port of an upstream."""
    target = urlsplit(url)
    return (target.hostname or "").rstrip("."), target.port or (80 if target.scheme == "http" else 443)


def _keys_in(environment: Mapping[str, str]) -> set[str]:
    """Return the keys that a program finds in its environment."""
    from fake_server.programs.environment import KEY_VARIABLES

    return {key for name in KEY_VARIABLES if (key := environment.get(name, "").strip())}
