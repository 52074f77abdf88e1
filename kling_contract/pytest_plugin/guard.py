"""The guard: what a test sends to the real service outside of a fake is refused, and fails the test."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from kling_contract.pytest_plugin.failures import add_section
from kling_contract.pytest_plugin.settings import configured_options, setting
from kling_contract.pytest_plugin.use import uses_ours

if TYPE_CHECKING:
    from fake_server.messages import Exchange, Reply, Request
    from kling_contract.contract import Contract

__all__ = ["Guard"]

_TITLE = "kling: calls of the real service"
_SHOWN = 5  # calls
_BODY_LIMIT = 32 * 2**20  # bytes
_OUTSIDE = "kling_calls_outside_of_tests"
_ADVICE = (
    "Each was refused. To answer it, give the test the fixture kling, or intercept with a fake of its own; to let it through, "
    "mark the test with @pytest.mark.kling_live, or set kling_live = allow for the whole run."
)


class Guard:
    """Stands in the way to the real service while tests are collected and run, and says which test wanted to go there.

    Where `kling_live` is not set, it begins after the collection, and only if some test has a fixture or a marker of ours.
    It stands below everything else: a call that a fake or another mock answers never comes here.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._setting = setting(config, "live")
        self._refusal: _Refusal | None = None
        self._standing = contextlib.ExitStack()
        self._stands = False
        self._outside: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, object, object]:
        if self._setting == "forbid" and not session.config.option.collectonly and not _runs_workers(session.config):
            self._begin()
        return (yield)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if self._setting == "allow" or session.config.option.collectonly or self._stands:
            return
        if any(uses_ours(item) for item in session.items):
            self._begin()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._outside += self._calls()
        if self._stands:
            from fake_server.preload.connections import renew

            renew()
        live = self._stands and item.get_closest_marker("kling_live") is not None
        if live:
            self._end()
        result = yield
        if live:
            self._begin()
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if calls := self._calls():
            text = _told(calls)
            if report.failed:
                add_section(report, _TITLE, text)
            else:  # passed, skipped, or failed as expected
                report.outcome = "failed"
                report.longrepr = text
                vars(report).pop("wasxfail", None)
        return report

    @pytest.hookimpl(wrapper=True, trylast=True)  # inside that of xdist, which then sends the output of a worker
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        result = yield
        self._outside += self._calls()
        self._end()
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_OUTSIDE] = self._outside
        elif self._outside and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what happened in a worker of xdist. Each worker collects every test, so they report the same calls."""
        calls = getattr(node, "workeroutput", {}).get(_OUTSIDE, [])
        self._outside += [call for call in calls if call not in self._outside]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._outside:
            terminalreporter.section(_TITLE, red=True)
            terminalreporter.line("These were made outside of every test, and fail the run:")
            terminalreporter.line(_told(self._outside))

    def pytest_unconfigure(self) -> None:
        self._end()

    def _begin(self) -> None:
        from fake_server.adapters.redirect import domain_of, redirected
        from kling_contract.contract.family import hosts

        if self._refusal is None:
            self._refusal = _Refusal(configured_options(self._config).get("revision"))
        refusal = self._refusal
        self._standing.enter_context(
            redirected(
                refusal.handle,
                hosts=frozenset(hosts(refusal.contract)),
                domain=domain_of(urlsplit(refusal.contract.base_url).hostname or ""),
                body_limit=_BODY_LIMIT,
                clock=refusal.clock,
                pass_others=True,
            )
        )
        self._stands = True

    def _end(self) -> None:
        self._stands = False
        self._standing.close()

    def _calls(self) -> list[str]:
        """Return the calls since this was last asked, each as text."""
        return [] if self._refusal is None else self._refusal.taken()


class _Refusal:
    """Answers as a fake does, but refuses everything, and remembers it."""

    def __init__(self, revision: str | None) -> None:
        from fake_server.journal.journal import Journal
        from kling_contract.clock import SystemClock
        from kling_contract.contract import Contract

        self.contract = Contract.load(revision)
        self.clock = SystemClock()
        self._journal = Journal(self.contract)

    def handle(self, request: Request) -> Reply:
        """Refuse a request as no client repeats it, and remember it without its key."""
        from fake_server.messages import Exchange, Headers, Reply

        body = b'{"message": "kling-contract: a test has called the real service, outside of a fake"}'
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        reply = Reply(403, Headers(headers), body)
        operation = next(
            (each.id for each in self.contract.route(request.target.path) if each.method == request.method), None
        )
        self._journal.add(Exchange(self.clock.now(), request, reply, operation))
        return reply

    def taken(self) -> list[str]:
        """Return each call since this was last asked: what it would have cost, and a shell line that makes it."""
        from fake_server.journal import text

        if not self._journal:
            return []
        calls = list(self._journal)
        self._journal.clear()
        return [f"{_cost(call, self.contract)}:\n    {text.curl(call)}" for call in calls]


def _cost(exchange: Exchange, contract: Contract) -> str:
    """Return what a request would have cost. Only a create costs anything; what no document describes is unknown."""
    from kling_contract.contract.family import contract_for

    if exchange.operation is None:
        return "The cost is unknown" if exchange.request.method == "POST" else "It would have cost nothing"
    if exchange.operation != contract.create.id:
        return "It would have cost nothing"
    try:
        payload = exchange.request.json()
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        return "It would have cost nothing, since its payload is no JSON object"
    model = payload.get("model")
    known = contract_for(contract, model, exchange.request.target.path) if isinstance(model, str) else None
    price = None if known is None else known.price(known.video_seconds(payload))
    if known is None or price is None:
        return "The cost is unknown"
    return f"It would have cost {price:,} {known.observed.price.unit}"


def _told(calls: list[str]) -> str:
    number = "1 call" if len(calls) == 1 else f"{len(calls)} calls"
    more = [f"and {len(calls) - _SHOWN} more"] if len(calls) > _SHOWN else []
    return "\n".join([f"{number} of the real service, outside of a fake.", *calls[:_SHOWN], *more, _ADVICE])


def _runs_workers(config: pytest.Config) -> bool:
    """Return whether this process only distributes the tests to workers of xdist."""
    return config.pluginmanager.has_plugin("dsession")
