"""Schemas of the kind that the contract is made of, drawn at random: so that claims hold for documents nobody has written yet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_NAMES = st.sampled_from(["a", "b", "c/d", "~"])


def _limits(low: str, high: str, numbers: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    pair = st.tuples(numbers, numbers).map(sorted)
    return st.one_of(
        pair.map(lambda both: {low: both[0], high: both[1]}),
        numbers.map(lambda one: {low: one}),
        numbers.map(lambda one: {high: one}),
        st.just({}),
    )


def _typed(kind: str, rules: SearchStrategy[dict[str, Any]]) -> SearchStrategy[dict[str, Any]]:
    types = st.sampled_from([kind, [kind], [kind, "null"]])
    return st.builds(lambda named, others: {"type": named, **others}, types, rules)


_COUNTS = st.integers(0, 6)
_WHOLE = st.integers(-100, 100)
_FRACTIONS = st.sampled_from([-2.5, -0.5, 0, 0.25, 1, 1e6])
_LEAVES = st.one_of(
    _typed("string", _limits("minLength", "maxLength", _COUNTS)),
    _typed("string", st.sampled_from([{"format": "uri"}, {"format": "date-time"}])),
    _typed("integer", _limits("minimum", "maximum", _WHOLE)),
    _typed("number", _limits("minimum", "maximum", _FRACTIONS)),
    _typed(
        "number",
        st.sampled_from([{"exclusiveMinimum": 0, "exclusiveMaximum": 1}, {"exclusiveMaximum": -0.5}]),
    ),
    _typed("integer", st.sampled_from([{"exclusiveMinimum": 3, "exclusiveMaximum": 5}])),
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "boolean", "const": True},
            {"type": "null"},
            {"type": "integer", "enum": [5, 10]},
            {"enum": ["red", "Green"]},
            {"const": "only"},
        ]
    ),
)


def _nested(inner: SearchStrategy[dict[str, Any]]) -> SearchStrategy[dict[str, Any]]:
    objects = st.dictionaries(_NAMES, inner, min_size=1, max_size=3).flatmap(
        lambda members: st.builds(
            lambda required: {"properties": members, "required": required},
            st.lists(st.sampled_from(sorted(members)), unique=True),
        )
    )
    arrays = st.builds(
        lambda items, limits: {"items": items, **limits}, inner, _limits("minItems", "maxItems", _COUNTS)
    )
    alternatives: SearchStrategy[dict[str, Any]] = st.sampled_from(
        [
            {"anyOf": [{"type": "string", "format": "uri"}, {"type": "null"}]},
            {"anyOf": [{"type": "integer", "minimum": 0}, {"const": "none"}]},
        ]
    )
    return _typed("object", objects) | _typed("array", arrays) | alternatives


SCHEMAS: SearchStrategy[dict[str, Any]] = st.recursive(_LEAVES, _nested, max_leaves=4)
