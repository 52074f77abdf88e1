"""Claims about reports: text, Markdown and JSON hold every change."""

from __future__ import annotations

import functools
import json
import re
from itertools import permutations

import pytest

from kling_contract import Contract, revisions
from kling_contract.drift import Change, as_json, as_markdown, as_text, breaks, diff
from kling_contract.drift.difference import BREAKAGES

PAIRS = list(permutations(revisions(), 2))


@functools.cache
def _between(old: str, new: str) -> list[Change]:
    return diff(Contract.load(old), Contract.load(new))


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_every_change_is_shown(old: str, new: str) -> None:
    """Text, Markdown and JSON hold every change, the worst first, and JSON every field of it."""
    changes = _between(old, new)
    whole = json.loads(as_json(changes, old=old, new=new))
    assert (whole["old"], whole["new"], whole["breaks"]) == (old, new, breaks(changes))
    fields = list(Change.__dataclass_fields__)
    listed = [{**each, "operations": tuple(each["operations"])} for each in whole["changes"]]
    assert all(list(each) == fields for each in listed)
    ranks = [(*BREAKAGES, None).index(Change(**each).worst) for each in listed]
    assert ranks == sorted(ranks)
    assert len(listed) == len(changes)
    assert all(Change(**each) in changes for each in listed)
    text, table = as_text(changes, old=old, new=new), as_markdown(changes, old=old, new=new)
    assert all(change.description in text for change in changes)
    assert table.count("\n| ") == len(changes) + bool(changes)


def test_no_change_is_said_too() -> None:
    """Where nothing changed, each form says so, and nothing breaks."""
    assert not breaks([])
    assert "nothing changed" in as_text([], old="a", new="b")
    assert "nothing changed" in as_markdown([], old="a", new="b").lower()
    assert json.loads(as_json([], old="a", new="b"))["changes"] == []


def test_a_sentence_cannot_break_the_table() -> None:
    """A vertical bar or a line break in a document does not end a cell."""
    change = Change(("op",), "request", "/a|b", "enum", "x|y", "z", "breaking", None, "a|b\nc")
    (row,) = [line for line in as_markdown([change], old="a", new="b").splitlines() if "a\\|b" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
