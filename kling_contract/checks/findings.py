"""What did asking a server bring to light? A finding says what should have come, what came, and which document has it so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kling_contract.checks.guard import UnexpectedCreation, excerpt
from kling_contract.checks.places import place_of, schema_place
from kling_contract.checks.plan import Question
from kling_contract.checks.refusal_claims import InvalidPayloadAccepted
from kling_contract.contract import Contract
from kling_contract.display import curl
from kling_contract.errors import ContractBroken
from kling_contract.redaction import redacted
from kling_contract.violation import Severity

__all__ = ["Finding", "Verdict", "finding"]

_SENTENCES = 4_000  # characters: several faults of one answer are told together


@dataclass(frozen=True, slots=True)
class Finding:
    """One promise that a server does not keep.

    `severity` is "error", or "warning" where no more than an assumption of the documents is broken. `expected` is what should
    have come, `came` what did; `document` and `pointer` say where in which document of `revision` that
    is written; `curl` sends the request again, with the key in the environment variable AIMLAPI_KEY (empty: no one request
    shows it); `payload` is the smallest payload that shows it, `generation_id` a generation that was made against all expectation,
    `steps` what led there; each is None or empty where there is none.
    """

    claim: str
    sentence: str
    expected: str
    came: str
    document: str
    pointer: str
    revision: str
    severity: Severity = "error"
    curl: str = ""
    payload: Any = None
    generation_id: str | None = None
    steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"{self.document}#{self.pointer} of {self.revision}"
        lines = [f"{self.claim}: {self.sentence}", f"  expected  {self.expected}", f"  by        {place}"]
        lines += [f"  came      {self.came}"]
        lines += [f"  after     {step}" for step in self.steps]
        lines += [f"  payload   {json.dumps(self.payload, ensure_ascii=False)}"] if self.payload is not None else []
        return "\n".join([*lines, *([f"  again     {self.curl}"] if self.curl else [])])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one question. `left_out` says why it was not asked, or not to its end (None: it was)."""

    claim: str
    sentence: str
    findings: tuple[Finding, ...] = ()
    left_out: str | None = None
    incomplete: bool = False


def finding(question: Question, broken: ContractBroken, *, contract: Contract, key: str) -> Finding:
    """Return what a broken contract means to whoever asked a question. The key is nowhere in it."""
    document, pointer = place_of(question, contract, broken.request)
    if isinstance(broken, InvalidPayloadAccepted):
        document, pointer = schema_place(contract, broken.mutation)
    return Finding(
        claim=question.name,
        sentence=question.sentence,
        expected=excerpt(broken.wrong, key, most=_SENTENCES),
        came=excerpt(broken.came or str(broken), key, most=_SENTENCES),
        document=document,
        pointer=pointer,
        revision=contract.revision.id,
        severity="warning" if broken.assumed else "error",
        curl="" if broken.request is None else _curl(broken.request, key),
        payload=broken.payload if isinstance(broken, InvalidPayloadAccepted) else None,
        generation_id=_generation_id(broken, key),
        steps=tuple(redacted(line, key) for note in getattr(broken, "__notes__", ()) for line in note.splitlines()),
    )


def _curl(request: Any, key: str) -> str:
    return curl(request.method, str(request.url), request.headers, bytes(request.content or b""), key=key)


def _generation_id(broken: ContractBroken, key: str) -> str | None:
    found = broken.generation_id if isinstance(broken, UnexpectedCreation) else None
    return None if found is None else excerpt(found, key)
