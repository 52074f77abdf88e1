"""The fake server: the core with its ways in (transport, router, interception, ASGI, port) and its assertions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, TypeVar, overload

from fake_server.assertions import Assertions
from fake_server.messages import OnExchange
from fake_server.scenario.scenario import Scenario
from fake_server.service.service import Progression, Service
from kling_contract.clock import Clock, VirtualClock
from kling_contract.contract import Contract, chosen
from kling_contract.violation import Strictness

if TYPE_CHECKING:
    import httpx
    import respx

    from fake_server.adapters.asgi import Application
    from fake_server.adapters.intercept import Interception
    from fake_server.adapters.listen import BaseURL

__all__ = ["FakeOptions", "FakeServer"]

_Transport = TypeVar("_Transport", covariant=True)


class _Library(Protocol[_Transport]):
    """httpx, or httpx2, which looks like it."""

    @property
    def MockTransport(self) -> Callable[[Any], _Transport]: ...  # noqa: N802


class FakeOptions(TypedDict, total=False):
    """The keyword arguments of FakeServer, to annotate code that passes them on."""

    revision: str | None
    model: str | None
    contract: Contract | None
    scenario: Scenario | Mapping[str, Any] | Path | str
    progression: Progression
    strictness: Strictness
    clock: Clock | None
    api_key: str | None
    seed: int
    body_limit: int
    generation_limit: int
    state: Path | str | None
    replay: Mapping[str, Any] | Path | str | None
    on_exchange: OnExchange | None


class FakeServer(Assertions):
    """A Kling service that costs nothing.

    - `contract` or `revision`: which contract it follows (None: the default revision).
    - `model`: the model of a payload that names none, under "off" (None: the contract's). All models are served.
    - `scenario`: how its generations proceed and what goes wrong: a Scenario, its data, a file, or a shipped name.
    - `progression`: what moves a generation along: "time" on the clock; "immediate": it has ended at the first poll;
      "polls": each answered poll is one step of the timeline, whatever the time.
    - `strictness`: what it refuses; see `validate`.
    - `clock`: its time (None: a VirtualClock of its own).
    - `api_key`: the only key that it accepts (None: any).
    - `seed`: the ids are drawn from it.
    - `body_limit`: how many bytes the body of a request may have.
    - `generation_limit`: how many generations it remembers; the oldest go first.
    - `state`: a file in which generations and time outlive this fake; `close` it in the end (None: nothing is kept).
    - `replay`: an HTTP Archive, decoded or as a file. Creates and polls are answered as they were in it, and of the
      scenario only the faults count; see `Replay`.
    - `on_exchange`: is called with each exchange as the journal has it, without keys, while no other is answered.

    `journal`, `ledger` and `generations` say what happened, and the assertions check it. Two fakes share nothing, and
    one fake may be used from several threads. Raise UnknownRevision, UnknownModel, and DocumentError for a scenario that
    cannot be played under the contract.
    """

    def __init__(
        self,
        *,
        revision: str | None = None,
        model: str | None = None,
        contract: Contract | None = None,
        scenario: Scenario | Mapping[str, Any] | Path | str = "happy",
        progression: Progression = "time",
        strictness: Strictness = "lax",
        clock: Clock | None = None,
        api_key: str | None = None,
        seed: int = 0,
        body_limit: int = 32 * 2**20,
        generation_limit: int = 100_000,
        state: Path | str | None = None,
        replay: Mapping[str, Any] | Path | str | None = None,
        on_exchange: OnExchange | None = None,
    ) -> None:
        contract = chosen(contract, revision, model)
        make_service: Callable[..., Service] = Service
        if replay is not None:
            from fake_server.recording.replay import Recordings, Replay

            make_service = functools.partial(Replay, Recordings.load(replay, contract))
        super().__init__(
            contract=contract,
            make_service=make_service,
            scenario=scenario,
            progression=progression,
            strictness=strictness,
            clock=clock or VirtualClock(),
            api_key=api_key,
            seed=seed,
            body_limit=body_limit,
            generation_limit=generation_limit,
            state=state,
            on_exchange=on_exchange,
        )

    @overload
    def transport(self) -> httpx.MockTransport: ...
    @overload
    def transport(self, library: _Library[_Transport]) -> _Transport: ...
    def transport(self, library: Any = None) -> Any:
        """Return a transport for a Client or AsyncClient of `library` (None: httpx) that ends in this fake, whatever the host.

        `fake.transport(httpx2)` is one for httpx2.
        """
        from fake_server.adapters.transport import transport

        return transport(self.handle, clock=self.clock, library=library)

    def mount(self, router: respx.Router) -> None:
        """Add one route to a respx router: it leads the API's host and the media host into this fake."""
        from fake_server.adapters.intercept import mount

        mount(self, router)

    def intercept(self, *, others: Literal["block", "pass"] = "block") -> Interception[FakeServer]:
        """Catch what this process sends to the API's host and the media host: in a `with` block, or in a decorated function.

            with fake.intercept():
                make_a_video()

            @fake.intercept()
            def test_it(): ...

        The function may be a coroutine function. Every client is caught that connects through Python's sockets, uvloop,
        gevent, curl_cffi or pycurl. Calls to `others` are blocked, or pass to the real network; this machine is always reached.
        """
        from fake_server.adapters.intercept import Interception

        return Interception(self, others=others)

    @property
    def asgi(self) -> Application:
        """This fake as an ASGI application, without the control API."""
        from fake_server.adapters.asgi import app

        return app(self.handle, body_limit=self.body_limit, clock=self.clock)

    def listen(self, *, host: str = "127.0.0.1", port: int = 0, tls: bool = False) -> AbstractContextManager[BaseURL]:
        """Serve on a real port while the context lasts, and give the base URL. Port 0 takes any free one.

        With `tls` it is https, with a certificate made for this port: trust the URL's `ca_pem`. Under `/_fake/` on that
        port is the control API; see `fake_server.adapters.control`.
        """
        from fake_server.adapters.asgi import app
        from fake_server.adapters.control import ControlApi
        from fake_server.adapters.listen import listen

        handle = ControlApi(self, host=host).handle
        return listen(app(handle, body_limit=self.body_limit, clock=self.clock), host=host, port=port, tls=tls)
