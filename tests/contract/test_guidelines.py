"""Claims about the document of the guidelines."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kling_contract import Contract, revisions
from kling_contract.contract.documents import SCHEMAS, read_json

DOCUMENT = read_json(SCHEMAS / "guidelines.json")
GUIDELINES: list[dict[str, Any]] = DOCUMENT["guidelines"]


def test_the_guidelines_have_the_declared_shape() -> None:
    """They keep their own schema, so each names a source and a date."""
    schema = read_json(SCHEMAS / "guidelines.schema.json")
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(DOCUMENT)


def test_no_two_guidelines_have_the_same_id() -> None:
    """An id names one guideline."""
    assert len({entry["id"] for entry in GUIDELINES}) == len(GUIDELINES)


@pytest.mark.parametrize("entry", GUIDELINES, ids=lambda entry: entry["id"])
def test_each_guideline_can_be_kept(entry: dict[str, Any]) -> None:
    """Its rules are JSON Schemas, it ends after it begins, and the least of a limit is no more than the most."""
    Draft202012Validator.check_schema(entry.get("when", {}))
    Draft202012Validator.check_schema(entry.get("then", {}))
    assert entry["since"] < entry.get("until", "9999")
    media = entry.get("media", {})
    for limit in ("side", "ratio", "seconds"):
        assert media.get(f"min_{limit}", 0) <= media.get(f"max_{limit}", float("inf"))


@pytest.mark.parametrize("entry", GUIDELINES, ids=lambda entry: entry["id"])
def test_each_guideline_is_about_a_model_of_its_time(entry: dict[str, Any]) -> None:
    """Each of its patterns matches a model of a revision in which it holds."""
    models = {
        model
        for revision in revisions()
        if entry["since"] <= revision < entry.get("until", "9999")
        for model in Contract.load(revision).models
    }
    for pattern in entry["models"]:
        assert any(fnmatchcase(model, pattern) for model in models), pattern
