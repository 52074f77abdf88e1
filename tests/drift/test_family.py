"""Claims about changes for all models: which came and went, which changed alike, and how that is shown."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import re
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract import Contract, revisions, validate
from kling_contract.contract.documents import FIXTURES, read_json
from kling_contract.drift import (
    ApiDocument,
    Change,
    FamilyChanges,
    as_json,
    as_markdown,
    as_text,
    diff,
    diff_family,
)
from kling_contract.drift.difference import BREAKAGES
from kling_contract.drift.shortening import shortened

YARDSTICK = sorted((FIXTURES / "drift").glob("*.json"))
PAIRS = list(permutations(revisions(), 2))
LISTS = ("fields added", "fields removed", "now required", "now optional")


@functools.cache
def _between(old: str, new: str) -> FamilyChanges:
    return diff_family(Contract.load(old), Contract.load(new))


def _by_hand(changes: tuple[Change, ...]) -> dict[str, Any]:
    """Return changes as the yardstick lists them: the fields of a payload, the status of success, and another path."""
    found: dict[str, Any] = {name: set() for name in LISTS}
    for change in changes:
        if change.part == "request" and change.pointer.count("/") == 1:
            name = change.pointer.removeprefix("/")
            if change.kind in ("added", "added, required"):
                found["fields added"].add(name)
            elif change.kind == "removed":
                found["fields removed"].add(name)
            elif change.kind == "renamed":
                found["fields removed"].add(name)
                found["fields added"].add(change.now)
            elif change.kind == "required":
                found["now required" if change.now else "now optional"].add(name)
        elif change.part == "response" and change.kind == "status":
            found["success"] = [change.was[0], change.now[0]]
        elif change.kind == "path":
            found["path"] = True
    return {**found, **{name: sorted(found[name]) for name in LISTS}}


@pytest.mark.parametrize("path", YARDSTICK, ids=lambda path: path.stem)
def test_models_come_go_and_change_as_in_the_yardstick(path: Path) -> None:
    """The models that were added, that are gone and that stayed the same are those that the provider's documents show.

    So are the fields that the payloads of each other model gained and lost, its status of success, and whether it moved.
    """
    expected = read_json(path)
    family, found = expected["family"], _between(expected["old"], expected["new"])
    assert (sorted(found.added), sorted(found.gone)) == (family["added"], family["gone"])
    assert sorted(found.same) == family["same"]
    changed = {model: group.changes for group in found.groups for model in group.models if group.changes}
    listed = {model: group for group in family["changed"] for model in group["models"]}
    assert changed.keys() == listed.keys()
    for model, changes in changed.items():
        by_hand = {name: each for name, each in listed[model].items() if name != "models"}
        assert _by_hand(changes) == {**{name: [] for name in LISTS}, **by_hand}, model


@pytest.mark.parametrize(("old", "new"), [*pairwise(revisions()), (revisions()[-1], revisions()[0])])
def test_each_model_is_in_one_place_with_its_own_changes(old: str, new: str) -> None:
    """Each model of the two revisions is added, gone, or in one group, whose changes are those of the model alone."""
    found = _between(old, new)
    named = [*found.added, *found.gone, *(model for group in found.groups for model in group.models)]
    assert sorted(named) == sorted({*Contract.load(old).models, *Contract.load(new).models})
    for group in found.groups:
        for model in group.models:
            alone = diff(Contract.load(old, model=model), Contract.load(new, model=model))
            assert [_plain(change) for change in alone] == [_plain(change) for change in group.changes]
    lists = [[_plain(change) for change in group.changes] for group in found.groups]
    assert all(one != other for one, other in itertools.combinations(lists, 2))


def _plain(change: Change) -> tuple[Any, ...]:
    return tuple(getattr(change, name) for name in Change.__dataclass_fields__ if name != "counterexample")


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_group_whose_payloads_break_shows_one(old: str, new: str) -> None:
    """The witness of a group is a payload of its first model: valid before, and then refused, or with an unknown field."""
    for group in _between(old, new).groups:
        broken = [change for change in group.changes if change.part == "request" and change.requests == "breaking"]
        assert group.witness is not None or not broken
        if group.witness is not None:
            payload = group.witness.counterexample
            assert payload["model"] == group.models[0]
            before = validate(payload, contract=Contract.load(old), strictness="strict")
            after = validate(payload, contract=Contract.load(new), strictness="strict")
            assert not [violation for violation in before if violation.severity == "error"]
            assert [v for v in after if v.severity == "error" or v.rule == "undeclared"]


@pytest.mark.parametrize("revision", revisions())
def test_nothing_changes_by_itself(revision: str) -> None:
    """A revision compared with itself, or with its own document as a file, has only models that stayed the same."""
    contract = Contract.load(revision)
    document = ApiDocument(contract.bundled(), name="theirs")
    for old, new in ((contract, contract), (contract, document), (document, contract), (document, document)):
        found = diff_family(old, new)
        assert (found.added, found.gone, sorted(found.same)) == ((), (), sorted(contract.models))
        assert not found.breaks
        assert "nothing changed" in as_text(found, old="a", new="b").splitlines()[0]


@pytest.mark.parametrize(("old", "new"), PAIRS[::4])
def test_documents_show_what_revisions_show(old: str, new: str) -> None:
    """Read from files, the documents of two revisions differ in the same models as the revisions."""
    files = diff_family(*(ApiDocument(Contract.load(each).bundled(), name=each) for each in (old, new)))
    known = _between(old, new)
    assert (set(files.added), set(files.gone), set(files.same)) == (
        set(known.added),
        set(known.gone),
        set(known.same),
    )


def _union(contract: Contract, keyword: str) -> dict[str, Any]:
    """Return the document of a revision as the provider writes it: branches with their models, without a discriminator."""
    document = copy.deepcopy(contract.bundled())
    for item in document["paths"].values():
        for media_type in item["post"]["requestBody"]["content"].values():
            refs = media_type["schema"].get("oneOf", [media_type["schema"]])
            media_type["schema"] = {keyword: copy.deepcopy(refs)}
    return document


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf"])
@pytest.mark.parametrize("revision", revisions())
def test_a_union_is_narrowed_to_each_model(revision: str, keyword: str) -> None:
    """Branches that list their models are compared model by model, as a discriminator's are."""
    contract = Contract.load(revision)
    document = ApiDocument(_union(contract, keyword), name="theirs")
    assert set(document.models) == set(contract.models)
    assert sorted(diff_family(contract, document).same) == sorted(contract.models)


def test_models_of_other_providers_are_left_out() -> None:
    """What a larger API has beside the family is no change; a model of the family that it lacks is gone."""
    contract = Contract.load("latest")
    document = _union(contract, "oneOf")
    (content,) = [
        item["post"]["requestBody"]["content"]["application/json"]["schema"] for item in document["paths"].values()
    ]
    content["oneOf"].append({"type": "object", "properties": {"model": {"enum": ["someone/else", "klingai/next"]}}})
    motion = document["components"]["schemas"]["Motion"]["properties"]["model"]
    lost = motion["enum"].pop()
    found = diff_family(contract, ApiDocument(document, name="theirs"))
    assert (found.added, found.gone, found.breaks) == (("klingai/next",), (lost,), True)


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_every_change_of_every_model_is_shown(old: str, new: str) -> None:
    """JSON has every field; text and Markdown name every model and every group, the worst first, in lines that fit."""
    family = _between(old, new)
    whole = json.loads(as_json(family, old=old, new=new))
    assert (whole["old"], whole["new"], whole["breaks"]) == (old, new, family.breaks)
    assert (whole["added"], whole["gone"]) == (list(family.added), list(family.gone))
    assert [group["models"] for group in whole["groups"]] == [list(group.models) for group in family.groups]
    for group, written in zip(family.groups, whole["groups"], strict=True):
        listed = [Change(**{**each, "operations": tuple(each["operations"])}) for each in written["changes"]]
        assert len(listed) == len(group.changes)
        assert all(change in listed for change in group.changes)
    ranks = [(*BREAKAGES, None).index(group.worst) for group in family.groups]
    assert ranks == sorted(ranks)
    text, table = as_text(family, old=old, new=new), as_markdown(family, old=old, new=new)
    named = {*family.added, *family.gone, *(model for group in family.groups for model in group.models)}
    for report in (text, table):
        assert named == {
            id_ for pattern in re.findall(r"(?<![/\w])kling[\w./{},-]*[\w}]", report) for id_ in _expanded(pattern)
        }
    rows = sum(len(group.changes) + bool(group.changes) for group in family.groups)
    assert table.count("\n| ") == rows
    assert all(len(line) <= 120 for line in text.splitlines() if "counterexample" not in line)
    for group in family.groups:
        assert (group.witness is None) or json.dumps(group.witness.counterexample["model"]) in text


def _expanded(pattern: str) -> set[str]:
    """Return the ids that a pattern with braces stands for, as a shell expands it."""
    parts = [part.split(",") for part in re.split(r"[{}]", pattern)]
    return {"".join(choice) for choice in itertools.product(*parts)}


@given(st.lists(st.from_regex(r"[ab](-[abc]|/[abc]){0,4}", fullmatch=True), max_size=30))
def test_patterns_stand_for_exactly_the_models(models: list[str]) -> None:
    """Shortened ids stand for the same models, each once, and there are never more patterns than ids."""
    patterns = shortened(models)
    expanded = [model for pattern in patterns for model in _expanded(pattern)]
    assert sorted(expanded) == sorted(set(models))
    assert len(patterns) <= len(set(models))


def test_models_that_differ_in_one_word_are_one_pattern() -> None:
    """Versions, tiers and kinds are put into braces."""
    ids = [f"a/{version}/{tier}/b" for version in ("v1", "v1.6") for tier in ("pro", "standard")]
    assert shortened(ids) == ["a/{v1,v1.6}/{pro,standard}/b"]
