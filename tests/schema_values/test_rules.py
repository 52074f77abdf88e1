"""Claims about resolved schemas: no rule is silently skipped, references are followed, and the minimal value is valid."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from kling_contract import Contract, revisions
from kling_contract.errors import DocumentError
from kling_contract.schema_values.rules import TYPES, minimal_value, resolve, types
from tests.support.referee import referee
from tests.support.small_schemas import SCHEMAS


@pytest.mark.parametrize("revision", revisions())
def test_the_documents_can_be_read(revision: str) -> None:
    """Every shipped schema is supported, and resolving it twice changes nothing more."""
    for schema in Contract.load(revision).schemas.values():
        rules = resolve(schema)
        assert not referee(schema)(minimal_value(rules))
        assert resolve(rules) == rules


@given(SCHEMAS)
def test_the_minimal_value_is_valid(schema: dict[str, Any]) -> None:
    """The minimal value of a schema is valid under it."""
    assert not referee(schema)(minimal_value(resolve(schema)))


def test_references_are_followed() -> None:
    """A reference within the document stands for what it refers to, escaped names and siblings included."""
    schema = {
        "$defs": {"a/b": {"type": "string", "title": "kept out"}},
        "properties": {"x": {"$ref": "#/$defs/a~1b", "description": "also out", "minLength": 2}},
    }
    assert resolve(schema) == {"properties": {"x": {"type": "string", "minLength": 2}}}


def test_annotations_are_kept_on_demand() -> None:
    """Annotations are left out but for those asked for; what begins with x- is an annotation."""
    schema = {"title": "t", "description": "d", "x-note": 1, "items": True}
    assert resolve(schema, keep=["description"]) == {"description": "d", "items": {}}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"a": {"pattern": "^a"}}}, "#/properties/a/pattern: this keyword is not supported"),
        ({"items": {"format": "email"}}, "#/items/format: the format 'email'"),
        ({"items": False}, "#/items: a schema must be an object or true"),
        ({"type": "string", "enum": [5, 10]}, "#: no listed value is valid under the other rules"),
        ({"type": "object", "anyOf": [{}]}, "#: anyOf must not have other rules"),
        ({"$ref": "other.json"}, "#/\\$ref: other.json is outside"),
        ({"$ref": "#/$defs/none"}, "#/\\$ref: there is nothing at #/\\$defs/none"),
        ({"$ref": "#name"}, "#/\\$ref: there is nothing at #name"),
        ({"properties": {"a/b": {"items": False}}}, "#/properties/a~1b/items: a schema must be"),
        ({"$ref": "#"}, "#/\\$ref: # refers to itself"),
        ({"$defs": {"a": {"type": "null"}}, "$ref": "#/$defs/a", "type": "null"}, "#: type is both here"),
    ],
)
def test_what_is_not_supported_is_refused(schema: Any, said: str) -> None:
    """A keyword, format or reference that is not supported is an error that says where it is."""
    with pytest.raises(DocumentError, match=said):
        resolve(schema)


@pytest.mark.parametrize(
    ("schema", "allowed"),
    [
        ({}, TYPES),
        ({"type": "string"}, ("string",)),
        ({"type": ["string", "null"], "enum": ["a"]}, ("string", "null")),
        ({"enum": ["a", None]}, ("null", "string")),
        ({"const": 1}, ("integer", "number")),
        ({"const": 1.5}, ("number",)),
    ],
)
def test_types_are_those_named_or_else_those_listed(schema: Any, allowed: tuple[str, ...]) -> None:
    """A schema allows the types that it names, else those of its listed values, else all."""
    assert types(resolve(schema)) == allowed
