"""Assertions about what a fake has received: whether the code under test used the service as it should."""

from __future__ import annotations

import math
from typing import NoReturn
from urllib.parse import quote

from fake_server.journal import text
from fake_server.messages import Exchange
from fake_server.service.fake import Fake
from kling_contract.contract import Operation

__all__ = ["Assertions"]


class Assertions(Fake):
    """What a test claims about the requests that a fake has received since it began, or since its last reset.

    A claim that does not hold raises AssertionError. Its text says what happened instead: every exchange, what was wrong with
    it, the request concerned as a curl line, and what would have been right.
    """

    def assert_created_once(self) -> None:
        """Exactly one generation was created, whether or not the response arrived."""
        __tracebackhide__ = True
        self.assert_created(times=1)

    def assert_created(self, *, times: int) -> None:
        """Exactly `times` generations were created, whether or not the responses arrived."""
        __tracebackhide__ = True
        number = len(self.generations)
        if number < times:
            created = f"{number} generations were created, not {times}" if number else "no generation was created"
            refused = _refused(self)
            _fail(self, created, refused, "" if refused else _address(self, self.contract.create))
        if number > times:
            claim = f"{number} generations were created, not {times}, and each of them is paid for"
            creates = [exchange for exchange in self.journal.creates if exchange.generation_id is not None]
            surplus = creates[times] if len(creates) > times else None
            if times == 0:
                _fail(self, claim, surplus)
            wanted = list(self.generations)[times - 1]
            lost = " (its response was lost)" if len(creates) >= times and not creates[times - 1].arrived else ""
            _fail(
                self,
                claim,
                surplus,
                f"the create before was accepted{lost}, and the service cannot tell a repeated one from a new one: "
                f"{_address(self, self.contract.get, wanted)}",
            )

    def assert_billed(self, amount: float | None = None) -> None:
        """Exactly `amount` is booked by now, in the ledger's unit, and nothing is pending that may still be booked.

        None means: anything more than nothing. `fake.contract.price(seconds)` is what one video costs (None: nobody knows).
        A generation of a model without a known price is in no sum: if there is one, None is never enough.
        """
        __tracebackhide__ = True
        ledger = self.ledger
        booked, pending, unit = ledger.booked, ledger.pending, ledger.unit
        if pending:
            _fail(
                self,
                f"{pending:,} {unit} are neither booked nor void yet ({booked:,} are booked)",
                None,
                "assert this when the generation has ended, or move the clock on: fake.advance(seconds)",
            )
        if not (booked > 0 and not ledger.unknown if amount is None else math.isclose(booked, amount)):
            wanted = "something" if amount is None else f"{amount:,} {unit}"
            charges = [
                f"unknown for {charge.model}" if charge.amount is None else f"{charge.amount:,} {charge.state}"
                for charge in ledger.charges[:10]
            ]
            made = f" (charges: {', '.join(charges)})" if charges else " (no generation was created)"
            right = (
                "nobody has published this price, so nothing is booked: use assert_created" if ledger.unknown else ""
            )
            _fail(self, f"{wanted} should have been billed, and {booked:,} {unit} were{made}", _refused(self), right)

    def assert_no_violations(self) -> None:
        """No request broke the contract, not even in a way that was tolerated."""
        __tracebackhide__ = True
        wrong = [exchange for exchange in self.journal if exchange.violations]
        if wrong:
            found = sum(len(exchange.violations) for exchange in wrong)
            _fail(self, f"{found} violations in {len(wrong)} of {len(self.journal)} requests", wrong[0])

    def assert_polled_until_done(self) -> None:
        """At least one generation was created, and each was polled until a response that arrived said it had ended."""
        __tracebackhide__ = True
        if not self.generations:
            _fail(
                self,
                "no generation was created that could be polled",
                _refused(self),
                _address(self, self.contract.create),
            )
        polls_by_id: dict[str | None, list[Exchange]] = {}
        for poll in self.journal.polls:
            polls_by_id.setdefault(poll.generation_id, []).append(poll)
        for generation in tuple(self.generations.values()):
            polls = polls_by_id.get(generation.id, [])
            seen = [status for poll in polls if (status := poll.reported_status)]
            if any(self.contract.lifecycle.is_final(status) for status in seen):
                continue
            last = f'the last response said "{seen[-1]}"' if seen else "no response with a status arrived"
            _fail(
                self,
                f"{generation.id} was not polled until it had ended: "
                f'{len(polls)} polls, {last}; now it is "{generation.status(self.clock.now())}"',
                polls[-1] if polls else _refused(self),
                _address(self, self.contract.get, generation.id),
            )

    def assert_stopped_on_error(self) -> None:
        """At least one response said that a generation had failed, and that generation was not polled again."""
        __tracebackhide__ = True
        failed: dict[str, tuple[Exchange, str]] = {}
        later: list[Exchange] = []
        for poll in self.journal.polls:
            if poll.generation_id is None:
                continue
            if poll.generation_id in failed:
                later.append(poll)
            elif (status := poll.reported_status) and self.contract.lifecycle.failed(status):
                failed[poll.generation_id] = poll, status
        if not failed:
            _fail(
                self,
                "no response said that a generation had failed, so there was nothing to stop on",
                None,
                "a scenario in which a generation fails, polled until it has failed",
            )
        if later:
            failure, status = failed[later[0].generation_id or ""]
            times = sum(poll.generation_id == failure.generation_id for poll in later)
            _fail(
                self,
                f'{failure.generation_id} was polled {times} times more after "{status}"',
                failure,
                f'"{status}" is final: nothing follows it, so stop there and read the error',
            )


def _fail(fake: Fake, claim: str, concerned: Exchange | None, right: str = "") -> NoReturn:
    __tracebackhide__ = True
    parts = [claim, f"exchanges, by the fake's clock:\n{text.table(fake.journal)}"]
    if wrong := text.violations(fake.journal):
        parts.append(f"violations:\n{wrong}")
    if concerned is not None:
        parts.append(f"the request concerned:\n  {text.curl(concerned)}")
        hints = [violation.hint for violation in concerned.violations if violation.hint]
        right = right or "\n  ".join(dict.fromkeys(hints))
    if right:
        parts.append(f"what would be right:\n  {right}")
    raise AssertionError("\n\n".join(parts))


def _refused(fake: Fake) -> Exchange | None:
    """Return the last request that was refused for a violation, None if there is none."""
    return next((exchange for exchange in reversed(fake.journal) if exchange.reason and exchange.violations), None)


def _address(fake: Fake, operation: Operation, generation_id: str = "<id>") -> str:
    """Return method and URL of an operation, on the host where the fake was last called."""
    base = fake.contract.base_url
    if fake.journal and fake.journal[-1].operation is not None:
        target = fake.journal[-1].request.target
        base = f"{target.scheme}://{target.netloc}"
    query = "&".join(f"{name}={quote(generation_id, safe='<>')}" for name in operation.query["required"])
    return f"{operation.method} {base}{operation.path}{f'?{query}' if query else ''}"
