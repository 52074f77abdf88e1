"""Redirections: connections of this process to the API's hosts end in a fake, at a port inside this process."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fake_server.adapters import other_mocks
from fake_server.adapters.asgi import Application, app
from fake_server.adapters.delivery import Handle
from fake_server.messages import Headers, Reply, Request
from fake_server.preload.connections import Redirection, client_at
from kling_contract.clock import Clock
from kling_contract.hosts import is_loopback

if TYPE_CHECKING:
    from fake_server.adapters.authority import Authority

__all__ = ["domain_of", "only_for", "redirected"]

_PASS = '; intercept(others="pass"), or @pytest.mark.kling(others="pass"), lets such connections through'


@contextlib.contextmanager
def redirected(
    handle: Handle, *, hosts: frozenset[str], domain: str, body_limit: int, clock: Clock, pass_others: bool
) -> Iterator[None]:
    """Lead what this process sends to `hosts`, and to other names under `domain`, to `handle` while the context lasts.

    Connections to other machines are refused, unless `pass_others`.
    """
    port = _port(hosts, domain)
    stopped: list[BaseException] = []

    def answer(request: Request) -> Reply:
        try:
            return handle(request)
        except Exception:
            raise
        except BaseException as stop:  # meant for the program: each of its connections raises it from now on
            stopped.append(stop)
            raise

    def address() -> tuple[str, int]:
        if stopped:
            raise stopped[0]
        return port.address()

    redirection = Redirection(
        hosts,
        domain,
        address=address,
        authority=lambda: port.authority.certificate,
        refuse_others=not pass_others,
        advice=_PASS,
    )
    application = app(answer, body_limit=body_limit, clock=clock, clients=client_at)
    other_mocks.prepare()
    with _without_proxies(hosts | {domain}), port.answering(application):
        redirection.begin()
        try:
            yield
        finally:
            redirection.end()


def only_for(
    hosts: Collection[str], handle: Handle, *, on_refused: Callable[[str, int], None] = lambda _host, _port: None
) -> Handle:
    """Return what answers requests for `hosts`, and for this machine, by `handle`, and refuses those for any other name.

    `on_refused` gets the host and the port of each request that is refused.
    """

    def answer(request: Request) -> Reply:
        target = request.target
        try:
            host, port = target.hostname or "", target.port
        except ValueError:  # no place at all: whoever answers says so
            return handle(request)
        if host in hosts or is_loopback(host):
            return handle(request)
        on_refused(host, port or (80 if target.scheme == "http" else 443))
        reason = f"this fake stands for {', '.join(sorted(hosts))}, and {host} is none of them"
        fields = {"content-type": "text/plain", "x-fake-reason": reason}
        return Reply(421, Headers(fields), reason.encode("ascii", "backslashreplace"))

    return answer


def domain_of(host: str) -> str:
    """Return the domain whose other names may be those of the same API: that above the name of its host."""
    return host.partition(".")[2]


class _Port:
    """The port of all fakes of this process that stand for the same hosts. The newest answers.

    It is opened for the first connection, and closed after the last fake.
    """

    def __init__(self, hosts: frozenset[str], domain: str) -> None:
        self._names = [*sorted(hosts), f"*.{domain}"]
        self._lock = threading.RLock()
        self._answering: tuple[Application, ...] = ()
        self._authority: Authority | None = None
        self._address: tuple[str, int] | None = None
        self._open = contextlib.ExitStack()

    @property
    def authority(self) -> Authority:
        from fake_server.adapters.authority import Authority

        with self._lock:
            if self._authority is None:
                self._authority = Authority(self._names)
            return self._authority

    @contextlib.contextmanager
    def answering(self, application: Application) -> Iterator[None]:
        """Let an application answer while the context lasts, unless a newer one does."""
        with self._lock:
            self._answering = (*self._answering, application)
        try:
            yield
        finally:
            with self._lock:
                self._answering = tuple(each for each in self._answering if each is not application)
                if not self._answering:
                    self._address = None
                    self._open.close()

    def address(self) -> tuple[str, int]:
        """Return where it listens."""
        from fake_server.adapters.gate import Gate
        from fake_server.adapters.listen import listen

        with self._lock:
            if self._address is None:
                url = self._open.enter_context(listen(self._answer, gate=Gate(self.authority, self._names)))
                self._address = "127.0.0.1", urlsplit(url).port or 0
            return self._address

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        await self._answering[-1](scope, receive, send)


_ports: dict[frozenset[str], _Port] = {}


def _port(hosts: frozenset[str], domain: str) -> _Port:
    return _ports.setdefault(hosts, _Port(hosts, domain))


_NO_PROXY = ("no_proxy", "NO_PROXY")
_unproxied = 0
_before: dict[str, str | None] = {}
_changing = threading.Lock()


@contextlib.contextmanager
def _without_proxies(hosts: frozenset[str]) -> Iterator[None]:
    """Let clients that honour the proxies of the environment use none for these hosts while the context lasts."""
    global _unproxied
    with _changing:
        _unproxied += 1
        if _unproxied == 1:
            _before.update({name: os.environ.get(name) for name in _NO_PROXY})
            known = _before["no_proxy"] or _before["NO_PROXY"]
            os.environ.update(dict.fromkeys(_NO_PROXY, ",".join([*([known] if known else []), *sorted(hosts)])))
    try:
        yield
    finally:
        with _changing:
            _unproxied -= 1
            if not _unproxied:
                for name, value in _before.items():
                    os.environ.pop(name, None)
                    if value is not None:
                        os.environ[name] = value
