"""Places in the documents: where the rule stands that a finding rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kling_contract.contract import Contract
from kling_contract.jsontext.pointer import resolve, split, to_pointer
from kling_contract.mutations import Mutation
from kling_contract.validation.messages import operation_of

__all__ = ["ANY_OPERATION", "CREATE", "CREATE_REQUEST", "GET", "STATUS", "place_of", "reason", "schema_place"]

ANY_OPERATION, CREATE, GET = "openapi.json#", "openapi.json#create", "openapi.json#get"
CREATE_REQUEST = "create-request.schema.json"
_GENERATION = "generation.schema.json"
STATUS = f"{_GENERATION}#/properties/status"


def reason(name: str) -> str:
    """Return the place of a reason for which requests are refused."""
    return "observed.json#" + to_pointer(("refusals", "reasons", name))


def place_of(place: str, contract: Contract, request: Any = None) -> tuple[str, str]:
    """Return the document and the JSON pointer into it for the place of a claim, written "document#pointer".

    CREATE and GET stand for the operations, wherever a revision has them, and the documents of a payload and of a response
    for those of the model. For ANY_OPERATION, `request` (None: not known) says
    which one it is.
    """
    document, _, pointer = place.partition("#")
    operation = {CREATE: contract.create, GET: contract.get}.get(place)
    if place == ANY_OPERATION and request is not None:
        operation = operation_of(contract, request.method, str(request.url))[1]
    if operation is not None:
        pointer = to_pointer(("paths", operation.path, operation.method.lower()))
    documents = {CREATE_REQUEST: contract.request_document, _GENERATION: contract.generation_document}
    return documents.get(document, document), pointer


def schema_place(contract: Contract, mutation: Mutation) -> tuple[str, str]:
    """Return where the rule stands that a mutation breaks: the document, and the JSON pointer into it."""
    parts = split(mutation.pointer)
    if mutation.rule == "required":
        parts.pop()
    schema, pointer = _followed(contract.request_schema, contract.request_schema, "")
    for part in parts:
        steps = ("items",) if "items" in schema and part.isdecimal() else ("properties", part)
        inner: Any = schema
        for step in steps:
            inner = inner.get(step, {})
        schema, pointer = _followed(contract.request_schema, inner, pointer + to_pointer(steps))
    return contract.request_document, f"{pointer}/{mutation.rule}" if mutation.rule in schema else pointer


def _followed(root: Mapping[str, Any], schema: Mapping[str, Any], pointer: str) -> tuple[Mapping[str, Any], str]:
    """Follow `$ref` to the schema it refers to. Return that, and the pointer to it."""
    while "$ref" in schema:
        pointer = str(schema["$ref"]).removeprefix("#")
        schema = resolve(root, pointer)
    return schema, pointer
