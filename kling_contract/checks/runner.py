"""How is one server held against one contract? Asks question by question, within a time limit, whatever the server does."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.cookiejar import CookieJar
from typing import Any, Self, TypeVar

import httpx

from kling_contract.checks.deadline import BoundedClock, Deadline, DeadlineExceeded
from kling_contract.checks.findings import Finding, Verdict, finding
from kling_contract.checks.guard import ClientTransport, Guard, NoCookies, excerpt, unanswered, why_silent
from kling_contract.checks.plan import Question, questions
from kling_contract.checks.steering import FakeControl
from kling_contract.checks.target import Target
from kling_contract.contract import Contract
from kling_contract.errors import ContractBroken, ServerUnreachable
from kling_contract.hosts import root_of

__all__ = ["Inspection", "check"]

_E = TypeVar("_E", bound=BaseException)
_NO_KEY = "a-key-for-a-server-of-your-own"
_NOBODY = "kling-contract-check"
_FREE_SECONDS, _OWN_SECONDS = 300.0, 900.0
_GRACE = 2.0  # seconds that a request may outlive the time limit before it is given up
_IDLE = 1.0  # seconds
_SILENCES = 3  # questions in a row without any answer, after which the server is gone


class Inspection:
    """Holds one server against one contract. Use it in a `with` statement; `verdicts()` asks, once.

    `server` is a base URL, or a Target (whose `contract` is then the one). `creations` is how many generations may be created:
    none, so many, or (None) any number, for a server that costs nothing. `key` is one that the server takes (None: a made-up
    one); `live` lets another machine be asked; `time_limit` is in seconds for all of it; `seed` repeats a run.
    """

    def __init__(
        self,
        server: str | Target,
        *,
        contract: Contract | None = None,
        creations: int | None = 0,
        key: str | None = None,
        live: bool = False,
        time_limit: float | None = None,
        seed: int | None = None,
    ) -> None:
        self.contract = server.contract if isinstance(server, Target) else contract or Contract.load()
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        if time_limit is None:
            each = self.contract.observed.polling.timeout
            time_limit = _OWN_SECONDS if creations is None else _FREE_SECONDS + creations * each
        self.time_limit = time_limit
        self.questions = questions(creations=creations)
        self._creations = creations
        self._deadline = Deadline(time_limit)
        given = server if isinstance(server, Target) else None
        root = "" if given is not None else root_of(str(server), allow_remote=live)  # before anything is opened
        # Idle connections are let go before any server does so: else a request could meet one that is just being closed.
        limits = httpx.Limits(keepalive_expiry=_IDLE)
        inner = ClientTransport(given.http) if given is not None else httpx.HTTPTransport(limits=limits)
        key = given.key if given is not None else key or _NO_KEY
        self._guard = Guard(inner, deadline=self._deadline, key=key, creations=creations)
        steered = Guard(inner, deadline=self._deadline, key=key, creations=None)
        self._control = httpx.Client(transport=steered, cookies=CookieJar(NoCookies()))
        identity = {"accept-encoding": "identity"}
        self._http = httpx.Client(transport=self._guard, headers=identity, cookies=CookieJar(NoCookies()))
        if given is not None:
            self._target = replace(given, http=self._http)
        else:
            clock = BoundedClock(self._deadline, longest=self.contract.observed.polling.interval)
            self._target = Target(
                http=self._http,
                key=key,
                base_url=root,
                clock=clock,
                contract=self.contract,
            )
        self._met = False

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return self._guard.sent

    @property
    def stopped(self) -> bool:
        """Was something created that must not be, so that nothing is asked any more?"""
        return self._guard.stopped

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._control.close()

    def meet(self) -> None:
        """Ask for an unknown generation, and look whether time can be moved on.

        Raise Unreachable when nobody answers, when the answer is to ask elsewhere, and when the key is not taken.
        """
        if self._met:
            return
        root = self._target.origin
        try:
            response = self._target.poll(_NOBODY)
        except DeadlineExceeded:
            raise ServerUnreachable(f"{root} did not answer within {self.time_limit:g} seconds") from None
        except httpx.RequestError as silent:
            raise ServerUnreachable(
                f"{root} does not answer: {excerpt(why_silent(silent), self._target.key)}"
            ) from silent
        unauthorized = self.contract.observed.refusals.reasons["unauthorized"].status_code
        if response.status_code == unauthorized:
            raise ServerUnreachable(f"{root} answers {unauthorized}: it does not take the key; give one that it takes")
        if response.has_redirect_location:
            there = excerpt(response.headers["location"], self._target.key)
            raise ServerUnreachable(
                f"{root} redirects to {there}, where the key was not sent: give the URL that answers by itself"
            )
        if self._creations != 0 and isinstance(self._target.clock, BoundedClock):
            try:
                fake = FakeControl.at(root, self._control)
            except DeadlineExceeded:
                raise ServerUnreachable(
                    f"{root}/_fake did not answer to its end within {self.time_limit:g} seconds"
                ) from None
            if fake is not None:
                self._target = replace(self._target, clock=fake, spent=fake.spent, play=fake.play)
        self._met = True

    def judge(self, question: Question) -> Verdict:
        """Ask one question. Raise Unreachable, DeadlineExceeded."""
        self.meet()
        named = (question.name, question.sentence)
        assumptions: list[ContractBroken] = []
        target = replace(self._target, assumptions=assumptions)
        if reason := question.left_out(target):
            return Verdict(*named, left_out=reason)
        broken: list[ContractBroken] = []
        try:
            question.ask(target, self.seed)
        except* ContractBroken as group:
            broken += _leaves(group)
        except* httpx.RequestError as group:
            broken += [unanswered(each) for each in _leaves(group)]
        except* DeadlineExceeded:
            pass
        if not broken:
            self._deadline.remaining()  # whoever tries again what fails may have tried it until now, and found nothing
        broken += {each.wrong: each for each in reversed(assumptions)}.values()
        return Verdict(*named, tuple(self._finding(question, each) for each in broken))

    def verdicts(self, asking: Callable[[Question], object] = lambda question: None) -> Iterator[Verdict]:
        """Ask everything, and yield what came of each question; `asking` is told which one is under way.

        Raise Unreachable when nobody answers from the first. What there was no time for is left out, and says so.
        """
        events: queue.SimpleQueue[Question | Verdict | BaseException | None] = queue.SimpleQueue()
        # In a thread of its own, since nothing else gives up a look-up of a name, or a header that never ends.
        threading.Thread(target=self._work, args=(events.put,), daemon=True).start()
        under_way: Question | None = None
        while True:
            try:
                event = events.get(timeout=self._left() + _GRACE)
            except queue.Empty:
                if under_way is None:
                    raise ServerUnreachable(f"nobody answered within {self.time_limit:g} seconds") from None
                yield self._stuck(under_way)
                return
            match event:
                case None:
                    return
                case BaseException():
                    raise event
                case Verdict():
                    yield event
                case _:
                    under_way = event
                    asking(event)

    def _work(self, tell: Callable[[Any], None]) -> None:
        gone, silences = "", 0
        try:
            self.meet()
            for question in self.questions:
                if gone:
                    tell(Verdict(question.name, question.sentence, left_out=gone, incomplete=True))
                    continue
                tell(question)
                try:
                    verdict = self.judge(question)
                except DeadlineExceeded:
                    gone = f"the time limit of {self.time_limit:g} seconds is over"
                    verdict = Verdict(question.name, question.sentence, left_out=gone, incomplete=True)
                tell(verdict)
                silences = silences + 1 if any(not each.came[:1].isdecimal() for each in verdict.findings) else 0
                if self.stopped:
                    gone = "something was created that must not be"
                elif silences == _SILENCES:
                    gone = "the server does not answer any more"
            tell(None)
        except BaseException as failed:  # noqa: BLE001  # whoever waits for the verdicts gets it
            tell(failed)

    def _left(self) -> float:
        try:
            return self._deadline.remaining()
        except DeadlineExceeded:
            return 0.0

    def _stuck(self, question: Question) -> Verdict:
        silence = ContractBroken(
            "", came="no end of an answer came", wrong=f"an answer within {self.time_limit:g} seconds"
        )
        return Verdict(question.name, question.sentence, (self._finding(question, silence),), incomplete=True)

    def _finding(self, question: Question, broken: ContractBroken) -> Finding:
        return finding(question, broken, contract=self.contract, key=self._target.key)


def _leaves(group: BaseExceptionGroup[_E]) -> Iterator[_E]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


def check(
    server: str | Target,
    *,
    revision: str | None = None,
    allow_create: bool = False,
    spend: int = 0,
    key: str | None = None,
    live: bool = False,
    time_limit: float | None = None,
    seed: int | None = None,
) -> list[Finding]:
    """Return every promise that a server does not keep, and (as a "warning") what it keeps in another way than assumed.

    By default nothing is asked that could create a generation. `allow_create` is for servers that cost nothing, `spend` for so
    many real generations; the rest is as for Inspection. Raise Unreachable when nobody answers.
    """
    creations = None if allow_create else spend
    options: dict[str, Any] = {"key": key, "live": live, "time_limit": time_limit, "seed": seed}
    with Inspection(server, contract=Contract.load(revision), creations=creations, **options) as asked:
        return [finding for verdict in asked.verdicts() for finding in verdict.findings]
