"""The summary of a run: what a program sent, what became of its generations, and what they would have cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

from fake_server.journal.text import shortened
from fake_server.messages import Exchange
from fake_server.recording.traffic import title
from fake_server.server import FakeServer
from kling_contract import reports
from kling_contract.display import counted, printable
from kling_contract.violation import SEVERITIES, FileResult, Violation

__all__ = ["ENDS", "Cost", "Deviation", "End", "Escape", "Summary"]

End = Literal["succeeded", "failed", "not polled to the end", "never polled", "unknown"]
"""How a generation ended for the program that created it. "unknown": the journal has dropped what would tell."""

ENDS: tuple[End, ...] = get_args(End)

_NAMED = 3  # deviations that the text names
_TITLE = 72  # characters
_LABEL = 13  # characters
_BAD, _GOOD, _DOUBTFUL = "1;31", "32", "33"  # ANSI colors, those of the other reports


@dataclass(frozen=True, slots=True)
class Escape:
    """Connections to another host than those of the fake: `address` is its host:port, and each was "refused" or "noticed"."""

    address: str
    outcome: Literal["refused", "noticed"]
    times: int = 1

    def __str__(self) -> str:
        return f"{printable(self.address)} ({self.outcome}, {counted(self.times, 'time')})"


@dataclass(frozen=True, slots=True)
class Deviation:
    """A violation that requests had in common, without line and column. `exchange` names them; `times` is their number."""

    exchange: str
    violation: Violation
    times: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What the generations would have cost, in `unit`. `unknown` has the model of each generation whose price nobody knows."""

    unit: str
    booked: float
    pending: float
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.booked:,.0f} {self.unit}"]
        if self.pending:
            parts.append(f"{self.pending:,.0f} more if the unfinished ones succeed")
        if self.unknown:
            models = ", ".join(map(printable, dict.fromkeys(self.unknown)))
            parts.append(f"and {counted(len(self.unknown), 'generation')} of unknown price ({models})")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Summary:
    """What one run did.

    - `exchanges`: how many requests reached the fake; `dropped` of them are not in its journal any more, and so in none of
      what follows but the cost.
    - `deviations`: the violations, equal ones together; the worst first, and of those the most frequent.
    - `ends`: how many generations ended how.
    - `polls_after_end`: polls of a generation after a response that arrived had said that it had ended.
    - `created_twice`: creates that were sent again, so that the video would have been paid for again: the same payload
      had already created a generation, but the response did not arrive, was late, or had no id, and the program never
      polled that generation. The same payload after a response with an id is a second order, and does not count.
    - `escapes`: connections to other hosts.
    - `isolation`: what is known about connections that nobody saw, in one sentence ("": nothing is said).
    """

    exchanges: int
    dropped: int
    deviations: tuple[Deviation, ...]
    ends: Mapping[End, int]
    cost: Cost
    polls_after_end: int
    created_twice: int
    escapes: tuple[Escape, ...] = ()
    isolation: str = ""

    @classmethod
    def of(
        cls,
        fake: FakeServer,
        *,
        escapes: Iterable[Escape] = (),
        isolation: str = "",
        restored: Collection[str] = (),
    ) -> Self:
        """Return the summary of a run that used `fake`, as the run left it.

        `escapes` to the same address with the same outcome are added up. `restored` are the ids of generations that the fake
        had before the run, from its state file: they are not counted, nor is what they cost.
        """
        journal = tuple(fake.journal)
        charges = [charge for charge in fake.ledger.charges if charge.generation_id not in restored]
        cost = Cost(
            fake.ledger.unit,
            sum(charge.amount or 0 for charge in charges if charge.state == "booked"),
            sum(charge.amount or 0 for charge in charges if charge.state == "pending"),
            tuple(charge.model for charge in charges if charge.state == "unknown"),
        )
        polls = [exchange for exchange in journal if exchange.operation == fake.contract.get.id]
        ended, late = _ended(fake, polls)
        polled = {poll.generation_id for poll in polls}
        ends = Counter(
            _end(fake, identifier, polled=polled, ended=ended)
            for identifier in fake.generations
            if identifier not in restored
        )
        times = Counter[tuple[str, Literal["refused", "noticed"]]]()
        for escape in escapes:
            times[escape.address, escape.outcome] += escape.times
        return cls(
            exchanges=len(journal) + fake.journal.dropped,
            dropped=fake.journal.dropped,
            deviations=_deviations(journal),
            ends={end: ends[end] for end in ENDS if ends[end]},
            cost=cost,
            polls_after_end=late,
            created_twice=_created_twice(fake, polled),
            escapes=tuple(Escape(address, outcome, number) for (address, outcome), number in times.items()),
            isolation=isolation,
        )

    @property
    def generations(self) -> int:
        """How many generations were created."""
        return sum(self.ends.values())

    @property
    def violations(self) -> int:
        """How many violations there were of the severity "error"."""
        return sum(each.times for each in self.deviations if each.violation.severity == "error")

    @property
    def tolerated(self) -> int:
        """How many violations there were that are no errors: the service is known to accept them, or to be likely to."""
        return sum(each.times for each in self.deviations if each.violation.severity != "error")

    def text(self, *, color: bool = False) -> str:
        """Return the summary as lines for a person. `color` adds ANSI colors."""

        def painted(text: str, code: str) -> str:
            return f"\x1b[{code}m{text}\x1b[0m" if color else text

        def row(label: str, text: str, code: str = "") -> str:
            return f"  {label:<{_LABEL}} {painted(text, code) if code else text}"

        wrong = [
            text
            for number, text in (
                (self.violations, counted(self.violations, "violation")),
                (self.tolerated, counted(self.tolerated, "tolerated deviation")),
            )
            if number
        ]
        what = ", ".join(wrong) or "no violations"
        tone = _BAD if self.violations else _DOUBTFUL if self.tolerated else _GOOD
        lines = [f"kling-contract: {counted(self.exchanges, 'exchange')}, {painted(what, tone)}"]
        if not self.exchanges:
            lines = [f"kling-contract: {painted('no request reached the fake', _DOUBTFUL)}"]
        if self.dropped:
            lines.append(row("journal", f"the {self.dropped:,} oldest exchanges were dropped and are not judged here"))
        for deviation in self.deviations[:_NAMED]:
            times = f" (x {deviation.times:,})" if deviation.times > 1 else ""
            named = FileResult(f"{shortened(deviation.exchange, _TITLE)}{times}", [deviation.violation])
            *told, _ = reports.lines([named], "text", color=color)
            lines += [f"  {line}" for line in told]
        if (more := len(self.deviations) - _NAMED) > 0:
            lines.append(f"  … {more:,} more kinds of deviations: --report text=PATH has all")
        if self.generations:
            ends = ", ".join(f"{number:,} {end}" for end, number in self.ends.items())
            lines.append(row("generations", ends, "" if self._all_ended else _DOUBTFUL))
            lines.append(row("would cost", str(self.cost)))
        if self.created_twice:
            lines.append(
                row(
                    "created twice",
                    f"{self.created_twice:,}, after a response that was lost, late or without an id",
                    _BAD,
                )
            )
        if self.polls_after_end:
            lines.append(row("late polls", f"{self.polls_after_end:,} after the end of a generation", _DOUBTFUL))
        if self.escapes:
            lines.append(row("other hosts", ", ".join(map(str, self.escapes)), _DOUBTFUL))
        if self.isolation:
            lines.append(row("isolation", printable(self.isolation)))
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the summary as plain JSON values. Nothing is left out or shortened."""
        return {
            "exchanges": self.exchanges,
            "dropped": self.dropped,
            "violations": self.violations,
            "tolerated": self.tolerated,
            "deviations": [
                {"exchange": each.exchange, "times": each.times, **reports.fields_of(each.violation)}
                for each in self.deviations
            ],
            "generations": self.generations,
            "ends": dict(self.ends),
            "cost": {**asdict(self.cost), "unknown": list(self.cost.unknown)},
            "polls_after_end": self.polls_after_end,
            "created_twice": self.created_twice,
            "escapes": [asdict(escape) for escape in self.escapes],
            "isolation": self.isolation,
        }

    @property
    def _all_ended(self) -> bool:
        return not self.ends.keys() - {"succeeded", "failed"}


def _ended(fake: FakeServer, polls: Iterable[Exchange]) -> tuple[dict[str, End], int]:
    """Return how the generations ended of which the program was told the end, by id, and how often it polled after that."""
    ended: dict[str, End] = {}
    late = 0
    for poll in polls:
        identifier = poll.generation_id
        if identifier is None:
            continue
        late += identifier in ended
        if (status := poll.reported_status) and fake.contract.lifecycle.is_final(status):
            ended[identifier] = "succeeded" if fake.contract.lifecycle.succeeded(status) else "failed"
    return ended, late


def _end(fake: FakeServer, identifier: str, *, polled: Collection[str | None], ended: Mapping[str, End]) -> End:
    if identifier in ended:
        return ended[identifier]
    if fake.journal.dropped:
        return "unknown"
    return "not polled to the end" if identifier in polled else "never polled"


def _deviations(exchanges: Iterable[Exchange]) -> tuple[Deviation, ...]:
    found: dict[tuple[str, str], list[Violation]] = {}
    for exchange in exchanges:
        for violation in (replace(each, line=None, column=None) for each in exchange.violations):
            found.setdefault((title(exchange), repr(violation)), []).append(violation)
    deviations = [Deviation(name, same[0], len(same)) for (name, _), same in found.items()]
    return tuple(sorted(deviations, key=lambda each: (SEVERITIES.index(each.violation.severity), -each.times)))


def _created_twice(fake: FakeServer, polled: Collection[str | None]) -> int:
    lost: set[str] = set()
    twice = 0
    for create in fake.journal.creates:
        if create.generation_id is None:
            continue
        payload = _payload(create)
        twice += payload in lost
        if create.generation_id in polled or _brought_id(create):
            lost.discard(payload)
        else:
            lost.add(payload)
    return twice


def _payload(create: Exchange) -> str:
    """Return the payload as a text that is the same for equal JSON values."""
    try:
        return json.dumps(create.request.json(), sort_keys=True)
    except (ValueError, RecursionError):
        return repr(create.request.body)


def _brought_id(create: Exchange) -> bool:
    """Return whether the response certainly told the program the id. One that was late may have come after its timeout."""
    if not create.arrived or create.reply.delay or create.reply.status >= 300:
        return False
    try:
        answer = create.reply.json()
    except (ValueError, RecursionError):
        return False
    return isinstance(answer, dict) and answer.get("id") == create.generation_id
