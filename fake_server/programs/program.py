"""Any program, unchanged: it is run so that its requests to the API end in an application of ours, such as a fake."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from fake_server.adapters.asgi import Application
from fake_server.adapters.authority import Authority
from fake_server.adapters.gate import Gate
from fake_server.adapters.listen import bind, listen
from fake_server.adapters.pacer import Pacer
from fake_server.adapters.redirect import domain_of
from fake_server.programs.bundles import bundles_of
from fake_server.programs.child import Child, Isolate, Streams, prepare, signals_passed_to
from fake_server.programs.environment import Trust, environment
from fake_server.programs.escapes import Escapes
from fake_server.programs.forwarding import Forward, forwards, host_lines
from fake_server.programs.summary import Escape
from kling_contract.hosts import is_loopback

__all__ = ["Ended", "Others", "run_program"]

_ENDS_HERE = [("127.0.0.1", 443), ("127.0.0.1", 80), ("::1", 443), ("::1", 80)]
"""Addresses in the namespace of a program at which the API's hosts are found."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code (128 and the number of a signal), and whether a namespace held it.

    `why_not` says why none did. `followed` says whether any process of the program followed the fake's clock.
    """

    code: int
    isolated: bool
    why_not: str | None
    followed: bool


class Others:
    """The other hosts that a program asks for: those that it may reach, and what became of the rest.

    `allowed` are hosts and ports. `refused` counts the connections that were refused, `noticed` are addresses that were
    connected to before anybody could refuse it. `say` gets one line about each place.
    """

    def __init__(self, allowed: Collection[tuple[str, int]], say: Callable[[str], None]) -> None:
        self.allowed = [(host.lower(), port) for host, port in allowed]
        self.refused: Counter[str] = Counter()
        self.noticed: list[str] = []
        self._say = say

    def allows(self, host: str, port: int) -> bool:
        """Return whether the program may reach a host, which may be this machine."""
        return is_loopback(host) or (host.lower(), port) in self.allowed

    def refuse(self, host: str, port: int) -> None:
        """Count a refused connection."""
        place = _place(host, port)
        self._count(place, f"refused a connection to {place}: --allow {place} lets it through")

    def refuse_name(self, host: str, port: int) -> None:
        """Count a request that got here and is for another host, such as another name under the domain of the API."""
        place = _place(host, port)
        self._count(place, f"refused a request for {place}, which is none of the API's hosts")

    def notice(self, address: str) -> None:
        """Take note of a connection to an address, unless that is of an allowed host."""
        if address not in self._addresses():
            self.noticed.append(address)
            self._say(
                f"a connection to {address} passed the fake by: only a namespace can prevent that (--isolate require)"
            )

    @property
    def escapes(self) -> list[Escape]:
        """All of them, for a summary."""
        refused = [Escape(place, "refused", times) for place, times in self.refused.items()]
        return [*refused, *(Escape(address, "noticed") for address in self.noticed)]

    def _count(self, place: str, line: str) -> None:
        if place not in self.refused:
            self._say(line)
        self.refused[place] += 1

    def _addresses(self) -> set[str]:
        found = set()
        for host, port in self.allowed:
            with contextlib.suppress(OSError):
                found |= {_place(str(each[4][0]), port) for each in socket.getaddrinfo(host, port)}
        return found


def run_program(
    command: Sequence[str],
    application: Application,
    *,
    hosts: Sequence[str],
    inherited: Mapping[str, str],
    others: Others,
    is_fake: bool = True,
    pacer: Pacer | None = None,
    isolate: Isolate = "auto",
    publish: Sequence[int] = (),
    streams: Streams | None = None,
    during: Callable[[Child], AbstractContextManager[object]] = signals_passed_to,
    say: Callable[[str], None],
) -> Ended:
    """Run a program, whose connections to `hosts` end in `application`, until it and all that it started have ended.

    The first of `hosts` is the API's. `inherited` is the environment that the program would have had. `is_fake` says that
    `application` is a fake, to which any key is good enough. With a `pacer` the program's waits follow the fake's clock.
    While it runs, the context that `during` makes is entered: by default signals to this process are passed to it, which is
    for the main thread. `streams` are its standard streams (None: those of this process).
    Raise IsolationError, ListenError and OSError if it cannot be started.
    """
    allowed = forwards(others.allowed)
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="kling-contract-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        outer = stack.enter_context(bind("127.0.0.1", 0))
        port = outer.getsockname()[1]
        names = [*hosts, f"*.{domain_of(hosts[0])}"]
        authority = Authority(names)
        child = stack.enter_context(
            prepare(
                folder=folder,
                isolate=isolate,
                listen=[*_ENDS_HERE, ("127.0.0.1", port)],
                allow=allowed,
                publish=publish,
                say=say,
                streams=streams,
            )
        )
        gate = Gate(
            authority,
            names,
            allows=others.allows,
            on_refused=others.refuse,
            on_pace=pacer.serve if pacer is not None else None,
        )
        stack.enter_context(listen(application, gate=gate, listeners=[outer, *child.listeners]))
        if pacer is not None:
            pacer.watch(child.pids)
            stack.enter_context(pacer)
        bundles = bundles_of(command, inherited.get("PATH", ""))
        trust = Trust(folder, authority, bundles, reaches_others=bool(others.allowed))
        configuration = {
            "hosts": list(hosts),
            "domain": domain_of(hosts[0]),
            "port": port,
            "authority": str(trust.authority),
            "allow": [_place(host, number) for host, number in others.allowed],
            "refuse_others": True,
            "pace": pacer is not None,
        }
        bound = {}
        if child.isolated:
            bound = {
                bundle: trust.with_authority(bundle.read_bytes(), f"bundle-{number}.pem")
                for number, bundle in enumerate(bundles)
            }
            bound[Path("/etc/hosts")] = _hosts_file(folder, hosts, allowed)
        else:
            stack.enter_context(Escapes(child.pids, others.notice))
        with during(child):
            child.go(
                command,
                environment=environment(
                    inherited,
                    port=port,
                    trust=trust,
                    configuration=configuration,
                    direct=hosts if child.isolated else (),
                    is_fake=is_fake,
                ),
                bound=bound,
            )
            code = child.wait()
        followed = pacer is not None and bool(pacer.following)
        return Ended(code, child.isolated, child.why_not, followed)


def _hosts_file(folder: Path, hosts: Collection[str], allowed: Sequence[Forward]) -> Path:
    path = folder / "hosts"
    path.write_text(
        f"127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{socket.gethostname()}\n"
        f"127.0.0.1\t{' '.join(hosts)}\n{host_lines(allowed)}"
    )
    return path


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
