"""Violations: what is wrong with a message, how severe it is, and the violations of one file together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

__all__ = [
    "SEVERITIES",
    "STRICTNESS",
    "UNREADABLE",
    "FileResult",
    "Severity",
    "Strictness",
    "Violation",
    "check_strictness",
    "failing",
    "has_errors",
]


Severity = Literal["error", "warning", "notice"]


Strictness = Literal["strict", "lax", "off"]


STRICTNESS: tuple[Strictness, ...] = get_args(Strictness)


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong.

    `pointer` is the JSON pointer of the value ("" is the whole; for a missing member, where it should be). `rule` is the JSON
    Schema keyword that is broken, or "json" (not JSON at all), "undeclared", "deprecated" or "guideline" (a rule that the
    provider states only in words). `since` is the oldest known revision from which on the rule has held (None: unknown).
    `hint` says how to fix it (None: there is no advice). `part` is the part of the message that it is in. `line` and `column`
    count from 1 (None: what was validated is not a text).
    `limit` is the value of the broken keyword in the schema, such as [5, 10] for "enum" (None: the rule is not a keyword).
    `schema` is what the schema says of the value at `pointer`, also of a missing member (None: nothing). These two are
    for programs: reports leave them out, and two violations that differ only in them are equal.
    """

    pointer: str
    rule: str
    message: str
    severity: Severity = "error"
    hint: str | None = None
    since: str | None = None
    part: str = "body"
    line: int | None = None
    column: int | None = None
    limit: Any = field(default=None, compare=False, repr=False)
    schema: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def reason(self) -> str | None:
        """Why the API refuses a request with this error, as `observed.refusals.reasons` names it; None for a response."""
        return _REASONS_BY_RULE.get((self.part, self.rule)) or _REASONS_BY_PART.get(self.part)

    def __str__(self) -> str:
        where = self.pointer if self.part == "body" else f"{self.part} {self.pointer}".rstrip()
        text = f"{where or 'the whole'}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


_REASONS_BY_RULE = {
    ("header", "security"): "unauthorized",
    ("header", "mediaType"): "wrong_media_type",
    ("body", "size"): "too_large",
    ("body", "withdrawn"): "model_withdrawn",
    ("query", "unknown"): "unknown_generation",
}
_REASONS_BY_PART = {
    "path": "unknown_path",
    "method": "wrong_method",
    "query": "invalid_query",
    "body": "invalid_body",
}


def check_strictness(strictness: Strictness) -> Strictness:
    """Return `strictness`. Raise ValueError, which lists the possible ones, for anything else."""
    if strictness not in STRICTNESS:
        raise ValueError(f"strictness must be one of {', '.join(STRICTNESS)}, not {strictness!r}")
    return strictness


def has_errors(violations: Sequence[Violation]) -> bool:
    """Return whether one of these violations is an error."""
    return any(violation.severity == "error" for violation in violations)


SEVERITIES: tuple[Severity, ...] = ("error", "warning", "notice")
"""The worst one first."""


def failing(fail_on: Severity) -> Sequence[Severity]:
    """Return the severities that are as bad as `fail_on` or worse."""
    return SEVERITIES[: SEVERITIES.index(fail_on) + 1]


UNREADABLE = "unreadable"
"""The rule of the one violation of a file that cannot be read."""


@dataclass(frozen=True, slots=True)
class FileResult:
    """The violations of one file, or of whatever else was checked under a `name`, such as a recorded exchange.

    `unreadable` says why it could not be checked at all (None: it was).
    """

    name: str
    violations: Sequence[Violation] = ()
    unreadable: str | None = None

    @property
    def verdict(self) -> Literal["accepted", "refused", "unreadable"]:
        """Whether the contract accepts it."""
        if self.unreadable is not None:
            return "unreadable"
        return "refused" if has_errors(self.violations) else "accepted"

    @property
    def findings(self) -> list[Violation]:
        """The violations, the worst first; one that could not be checked has one violation, which says why."""
        if self.unreadable is not None:
            return [Violation("", UNREADABLE, self.unreadable, part="file")]
        return sorted(self.violations, key=lambda violation: SEVERITIES.index(violation.severity))

    @property
    def skipped(self) -> None:
        """None: whatever is named is checked."""
        return None
