"""How is a comparison shown? The changes between two states of the API as text, JSON and Markdown, the worst first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kling_contract.drift.changes import VERDICTS, Change, Verdict, breaks

__all__ = ["as_json", "as_markdown", "as_text"]

_NO_CHANGE = "nothing changed"


def as_text(changes: Sequence[Change], *, old: str, new: str) -> str:
    """Return the changes for a terminal: one line each, under its verdict, with what proves it below."""
    lines = [f"{old} -> {new}: {_summary(changes)}"]
    for verdict in (*VERDICTS, None):
        alike = [change for change in changes if change.worst == verdict]
        if alike:
            lines += ["", verdict or "no verdict"]
        for change in alike:
            lines.append(f"  {change.where} ({_concerned(change)}): {change.sentence}")
            if change.witness is not None:
                lines.append(f"    was fine: {_brief(change.witness)}")
    return "\n".join(lines) + "\n"


def as_json(changes: Sequence[Change], *, old: str, new: str) -> str:
    """Return the changes as one JSON object: `old`, `new`, `breaks` and `changes`, each with every field of a `Change`."""
    listed = [
        {
            "operations": list(change.operations),
            "part": change.part,
            "pointer": change.pointer,
            "kind": change.kind,
            "was": change.was,
            "now": change.now,
            "senders": change.senders,
            "readers": change.readers,
            "sentence": change.sentence,
            "witness": change.witness,
        }
        for change in sorted(changes, key=_rank)
    ]
    whole = {"old": old, "new": new, "breaks": breaks(changes), "changes": listed}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def as_markdown(changes: Sequence[Change], *, old: str, new: str) -> str:
    """Return the changes as a heading and a table, for a pull request or a changelog."""
    lines = [f"### {old} → {new}", "", f"{_summary(changes).capitalize()}."]
    if changes:
        lines += ["", "| where | change | senders | readers |", "|---|---|---|---|"]
    for change in sorted(changes, key=_rank):
        cells = (change.where, change.sentence, _verdict(change.senders), _verdict(change.readers))
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _rank(change: Change) -> int:
    return (*VERDICTS, None).index(change.worst)


def _summary(changes: Sequence[Change]) -> str:
    if not changes:
        return _NO_CHANGE
    counted = [f"{sum(each.worst == verdict for each in changes)} {verdict}" for verdict in VERDICTS]
    return f"{len(changes)} change{'' if len(changes) == 1 else 's'}: {', '.join(counted)}"


def _concerned(change: Change) -> str:
    concerned = [who for who, verdict in (("senders", change.senders), ("readers", change.readers)) if verdict]
    return " and ".join(concerned) or "nobody was promised anything"


def _verdict(verdict: Verdict | None) -> str:
    return f"**{verdict}**" if verdict == VERDICTS[0] else verdict or "-"


def _brief(value: Any) -> str:
    """Return a value as JSON, with long arrays and long text cut: a person wants to see the shape."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {_brief(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list) and len(value) > 3:
        return f"[{_brief(value[0])}, … {len(value)} in all]"
    if isinstance(value, list):
        return "[" + ", ".join(map(_brief, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + '…"'
