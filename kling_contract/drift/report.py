"""Reports of changes as text, JSON and Markdown, the worst change first."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from kling_contract.drift.changes import Change, breaks
from kling_contract.drift.difference import BREAKAGES, Breakage

__all__ = ["as_json", "as_markdown", "as_text"]


def as_text(changes: Sequence[Change], *, old: str, new: str) -> str:
    """Return the changes for a terminal: one line each, grouped by breakage, with its counterexample below."""
    lines = [f"{old} -> {new}: {_summary(changes)}"]
    for breakage in (*BREAKAGES, None):
        group = [change for change in changes if change.worst == breakage]
        if group:
            lines += ["", breakage or "observed only"]
        for change in group:
            lines.append(f"  {change.where}: {change.description}")
            if change.counterexample is not None:
                lines.append(f"    counterexample: {_brief(change.counterexample)}")
    return "\n".join(lines) + "\n"


def as_json(changes: Sequence[Change], *, old: str, new: str) -> str:
    """Return the changes as one JSON object: `old`, `new`, `breaks` and `changes`, each with every field of a `Change`."""
    fields = [field.name for field in dataclasses.fields(Change)]
    listed = [{name: getattr(change, name) for name in fields} for change in sorted(changes, key=_rank)]
    report = {"old": old, "new": new, "breaks": breaks(changes), "changes": listed}
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def as_markdown(changes: Sequence[Change], *, old: str, new: str) -> str:
    """Return the changes as a heading and a table, for a pull request or a changelog."""
    lines = [f"### {old} → {new}", "", f"{_summary(changes).capitalize()}."]
    if changes:
        lines += ["", "| where | change | requests | responses |", "|---|---|---|---|"]
    for change in sorted(changes, key=_rank):
        cells = (change.where, change.description, _emphasised(change.requests), _emphasised(change.responses))
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _rank(change: Change) -> int:
    return (*BREAKAGES, None).index(change.worst)


def _summary(changes: Sequence[Change]) -> str:
    if not changes:
        return "nothing changed"
    counts = [f"{sum(change.worst == breakage for change in changes)} {breakage}" for breakage in BREAKAGES]
    return f"{len(changes)} change{'' if len(changes) == 1 else 's'}: {', '.join(counts)}"


def _emphasised(breakage: Breakage | None) -> str:
    return f"**{breakage}**" if breakage == BREAKAGES[0] else breakage or "-"


def _brief(value: Any) -> str:
    """Return a value as JSON, with long arrays and long text cut, so that its shape can be seen."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {_brief(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list) and len(value) > 3:
        return f"[{_brief(value[0])}, … {len(value)} in all]"
    if isinstance(value, list):
        return "[" + ", ".join(map(_brief, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + '…"'
