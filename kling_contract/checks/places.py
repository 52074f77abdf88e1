"""Where in the documents a finding rests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kling_contract.checks.plan import _ANY_OPERATION, _CREATE_REQUEST, Question
from kling_contract.contract import Contract
from kling_contract.jsontext.pointer import resolve, split, to_pointer
from kling_contract.mutations import Mutation
from kling_contract.validation.messages import operation_of

__all__ = ["place_of", "schema_place"]


def place_of(question: Question, contract: Contract, request: Any = None) -> tuple[str, str]:
    """Return the document that a question rests on, and the JSON pointer into it.

    Of a question about all operations, `request` (None: nobody knows) says which one it is about.
    """
    document, pointer = question.place
    operation = {"create": contract.create, "get": contract.get}.get(pointer)
    if question.place == _ANY_OPERATION and request is not None:
        operation = operation_of(contract, request.method, str(request.url))[1]
    if operation is not None:
        pointer = to_pointer(("paths", operation.path, operation.method.lower()))
    return document, pointer


def schema_place(contract: Contract, mutation: Mutation) -> tuple[str, str]:
    """Return where the rule stands that a mutation breaks: the document, and the JSON pointer into it."""
    parts = split(mutation.pointer)
    if mutation.rule == "required":
        parts.pop()
    schema, place = _followed(contract.request_schema, contract.request_schema, "")
    for part in parts:
        steps = ("items",) if "items" in schema and part.isdecimal() else ("properties", part)
        inner: Any = schema
        for step in steps:
            inner = inner.get(step, {})
        schema, place = _followed(contract.request_schema, inner, place + to_pointer(steps))
    return _CREATE_REQUEST, f"{place}/{mutation.rule}" if mutation.rule in schema else place


def _followed(root: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> tuple[Mapping[str, Any], str]:
    while "$ref" in schema:
        place = str(schema["$ref"]).removeprefix("#")
        schema = resolve(root, place)
    return schema, place
