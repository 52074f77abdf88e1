"""Claims about changes: what they break is what a person reads off the documents, and counterexamples prove it."""

from __future__ import annotations

import copy
import functools
import re
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_contract import Contract, revisions, validate
from kling_contract.contract.documents import FIXTURES, read_json
from kling_contract.drift import ApiDocument, Change, diff, diff_family
from kling_contract.strategies import valid_requests

YARDSTICK = sorted((FIXTURES / "drift").glob("*.json"))
PAIRS = list(permutations(revisions(), 2))


@functools.cache
def _between(old: str, new: str) -> list[Change]:
    return diff(Contract.load(old), Contract.load(new))


def _key(change: Change) -> tuple[str, str, str]:
    return change.part, change.pointer, change.kind


def test_there_is_a_yardstick_for_every_step() -> None:
    """Each revision has been compared with the one before it by hand."""
    known = [(read_json(path)["old"], read_json(path)["new"]) for path in YARDSTICK]
    assert known == list(pairwise(revisions()))


@pytest.mark.parametrize("path", YARDSTICK, ids=lambda path: path.stem)
def test_breakages_are_those_of_the_yardstick(path: Path) -> None:
    """Every change that was read off the documents by hand is found, with what it breaks, and nothing else breaks anything."""
    expected = read_json(path)
    found = {_key(change): change for change in _between(expected["old"], expected["new"])}
    listed = {(each["part"], each["pointer"], each["kind"]): each for each in expected["changes"]}
    for key, each in listed.items():
        assert key in found
        assert (found[key].requests, found[key].responses) == (each.get("requests"), each.get("responses"))
    grave = {key for key, change in found.items() if change.worst in ("breaking", "breaking if strict")}
    assert grave <= set(listed)


@pytest.mark.parametrize("revision", revisions())
def test_nothing_changes_by_itself(revision: str) -> None:
    """A revision compared with itself shows no change."""
    assert _between(revision, revision) == []


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_counterexamples_prove_what_breaks_requests(old: str, new: str) -> None:
    """A change that breaks requests shows one that was valid: it is refused now, or a field of it is unknown now."""
    shown = [change for change in _between(old, new) if change.part == "request" and change.requests != "non-breaking"]
    for change in shown:
        if any(each.kind == "renamed" and _covers(_now(each), change.pointer) for each in shown):
            continue  # only requests with the new name meet what else changed in a renamed field
        assert not _errors(change.counterexample, old)
        after = validate(change.counterexample, revision=new, strictness="strict")
        if change.kind in ("removed", "renamed"):
            assert any(v.rule == "undeclared" and _covers(change.pointer, v.pointer) for v in after)
        else:
            assert any(v.severity == "error" and _covers(change.pointer, v.pointer) for v in after)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(PAIRS))
def test_nothing_else_breaks_requests(data: st.DataObject, pair: tuple[str, str]) -> None:
    """Every valid request that is refused now is refused at a place where a change is reported as breaking requests."""
    old, new = pair
    breaking = [change for change in _between(old, new) if change.requests == "breaking"]
    reported = [_now(change) for change in breaking]
    payload = data.draw(valid_requests(revision=old))
    for violation in validate(payload, revision=new, strictness="strict"):
        if violation.severity == "error":
            assert any(_covers(pointer, violation.pointer) for pointer in reported)


def _errors(payload: Any, revision: str) -> list[Any]:
    return [v for v in validate(payload, revision=revision, strictness="strict") if v.severity == "error"]


def _covers(changed: str, violated: str) -> bool:
    """Return whether a violation is at or below a changed place, in which "*" is any item."""
    return (re.sub(r"/\d+(?=/|$)", "/*", violated) + "/").startswith(changed + "/")


def _now(change: Change) -> str:
    return change.pointer.rpartition("/")[0] + f"/{change.now}" if change.kind == "renamed" else change.pointer


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_path_breaks_requests_when_it_is_not_served_any_more(old: str, new: str) -> None:
    """Another path is a change, and a break unless the old one still leads to the operation."""
    before, after = Contract.load(old), Contract.load(new)
    found = [change for change in diff(before, after) if change.kind == "path"]
    paths = {operation.path for operation in before.operations.values()}
    moved = paths != {operation.path for operation in after.operations.values()}
    assert bool(found) is moved
    for change in found:
        assert change.operations == tuple(before.operations)
        assert (change.requests == "non-breaking") is all(after.takes(after.model, path) for path in paths)


@pytest.mark.parametrize(
    ("before", "requests", "shown"),
    [
        ({"type": "string", "enum": ["5", "10"]}, "breaking if strict", ["5", "10"]),
        ({"type": "string", "enum": ["5", "7"]}, "breaking", ["7"]),
        ({"type": "string", "enum": ["5", "05"]}, "breaking", ["05"]),
    ],
)
def test_a_tolerated_value_breaks_only_strict_servers(before: Any, requests: str, shown: list[str]) -> None:
    """A text that the service reads as a valid number breaks only on strict servers; any other text breaks on all."""
    new = Contract.load()
    document = new.bundled_for_model()
    document["components"]["schemas"]["CreateRequest"]["properties"]["duration"] = before
    old = ApiDocument(document, name="before")
    (change,) = [each for each in diff(old, new) if each.kind == "type"]
    assert change.requests == requests
    assert change.counterexample["duration"] in shown
    (reverse,) = [each for each in diff(new, old) if each.kind == "type"]
    assert reverse.requests == "breaking"


def test_a_text_that_may_be_no_number_breaks_requests() -> None:
    """Where any text was allowed, one that is no number is refused by every server."""
    new = Contract.load()
    document = new.bundled_for_model()
    document["components"]["schemas"]["CreateRequest"]["properties"]["duration"] = {"type": "string"}
    (change,) = [each for each in diff(ApiDocument(document, name="before"), new) if each.kind == "type"]
    assert change.requests == "breaking"
    assert any(v.severity == "error" for v in validate(change.counterexample, contract=new))


def test_the_documents_are_left_as_they_are() -> None:
    """Comparing changes nothing in what is compared."""
    before = {revision: copy.deepcopy(Contract.load(revision).bundled()) for revision in revisions()}
    for old, new in PAIRS[-1:]:
        diff_family(Contract.load(old), Contract.load(new))
    assert all(Contract.load(revision).bundled() == document for revision, document in before.items())
