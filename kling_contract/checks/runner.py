"""The runner: checks one server against one contract, claim by claim, within a time limit, whatever the server does."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self, TypeVar

import httpx

from kling_contract.checks.claims import Claim
from kling_contract.checks.connection import Connection
from kling_contract.checks.deadline import Deadline, DeadlineExceeded
from kling_contract.checks.findings import CheckResult, Finding, finding
from kling_contract.checks.guard import unanswered
from kling_contract.checks.plan import claims_for
from kling_contract.checks.restricted import uncreatable
from kling_contract.checks.target import EXAMPLES, Target
from kling_contract.contract import Contract
from kling_contract.errors import ContractBroken, ServerUnreachable

__all__ = ["CheckRun", "check"]

_E = TypeVar("_E", bound=BaseException)
_FREE_SECONDS, _OWN_SECONDS = 300.0, 900.0
_SILENCES = 3  # claims in a row without any response, after which the server is gone


class CheckRun:
    """Checks one server against one contract. Use it in a `with` statement; `results()` checks everything, once.

    `server` is a base URL, or a Target (whose `contract` then counts). `creations` is how many generations may be created:
    none, so many, or (None) any number, for a server that costs nothing. `key` is one that the server takes (None: a made-up
    one); `allow_remote` allows another machine than this one. `time_limit` is in seconds for all of it, and `grace` is how many
    seconds more a request may take before it is given up. `seed` repeats a run; `examples` is how many runs the state machine
    makes.
    """

    def __init__(
        self,
        server: str | Target,
        *,
        contract: Contract | None = None,
        creations: int | None = 0,
        key: str | None = None,
        allow_remote: bool = False,
        time_limit: float | None = None,
        grace: float = 2.0,
        seed: int | None = None,
        examples: int = EXAMPLES,
    ) -> None:
        self.contract = server.contract if isinstance(server, Target) else contract or Contract.load()
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        if time_limit is None:
            timeout = self.contract.observed.polling.timeout
            time_limit = _OWN_SECONDS if creations is None else _FREE_SECONDS + creations * timeout
        self.time_limit = time_limit
        self.claims = claims_for(creations=creations)
        self._creations = creations
        self._deadline = Deadline(time_limit)
        self._grace = grace
        self._connection = Connection(
            server,
            contract=self.contract,
            creations=creations,
            deadline=self._deadline,
            key=key,
            allow_remote=allow_remote,
        )
        self._examples = examples

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return self._connection.sent

    @property
    def stopped(self) -> bool:
        """Whether something was created that must not be, so that nothing is sent any more."""
        return self._connection.guard.stopped

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._connection.close()

    def check(self, claim: Claim) -> CheckResult:
        """Check one claim. Raise ServerUnreachable, DeadlineExceeded.

        If the server says that the model is withdrawn, what needs a create that succeeds is skipped.
        """
        self._connection.meet(self.time_limit)
        retired = self._connection.retired
        withdrawn = retired is not None and not retired.serves
        if withdrawn and not claim.free:
            return CheckResult(claim=claim.name, description=claim.description, skipped=str(retired))
        assumptions: list[ContractBroken] = []
        target = replace(self._connection.target, assumptions=assumptions, seed=self.seed, examples=self._examples)
        if claim.free and (withdrawn or self._creations is not None):
            target = uncreatable(target)
        if reason := claim.why_skipped(target):
            return CheckResult(claim=claim.name, description=claim.description, skipped=reason)
        broken: list[ContractBroken] = []
        try:
            claim(target)
        except* ContractBroken as group:
            broken += _leaves(group)
        except* httpx.RequestError as group:
            broken += [unanswered(silent) for silent in _leaves(group)]
        except* DeadlineExceeded:
            pass
        if not broken:
            self._deadline.remaining()  # a claim that repeats what fails may have done so until now, and found nothing
        broken += {(kind.expected, kind.problem): kind for kind in reversed(assumptions)}.values()
        findings = tuple(self._finding(claim, violation) for violation in broken)
        return CheckResult(claim=claim.name, description=claim.description, findings=findings)

    def results(self, on_progress: Callable[[Claim], object] = lambda claim: None) -> Iterator[CheckResult]:
        """Check everything, and yield the result of each claim; `on_progress` is called with a claim before it is checked.

        If the server says that the model is withdrawn or replaced, a result with that notice comes first.
        Raise ServerUnreachable if nobody answers from the first. Claims that there was no time for are skipped, and say so.
        """
        events: queue.SimpleQueue[Claim | CheckResult | BaseException | None] = queue.SimpleQueue()
        # In a thread of its own, since nothing else gives up a look-up of a name, or a header that never ends.
        threading.Thread(target=self._work, args=(events.put,), daemon=True).start()
        current: Claim | None = None
        while True:
            try:
                event = events.get(timeout=self._left() + self._grace)
            except queue.Empty:
                if current is None:
                    raise ServerUnreachable(f"nobody answered within {self.time_limit:g} seconds") from None
                yield self._stuck(current)
                return
            match event:
                case None:
                    return
                case BaseException():
                    raise event
                case CheckResult():
                    yield event
                case _:
                    current = event
                    on_progress(event)

    def _work(self, put: Callable[[Claim | CheckResult | BaseException | None], None]) -> None:
        gone, silences = "", 0
        try:
            self._connection.meet(self.time_limit)
            if self._connection.retired is not None:
                put(self._connection.retired.result(self.contract))
            for claim in self.claims:
                if gone:
                    put(_incomplete(claim, gone))
                    continue
                put(claim)
                try:
                    result = self.check(claim)
                except DeadlineExceeded:
                    gone = f"the time limit of {self.time_limit:g} seconds is over"
                    result = _incomplete(claim, gone)
                put(result)
                silent = any(not found.actual[:1].isdecimal() for found in result.findings)  # no status came
                silences = silences + 1 if silent else 0
                if self.stopped:
                    gone = "something was created that must not be"
                elif silences == _SILENCES:
                    gone = "the server does not answer any more"
            put(None)
        except BaseException as failed:  # noqa: BLE001  # it is raised where the results are awaited
            put(failed)

    def _left(self) -> float:
        try:
            return self._deadline.remaining()
        except DeadlineExceeded:
            return 0.0

    def _stuck(self, claim: Claim) -> CheckResult:
        expected = f"a whole response within {self.time_limit:g} seconds"
        silence = ContractBroken("", expected=expected, actual="a response that does not end")
        return replace(_incomplete(claim, None), findings=(self._finding(claim, silence),))

    def _finding(self, claim: Claim, broken: ContractBroken) -> Finding:
        return finding(claim, broken, contract=self.contract, key=self._connection.target.key)


def _incomplete(claim: Claim, why: str | None) -> CheckResult:
    return CheckResult(claim=claim.name, description=claim.description, skipped=why, incomplete=True)


def _leaves(group: BaseExceptionGroup[_E]) -> Iterator[_E]:
    for member in group.exceptions:
        if isinstance(member, BaseExceptionGroup):
            yield from _leaves(member)
        else:
            yield member


def check(
    server: str | Target,
    *,
    revision: str | None = None,
    model: str | None = None,
    allow_create: bool = False,
    spend: int = 0,
    key: str | None = None,
    allow_remote: bool = False,
    time_limit: float | None = None,
    seed: int | None = None,
) -> list[Finding]:
    """Return one finding for each promise that a server does not keep; for a mere assumption, with severity "warning".

    By default nothing is sent that could create a generation. `allow_create` is for servers that cost nothing; `spend` is a
    number of generations that are paid for. `model` is the one that is asked for (None: the default one; a Target's
    contract has its own). The rest is as for CheckRun. Raise ServerUnreachable if nobody answers.
    """
    creations = None if allow_create else spend
    options: dict[str, Any] = {"key": key, "allow_remote": allow_remote, "time_limit": time_limit, "seed": seed}
    with CheckRun(server, contract=Contract.load(revision, model=model), creations=creations, **options) as run:
        return [found for result in run.results() for found in result.findings]
