"""Which operations does an OpenAPI document describe? Reads revisions and foreign 3.x documents into one form, to be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jsonschema_rs

from kling_contract.contract import Contract
from kling_contract.contract.observed import Tolerated
from kling_contract.drift.normalise import _RULES, _UNWEIGHED, Schema, _any_of, _both, _with_null
from kling_contract.errors import DocumentError, InvalidJson
from kling_contract.jsontext.parser import parse
from kling_contract.jsontext.pointer import resolve
from kling_contract.schema_values.formats import EXAMPLES

__all__ = ["ApiDocument", "Body", "Endpoint", "load_document"]

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Body:
    """What a request or an answer carries: its media types, and its schema (None: nothing is said about it).

    `published` is False for a shape that was only ever seen.
    """

    media_types: tuple[str, ...]
    schema: Schema | None
    published: bool = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation: `paths` are the documented path and its aliases; `query` is a schema of the parameters as an object.

    `answer` is that of the least documented 2xx, `refusal` that of the least documented 4xx or 5xx (None: there is none).
    """

    id: str
    method: str
    paths: tuple[str, ...]
    secured: bool
    query: Schema
    request: Body | None
    successes: tuple[int, ...]
    answer: Body | None
    refusals: tuple[int, ...]
    refusal: Body | None

    def __str__(self) -> str:
        return self.id or f"{self.method} {self.paths[0]}"


class ApiDocument:
    """An OpenAPI 3.x document that can be compared. `name` says whose it is, `servers` where the API is.

    `tolerated` are the deviations that the service is known to take, as `observed.json` lists them. `is_revision` tells our
    own documents, which describe a few operations of a larger API, from all others.
    """

    def __init__(self, document: Any, *, name: str) -> None:
        """Raise DocumentError, in one line, for what is no OpenAPI 3.x document."""
        version = document.get("openapi") if isinstance(document, Mapping) else None
        if not (isinstance(version, str) and version.startswith("3.")):
            found = (
                "a Swagger 2.0 document"
                if isinstance(document, Mapping) and "swagger" in document
                else "something else"
            )
            raise DocumentError(f"{name}: this is {found}; an OpenAPI document of version 3.0 or later is needed")
        if not isinstance(document.get("paths"), Mapping) or not document["paths"]:
            raise DocumentError(f"{name}: this OpenAPI document has no paths, so there is nothing to compare")
        self.name = name
        self.tolerated: Sequence[Tolerated] = ()
        self.is_revision = False
        self.servers = tuple(str(each.get("url")).rstrip("/") for each in document.get("servers") or ())
        self._document = document

    @classmethod
    def of(cls, contract: Contract) -> Self:
        """Return the document of a revision."""
        document = cls(contract.bundled(), name=contract.revision.id)
        document.tolerated = contract.observed.tolerated
        document.is_revision = True
        return document

    def routes(self) -> Iterator[tuple[str, str]]:
        """Yield the method and the path of every operation, in the order of the document."""
        for path, item in self._document["paths"].items():
            yield from ((method, path) for method in item if method in _METHODS)

    def operation_id(self, method: str, path: str) -> str:
        """Return the id of an operation; empty when it has none."""
        return str(self._document["paths"][path][method].get("operationId", ""))

    def paths(self, path: str) -> tuple[str, ...]:
        """Return a documented path with its aliases."""
        return (path, *self._document["paths"][path].get("x-aliases", ()))

    def endpoint(self, method: str, path: str) -> Endpoint:
        """Read one operation. Raise DocumentError when it refers to what is not in the document."""
        item = self._document["paths"][path]
        operation = item[method]
        parameters = [self._resolve(each) for each in (*item.get("parameters", ()), *operation.get("parameters", ()))]
        asked = {each["name"]: each for each in parameters if each.get("in", "query") == "query" and "name" in each}
        responses = {
            int(status): self._resolve(response)
            for status, response in operation.get("responses", {}).items()
            if str(status).isdigit()
        }
        successes = tuple(sorted(status for status in responses if 200 <= status < 300))
        refusals = tuple(sorted(status for status in responses if status >= 400))
        request = self._resolve(operation["requestBody"]) if "requestBody" in operation else None
        return Endpoint(
            id=self.operation_id(method, path),
            method=method.upper(),
            paths=self.paths(path),
            secured=bool(operation.get("security", self._document.get("security"))),
            query={
                "type": "object",
                "required": [name for name, each in asked.items() if each.get("required")],
                "properties": {name: self._usable(each.get("schema", {})) for name, each in asked.items()},
            },
            request=self._body(request) if request else None,
            successes=successes,
            answer=self._body(responses[successes[0]]) if successes else None,
            refusals=refusals,
            refusal=self._body(responses[refusals[0]]) if refusals else None,
        )

    def _body(self, holder: Mapping[str, Any]) -> Body:
        content = holder.get("content") or {}
        schema = next((each["schema"] for each in content.values() if "schema" in each), None)
        seen = schema is not None and self._resolve(schema).get("x-observed") is True
        return Body(tuple(content), None if schema is None else self._usable(schema), published=not seen)

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while isinstance(node.get("$ref"), str):
            node = self._at(node["$ref"])
        return node

    def _at(self, ref: str) -> Any:
        try:
            if not ref.startswith("#"):
                raise KeyError(ref)
            return resolve(self._document, ref[1:])
        except (KeyError, ValueError) as missing:
            raise DocumentError(
                f"{self.name}: {ref} is not in this document; bundle it into one file first"
            ) from missing

    def _usable(self, schema: Any) -> Schema:
        whole = self._whole(schema)
        try:
            jsonschema_rs.Draft202012Validator(whole)
        except (jsonschema_rs.ValidationError, ValueError) as broken:
            line = str(broken).partition("\n")[0]
            raise DocumentError(f"{self.name}: a schema in this document is none: {line}") from broken
        return whole

    def _whole(self, schema: Any, trail: tuple[str, ...] = ()) -> Schema:
        """Return a schema as JSON Schema with rules, defaults and deprecations only, and nothing left to look up.

        References are followed; one that leads back to itself allows anything. `allOf` is merged; alternatives are one
        `anyOf` with nothing beside it; what 3.0 writes as `nullable` and as a boolean `exclusiveMinimum` is written out.
        Rules that nobody here can weigh are kept as x-: they can be told to differ, and no more.
        """
        if not isinstance(schema, Mapping):
            return {} if schema is not False else {"enum": []}
        rules: Schema = {}
        for keyword, value in schema.items():
            if keyword == "properties":
                rules[keyword] = {name: self._whole(each, trail) for name, each in value.items()}
            elif keyword == "items" or (keyword == "additionalProperties" and isinstance(value, Mapping)):
                rules[keyword] = self._whole(value, trail)
            elif keyword in _RULES:
                rules[keyword] = list(value) if isinstance(value, list) else value
            elif keyword == "format" and value in EXAMPLES:
                rules[keyword] = value
            elif keyword == "const":
                rules["enum"] = [value]
            elif keyword in _UNWEIGHED:
                rules[f"x-{keyword}"] = value
        for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(rules.get(exclusive), bool) and rules.pop(exclusive) and inclusive in rules:
                rules[exclusive] = rules.pop(inclusive)
        ref = schema.get("$ref")
        if isinstance(ref, str) and ref not in trail:
            rules = _both(self._whole(self._at(ref), (*trail, ref)), rules)
        for each in schema.get("allOf", ()):
            rules = _both(rules, self._whole(each, trail))
        for keyword in ("anyOf", "oneOf"):
            if alternatives := [self._whole(each, trail) for each in schema.get(keyword, ())]:
                rules = _both(rules, _any_of(alternatives))
        return _with_null(rules) if schema.get("nullable") is True else rules


def load_document(path: Path) -> ApiDocument:
    """Read an OpenAPI 3.x document from a JSON file.

    YAML is not read: its readers turn an unquoted 16:9 into the number 969. Raise DocumentError, in one line, for a file
    that cannot be read or holds anything else.
    """
    try:
        return ApiDocument(parse(path.read_bytes()), name=str(path))
    except OSError as unreadable:
        raise DocumentError(f"{path}: {unreadable.strerror}") from unreadable
    except InvalidJson as bad:
        raise DocumentError(f"{path}: not JSON: {bad}; a YAML document must be converted first") from bad
