"""Claims about example payloads, and about the labelled samples that programs in other languages read."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from faker import Faker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kling_contract import Contract, revisions, validate
from kling_contract.mutations import mutations
from kling_contract.payloads import PromptProvider, example, samples

EACH_REVISION = pytest.mark.parametrize("revision", revisions())
SEEDS = st.integers(0, 2**64 - 1)
RESERVED = ("example", "example.com", "example.net", "example.org")


def _leaves(schema: Any, value: Any) -> Any:
    """Yield each value that is not an object or an array, with its schema."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _leaves(schema["properties"][name], member)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(schema["items"], item)
    else:
        yield schema, value


@EACH_REVISION
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(seed=SEEDS)
def test_they_are_valid(revision: str, seed: int) -> None:
    """For every seed, strict validation finds nothing, not even a deprecated or an undeclared member."""
    assert validate(example(seed, revision=revision), revision=revision, strictness="strict") == []


@given(SEEDS)
def test_a_seed_decides_the_payload(seed: int) -> None:
    """The same seed gives the same payload, as a new object each time."""
    first, second = example(seed), example(seed)
    assert first == second
    assert first is not second


@EACH_REVISION
def test_every_member_comes_up(revision: str) -> None:
    """Every member that is not deprecated is in some payload, and none that is deprecated."""
    members = Contract.load(revision).request_schema["properties"]
    current = {name for name, member in members.items() if not member.get("deprecated")}
    assert {name for seed in range(60) for name in example(seed, revision=revision)} == current


@EACH_REVISION
def test_seeds_differ(revision: str) -> None:
    """A hundred seeds give a hundred payloads."""
    assert len({repr(example(seed, revision=revision)) for seed in range(100)}) == 100


@EACH_REVISION
@given(seed=SEEDS)
def test_each_text_fits_its_purpose(revision: str, seed: int) -> None:
    """A picture is a link to a domain that is reserved for examples; what should happen, and what should not, is in words."""
    schema = Contract.load(revision).request_schema
    for rules, text in _leaves(schema, example(seed, revision=revision)):
        if not isinstance(text, str) or "enum" in rules or "examples" in rules:
            continue
        if re.search("image|frame", rules["description"]):
            link = urlsplit(text)
            assert link.scheme == "https"
            assert link.hostname
            assert link.hostname.endswith(RESERVED)
            assert re.fullmatch(r"[\w./-]+\.(png|jpe?g|webp)", link.path)
        elif " not " in rules["description"]:
            assert len(text.split(", ")) >= 2
        elif "should" in rules["description"]:
            assert text[0].isupper()
            assert len(text.split()) > 3
        else:
            assert re.fullmatch(r"[a-z-]+-\d{4}", text)


def test_a_payload_is_about_one_thing() -> None:
    """The subject of the prompt is in the names of the pictures too."""
    payload = example(1)
    links = [value for value in payload.values() if str(value).startswith("https:")]
    assert links
    for link in links:
        subject = re.sub(r"-\d+\.\w+$", "", link.rpartition("/")[2]).replace("-", " ")
        assert any(subject in str(text).lower() for text in payload.values() if text != link)


def test_prompts_can_be_added_to_any_faker() -> None:
    """The provider works in any other Faker, and follows its seed."""
    said = []
    for _ in range(2):
        fake = Faker()
        fake.add_provider(PromptProvider)
        fake.seed_instance(7)
        said.append((fake.scene(), fake.negative_prompt(), fake.picture(), fake.subject()))
    assert said[0] == said[1]
    assert all(said[0])


@EACH_REVISION
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=10)
@given(seed=st.integers(0, 2**32), valid=st.integers(0, 10), invalid=st.integers(0, 10))
def test_each_verdict_holds(revision: str, seed: int, valid: int, invalid: int) -> None:
    """There are as many as asked for, the valid ones first; each is JSON, and strict validation finds exactly what it says."""
    drawn = list(samples(valid, invalid, seed, revision=revision))
    assert [sample["valid"] for sample in drawn] == [True] * valid + [False] * invalid
    assert json.loads(json.dumps(drawn)) == drawn
    for sample in drawn:
        violations = validate(sample["payload"], revision=revision, strictness="strict")
        errors = [{"pointer": each.pointer, "rule": each.rule} for each in violations if each.severity == "error"]
        named = sample["violation"] and {key: sample["violation"][key] for key in ("pointer", "rule")}
        assert errors == ([named] if named else [])


def test_a_seed_decides_the_samples() -> None:
    """The same seed gives the same samples, another seed others."""
    assert list(samples(5, 5, 1)) == list(samples(5, 5, 1))
    assert list(samples(5, 5, 1)) != list(samples(5, 5, 2))


def test_every_mutation_comes_before_any_comes_again() -> None:
    """As many invalid samples as there are mutations hold each of them once; one more begins anew."""
    catalogue = {case.id for case in mutations()}
    ids = [sample["violation"]["id"] for sample in samples(0, len(catalogue) + 1, 3)]
    assert set(ids[:-1]) == catalogue
    assert len(ids) == len(catalogue) + 1
