"""Findings: what a server returned instead of what it should have, and which document says so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kling_contract.checks.claims import Claim
from kling_contract.checks.guard import UnexpectedCreation, excerpt
from kling_contract.checks.places import place_of, schema_place
from kling_contract.checks.refusal_claims import InvalidPayloadAccepted
from kling_contract.contract import Contract
from kling_contract.display import curl
from kling_contract.errors import ContractBroken
from kling_contract.redaction import redacted
from kling_contract.violation import Severity

__all__ = ["CheckResult", "Finding", "finding"]

_LONGEST = 4_000  # characters of one member: several flaws of one response are listed together


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One promise of the contract that a server does not keep.

    `severity` is "error", "warning" if only an assumption of the documents is broken, or "notice" if nothing is. `expected` is
    what should have come, `actual` what came, and `problem` what is wrong with it, unless that is plain. `document` and
    `pointer` are the place in the documents of `revision` that says so. `hint` says what to do about it. `others` counts
    further payloads that broke the same rule in the same place.

    `reproduce` is a curl line that sends the request again, with the key from the environment variable AIMLAPI_KEY ("": no
    single request shows it). `payload` is the smallest payload that shows it, `generation_id` a generation that should not have
    been created; both are None if there is none. `steps` lead to it, if one request is not enough.
    """

    claim: str
    description: str
    expected: str
    actual: str
    document: str
    pointer: str
    revision: str
    severity: Severity = "error"
    problem: str = ""
    hint: str = ""
    others: int = 0
    reproduce: str = ""
    payload: Any = None
    generation_id: str | None = None
    steps: tuple[str, ...] = ()

    @property
    def also(self) -> str:
        """The other payloads in words; empty if there are none."""
        return f"{self.others} other payload{'s' * (self.others > 1)}" if self.others else ""

    @property
    def rule(self) -> str:
        """The claim, as a report of several kinds of results has it."""
        return self.claim

    @property
    def part(self) -> str:
        """The document that says so, as a report of several kinds of results has it."""
        return self.document

    @property
    def message(self) -> str:
        """All of it in one line."""
        found = [
            f"expected: {self.expected}",
            f"actual: {self.actual}",
            self.problem,
            self.also and f"also {self.also}",
        ]
        return f"{self.description} {'; '.join(filter(None, [*found, self.reproduce]))}"

    @property
    def line(self) -> None:
        """None: the place is a pointer into the document."""
        return None

    @property
    def column(self) -> None:
        """None, as for `line`."""
        return None

    def __str__(self) -> str:
        payload = "" if self.payload is None else json.dumps(self.payload, ensure_ascii=False)
        rows = [
            ("expected", self.expected),
            ("by", f"{self.document}#{self.pointer} of {self.revision}"),
            ("actual", self.actual),
            ("problem", self.problem),
            ("also", self.also),
            *(("after", step) for step in self.steps),
            ("payload", payload),
            ("reproduce", self.reproduce),
            ("hint", self.hint),
        ]
        return "\n".join(
            [f"{self.claim}: {self.description}", *(f"  {label:9}  {value}" for label, value in rows if value)]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What checking one claim found. `skipped` says why it was not checked (None: it was).

    `incomplete` is True if the server or the time limit kept it from being checked to its end.
    """

    claim: str
    description: str
    findings: tuple[Finding, ...] = ()
    skipped: str | None = None
    incomplete: bool = False

    @property
    def name(self) -> str:
        """The claim, as a report of several kinds of results has it."""
        return self.claim

    @property
    def unreadable(self) -> str | None:
        """Why the claim was not checked to its end; None if it was, or if a finding says so."""
        return self.skipped if self.incomplete and not self.findings else None


def finding(claim: Claim, broken: ContractBroken, *, contract: Contract, key: str) -> Finding:
    """Return the finding for a claim that a server breaks. The key is nowhere in it."""
    document, pointer = place_of(claim.place, contract, broken.request)
    payload, others, generation_id = None, 0, None
    if isinstance(broken, InvalidPayloadAccepted):
        document, pointer = schema_place(contract, broken.mutation)
        payload, others = broken.payload, broken.others
    if isinstance(broken, UnexpectedCreation) and broken.generation_id is not None:
        generation_id = excerpt(broken.generation_id, key)
    return Finding(
        claim=claim.name,
        description=claim.description,
        expected=excerpt(broken.expected, key, most=_LONGEST),
        actual=excerpt(broken.actual, key, most=_LONGEST),
        problem=excerpt(broken.problem, key, most=_LONGEST),
        document=document,
        pointer=pointer,
        revision=contract.revision.id,
        severity="warning" if broken.assumed else "error",
        hint=claim.hint,
        others=others,
        reproduce="" if broken.request is None else _curl(broken.request, key),
        payload=payload,
        generation_id=generation_id,
        steps=tuple(redacted(line, key) for note in getattr(broken, "__notes__", ()) for line in note.splitlines()),
    )


def _curl(request: Any, key: str) -> str:
    return curl(request.method, str(request.url), request.headers, bytes(request.content or b""), key=key)
