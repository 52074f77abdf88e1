"""Did the code under test do right by the service? Claims about a fake's past that explain themselves when they fail."""

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
    """Claims about what was sent to a fake since it began, or since its last reset.

    One that does not hold raises AssertionError, whose text tells what happened instead: every exchange, what was wrong with
    it, the request concerned as a curl line, and the nearest thing that would have been right.
    """

    def assert_created_once(self) -> None:
        """One generation was made, neither none nor two, whether or not the answer arrived."""
        __tracebackhide__ = True
        made = [
            each
            for each in self.journal
            if each.operation == self.contract.create.id and each.generation_id is not None
        ]
        number = len(self.generations)
        if number == 0:
            refused = _refused(self)
            _fail(self, "no generation was created", refused, "" if refused else _address(self, self.contract.create))
        if number > 1:
            repeated = made[1] if len(made) > 1 else None
            first = next(iter(self.generations))
            lost = " (its answer was lost)" if made and not made[0].arrived else ""
            _fail(
                self,
                f"{number} generations were created, and each of them is paid for",
                repeated,
                f"the first create was accepted{lost}, and nothing tells a repeated one from a new one: "
                f"{_address(self, self.contract.get, first)}",
            )

    def assert_billed(self, amount: float | None = None) -> None:
        """Exactly `amount` has been booked by now, in the ledger's unit, and nothing is pending that may still be.

        None means: anything more than nothing. `fake.contract.price(seconds)` is what one video costs.
        """
        __tracebackhide__ = True
        ledger = self.ledger
        booked, pending, unit = ledger.booked, ledger.pending, ledger.unit
        if pending:
            _fail(
                self,
                f"{pending:,} {unit} are neither booked nor void yet ({booked:,} are booked)",
                None,
                "ask when the generation has ended, or move the clock on: fake.advance(seconds)",
            )
        if not (booked > 0 if amount is None else math.isclose(booked, amount)):
            wanted = "something" if amount is None else f"{amount:,} {unit}"
            charges = [f"{charge.amount:,} {charge.state}" for charge in ledger.charges[:10]]
            made = f" (charges: {', '.join(charges)})" if charges else " (no generation was created)"
            _fail(self, f"{wanted} should have been billed, and {booked:,} {unit} were{made}", _refused(self))

    def assert_no_violations(self) -> None:
        """No request broke the contract, not even in a way that was tolerated."""
        __tracebackhide__ = True
        wrong = [each for each in self.journal if each.violations]
        if wrong:
            found = sum(len(each.violations) for each in wrong)
            _fail(self, f"{found} violations in {len(wrong)} of {len(self.journal)} requests", wrong[0])

    def assert_polled_until_done(self) -> None:
        """Every generation was asked for until an answer arrived in which it had ended, well or badly; and there was one."""
        __tracebackhide__ = True
        if not self.generations:
            _fail(
                self,
                "no generation was created that could be polled",
                _refused(self),
                _address(self, self.contract.create),
            )
        seen: dict[str | None, list[Exchange]] = {}
        for each in self.journal:
            if each.operation == self.contract.get.id:
                seen.setdefault(each.generation_id, []).append(each)
        for generation in tuple(self.generations.values()):
            polls = seen.get(generation.id, [])
            told = [status for each in polls if (status := each.answered_status)]
            if any(self.contract.lifecycle.is_final(status) for status in told):
                continue
            last = f'last said "{told[-1]}"' if told else "never told how far it was"
            _fail(
                self,
                f"{generation.id} was not polled until it had ended: "
                f'{len(polls)} polls, {last}; now it is "{generation.status(self.clock.now())}"',
                polls[-1] if polls else _refused(self),
                _address(self, self.contract.get, generation.id),
            )

    def assert_stopped_on_error(self) -> None:
        """No generation was asked for again once an answer had arrived in which it had failed; and there was such an answer."""
        __tracebackhide__ = True
        failed: dict[str, tuple[Exchange, str]] = {}
        after: list[Exchange] = []
        for each in self.journal:
            if each.operation != self.contract.get.id or each.generation_id is None:
                continue
            if each.generation_id in failed:
                after.append(each)
            elif (status := each.answered_status) and self.contract.lifecycle.failed(status):
                failed[each.generation_id] = each, status
        if not failed:
            _fail(
                self,
                "no answer said that a generation had failed, so there was nothing to stop on",
                None,
                "a scenario in which one does, polled until it has",
            )
        if after:
            told, status = failed[after[0].generation_id or ""]
            later = sum(each.generation_id == told.generation_id for each in after)
            _fail(
                self,
                f'{told.generation_id} was polled {later} times more after "{status}"',
                told,
                f'"{status}" is final: nothing follows it, so stop there and read the error',
            )


def _fail(fake: Fake, claim: str, concerned: Exchange | None, nearest: str = "") -> NoReturn:
    __tracebackhide__ = True
    parts = [claim, f"exchanges, by the fake's clock:\n{text.table(fake.journal)}"]
    if wrong := text.violations(fake.journal):
        parts.append(f"violations:\n{wrong}")
    if concerned is not None:
        parts.append(f"the request concerned:\n  {text.curl(concerned)}")
        hints = [violation.hint for violation in concerned.violations if violation.hint]
        nearest = nearest or "\n  ".join(dict.fromkeys(hints))
    if nearest:
        parts.append(f"nearest right:\n  {nearest}")
    raise AssertionError("\n\n".join(parts))


def _refused(fake: Fake) -> Exchange | None:
    """Return the last request that was refused for what was wrong with it, None when none was."""
    return next((each for each in reversed(fake.journal) if each.reason and each.violations), None)


def _address(fake: Fake, operation: Operation, generation_id: str = "<id>") -> str:
    """Return method and URL of an operation, on the host where the fake was last called."""
    base = fake.contract.base_url
    if fake.journal and fake.journal[-1].operation is not None:
        target = fake.journal[-1].request.target
        base = f"{target.scheme}://{target.netloc}"
    query = "&".join(f"{name}={quote(generation_id, safe='<>')}" for name in operation.query["required"])
    return f"{operation.method} {base}{operation.path}{f'?{query}' if query else ''}"
