"""Hypothesis strategies for scenarios: timelines and faults, built from the documents of a revision and the scenario schema."""

from __future__ import annotations

import functools
from typing import Any

import jsonschema_rs
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from kling_contract.contract import Contract, chosen
from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.strategies.drawing import matching
from kling_contract.strategies.requests import timelines

__all__ = ["scenarios"]

_FIELDS = st.dictionaries(
    st.text("abcXYZ019-_", min_size=1),
    st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    min_size=1,
    max_size=3,
)


def scenarios(
    *, contract: Contract | None = None, revision: str | None = None, model: str | None = None
) -> SearchStrategy[dict[str, Any]]:
    """Draw scenarios in their JSON form: an observed or a drawn timeline, and up to three faults."""
    return _scenarios(chosen(contract, revision, model))


@functools.lru_cache(maxsize=32)
def _scenarios(contract: Contract) -> SearchStrategy[dict[str, Any]]:
    schema = read_json(SCHEMAS / "scenario.schema.json")
    named = st.sampled_from(schema["properties"]["timeline"]["then"]["enum"])
    steps = timelines(contract=contract).map(
        lambda timeline: [{"status": step.status, "at": step.at} for step in timeline.steps]
    )
    rules = schema["$defs"]["fault"]
    members = {
        name: matching(schema) for name, schema in rules["properties"].items() if name not in ("headers", "refusal")
    }
    members["headers"] = _FIELDS
    members["refusal"] = st.sampled_from(list(contract.observed.refusals.reasons))
    effects = [alternative["required"][0] for alternative in rules["anyOf"]]
    faults = st.lists(_faults(members, effects, jsonschema_rs.Draft202012Validator(rules)), max_size=3)
    return st.fixed_dictionaries({}, optional={"timeline": named | steps, "faults": faults})


@st.composite
def _faults(
    draw: DrawFn,
    members: dict[str, SearchStrategy[Any]],
    effects: list[str],
    validator: jsonschema_rs.Draft202012Validator,
) -> dict[str, Any]:
    """Draw a fault with at least one effect, and further members that are valid beside it."""
    fault = {"operation": draw(members["operation"])}
    for name in [draw(st.sampled_from(effects)), *draw(st.lists(st.sampled_from(list(members)), max_size=4))]:
        more = {name: draw(members[name]), **fault}
        if len(fault) == 1 or validator.is_valid(more):
            fault = more
    assume(validator.is_valid(fault))
    return fault
