"""Claims about samples for programs in other languages: data alone, with verdicts that hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kling_contract import revisions, validate
from kling_contract.mutations import mutations
from kling_contract.payloads import samples


@pytest.mark.parametrize("revision", revisions())
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=10)
@given(seed=st.integers(0, 2**32), valid=st.integers(0, 10), invalid=st.integers(0, 10))
def test_each_verdict_holds(revision: str, seed: int, valid: int, invalid: int) -> None:
    """So many as asked for, valid ones first; each is JSON, and judged strictly is just what it says it is."""
    drawn = list(samples(valid, invalid, seed, revision=revision))
    assert [sample["valid"] for sample in drawn] == [True] * valid + [False] * invalid
    assert json.loads(json.dumps(drawn)) == drawn
    for sample in drawn:
        judged = validate(sample["payload"], revision=revision, strictness="strict")
        errors = [{"pointer": each.pointer, "rule": each.rule} for each in judged if each.severity == "error"]
        named = sample["violation"] and {key: sample["violation"][key] for key in ("pointer", "rule")}
        assert errors == ([named] if named else [])


def test_a_seed_says_everything() -> None:
    """The same seed gives the same samples, another seed others."""
    assert list(samples(5, 5, 1)) == list(samples(5, 5, 1))
    assert list(samples(5, 5, 1)) != list(samples(5, 5, 2))


def test_the_whole_catalogue_comes_before_anything_again() -> None:
    """As many invalid samples as there are mutations hold each of them once; one more begins anew."""
    catalogue = {case.id for case in mutations()}
    ids = [sample["violation"]["id"] for sample in samples(0, len(catalogue) + 1, 3)]
    assert set(ids[:-1]) == catalogue
    assert len(ids) == len(catalogue) + 1
