"""Reports of changes as text, JSON and Markdown, the worst change first."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kling_contract.display import counted
from kling_contract.drift.changes import OBSERVED_ONLY, Change, breaks
from kling_contract.drift.difference import BREAKAGES, Breakage
from kling_contract.drift.family import FamilyChanges, ModelChanges
from kling_contract.drift.shortening import shortened

__all__ = ["as_json", "as_markdown", "as_text"]

_WIDTH = 120
_PLURAL = {"was": "were ", "is": "are "}


def as_text(changes: Sequence[Change] | FamilyChanges, *, old: str, new: str) -> str:
    """Return the changes for a terminal: one line each, grouped by breakage, with its counterexample below.

    Those of a family are also grouped by model, with one counterexample for each group.
    """
    if isinstance(changes, FamilyChanges):
        return "\n".join(_family_lines(changes, old, new)) + "\n"
    lines = [f"{old} -> {new}: {_summary(changes)}"]
    for breakage, group in _by_breakage(changes):
        lines += ["", breakage or "observed only"]
        for change in group:
            lines.append(f"  {change.where}: {change.description}")
            if change.counterexample is not None:
                lines.append(f"    counterexample: {_brief(change.counterexample)}")
    return "\n".join(lines) + "\n"


def as_json(changes: Sequence[Change] | FamilyChanges, *, old: str, new: str) -> str:
    """Return the changes as one JSON object: `old`, `new`, `breaks` and `changes`, each with every field of a `Change`.

    For a family it has `old`, `new`, `breaks`, `added`, `gone` and `groups`, each with `models` and `changes`.
    """
    report: dict[str, Any] = {"old": old, "new": new}
    if isinstance(changes, FamilyChanges):
        report |= {"breaks": changes.breaks, "added": list(changes.added), "gone": list(changes.gone)}
        report["groups"] = [
            {"models": list(group.models), "changes": _listed(group.changes)} for group in changes.groups
        ]
    else:
        report |= {"breaks": breaks(changes), "changes": _listed(changes)}
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def as_markdown(changes: Sequence[Change] | FamilyChanges, *, old: str, new: str) -> str:
    """Return the changes as a heading and a table, for a pull request or a changelog.

    Those of a family have a table for each group of models.
    """
    lines = [f"### {old} → {new}", ""]
    if isinstance(changes, FamilyChanges):
        lines.append(f"{_family_summary(changes).capitalize()}.")
        for title, models in _come_and_gone(changes):
            lines += ["", f"**{title}**: {_code(models)}"]
        for group in changes.groups:
            lines += ["", f"#### {_group_title(group).capitalize()}", "", _code(group.models)]
            lines += _table(group.changes)
            if group.witness is not None:
                lines += ["", f"Counterexample: `{_brief(group.witness.counterexample)}`"]
    else:
        lines += [f"{_summary(changes).capitalize()}.", *_table(changes)]
    return "\n".join(lines) + "\n"


def _family_lines(family: FamilyChanges, old: str, new: str) -> Iterator[str]:
    yield f"{old} -> {new}: {_family_summary(family)}"
    for title, models in _come_and_gone(family):
        yield from ("", title, *_names(models))
    for group in family.groups:
        yield from ("", _group_title(group), *_names(group.models))
        for breakage, changes in _by_breakage(group.changes):
            yield f"  {breakage or 'observed only'}"
            yield from _merged(changes)
            if group.witness in changes:
                yield f"    counterexample: {_brief(group.witness.counterexample)}"


def _family_summary(family: FamilyChanges) -> str:
    if not (family.added or family.gone or any(group.changes for group in family.groups)):
        return "nothing changed"
    compared = sum(len(group.models) for group in family.groups)
    broken = sum(len(group.models) for group in family.groups if group.worst == BREAKAGES[0])
    same = len(family.same)
    fates = [(len(family.gone), "gone"), (len(family.added), "added"), (compared, "in both")]
    of_both = [(broken, "with breaking changes"), (compared - broken - same, "with others"), (same, "the same")]
    return f"models: {_counts(fates)} ({_counts(of_both)})"


def _counts(counts: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{count} {what}" for count, what in counts if count) or "none"


def _merged(changes: Sequence[Change]) -> list[str]:
    """Return lines for each change, but the same ones for those that differ in the place alone."""
    places: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        place, told = change.pointer, change.description.removesuffix(OBSERVED_ONLY)
        rest = told.removeprefix(place) if place and told.startswith(place) else ""
        places.setdefault((change.where, rest or told), []).append(place if rest else "")
    lines = []
    for (where, told), found in places.items():
        plural = re.sub(r"\b(was|is) (?=added|removed|required|now|no longer)", lambda verb: _PLURAL[verb[1]], told)
        line = f"{where}: {', '.join(found)}{plural if len(found) > 1 and told.startswith(' ') else told}"
        lines += _wrapped(line, first="    ", others="      ")
    return lines


def _come_and_gone(family: FamilyChanges) -> Iterator[tuple[str, Sequence[str]]]:
    if family.gone:
        yield f"gone, {counted(len(family.gone), 'model')}: a create is refused now (breaking)", family.gone
    if family.added:
        yield f"added, {counted(len(family.added), 'model')}", family.added


def _group_title(group: ModelChanges) -> str:
    models = counted(len(group.models), "model")
    return f"{models}: {_summary(group.changes)}"


def _names(models: Iterable[str]) -> list[str]:
    """Return the lines that name some models, in as few words as possible."""
    return _wrapped(" ".join(shortened(models)), first="  ", others="  ")


def _wrapped(text: str, *, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _code(models: Iterable[str]) -> str:
    return ", ".join(f"`{pattern}`" for pattern in shortened(models))


def _by_breakage(changes: Sequence[Change]) -> Iterator[tuple[Breakage | None, list[Change]]]:
    for breakage in (*BREAKAGES, None):
        group = [change for change in changes if change.worst == breakage]
        if group:
            yield breakage, group


def _listed(changes: Sequence[Change]) -> list[dict[str, Any]]:
    fields = [field.name for field in dataclasses.fields(Change)]
    return [{name: getattr(change, name) for name in fields} for change in sorted(changes, key=_rank)]


def _table(changes: Sequence[Change]) -> list[str]:
    rows = ["", "| where | change | requests | responses |", "|---|---|---|---|"] if changes else []
    for change in sorted(changes, key=_rank):
        cells = (change.where, change.description, _emphasised(change.requests), _emphasised(change.responses))
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return rows


def _rank(change: Change) -> int:
    return (*BREAKAGES, None).index(change.worst)


def _summary(changes: Sequence[Change]) -> str:
    if not changes:
        return "nothing changed"
    counts = [(len(group), breakage or "observed only") for breakage, group in _by_breakage(changes)]
    return f"{counted(len(changes), 'change')}: {_counts(counts)}"


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
