"""OpenAPI documents, one or several together, read into operations that can be compared."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jsonschema_rs

from kling_contract.contract import Contract
from kling_contract.contract.observed import Tolerated
from kling_contract.display import nearest
from kling_contract.drift.document import JsonDocument
from kling_contract.drift.models import models_named
from kling_contract.drift.normalise import Schema, normalise
from kling_contract.errors import DocumentError, InvalidJson, UnknownModel
from kling_contract.jsontext.parser import parse
from kling_contract.jsontext.pointer import to_pointer

__all__ = ["ApiDocument", "Body", "DocumentSet", "Endpoint", "Route", "load_document"]

_METHODS = ("get", "post", "put", "patch", "delete")

Route = tuple[str, str]
"""The method, in lower case, and the path of an operation."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a request or a response carries: its media types, and its schema (None if the document has none).

    `published` is False for a shape that was only observed, not documented by the provider.
    """

    media_types: tuple[str, ...]
    schema: Schema | None
    published: bool = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation: `paths` are the documented path and its aliases; `query` is a schema of the parameters as an object.

    `response` is the body of the lowest documented 2xx, `refusal` that of the lowest documented 4xx or 5xx (None: there is
    none).
    """

    id: str
    method: str
    paths: tuple[str, ...]
    secured: bool
    query: Schema
    request: Body | None
    successes: tuple[int, ...]
    response: Body | None
    refusals: tuple[int, ...]
    refusal: Body | None

    def __str__(self) -> str:
        return self.id or f"{self.method} {self.paths[0]}"


class ApiDocument:
    """An OpenAPI 3.x document that can be compared. `name` is its name in messages, `servers` are its base URLs.

    `tolerated` are the deviations that the service is known to accept, as `observed.json` lists them. `is_revision` is True
    for this project's own documents, which describe a few operations of a larger API. `model` is the id of the model that it
    is narrowed to (None: it is whole).
    """

    def __init__(self, document: Any, *, name: str) -> None:
        """Raise DocumentError, in one line, for what is not an OpenAPI 3.x document."""
        version = document.get("openapi") if isinstance(document, Mapping) else None
        if not (isinstance(version, str) and version.startswith("3.")):
            swagger = isinstance(document, Mapping) and "swagger" in document
            found = "a Swagger 2.0 document" if swagger else "something else"
            raise DocumentError(f"{name}: expected an OpenAPI document of version 3.0 or later, got {found}")
        if not document.get("paths"):
            raise DocumentError(f"{name}: this OpenAPI document has no paths, so there is nothing to compare")
        self.name = name
        self.tolerated: Sequence[Tolerated] = ()
        self.is_revision = False
        self.model: str | None = None
        self._json = JsonDocument(name, document)
        self.servers = tuple(url.rstrip("/") for url in self._server_urls())
        self._items = dict(self._path_items())
        self._models: dict[Route, tuple[str, ...]] = {}

    @classmethod
    def of(cls, contract: Contract) -> Self:
        """Return the document of a revision, for the model of the contract."""
        document = cls(contract.bundled_for_model(), name=contract.revision.id)
        document.tolerated = contract.observed.tolerated
        document.is_revision = True
        return document

    @property
    def models(self) -> tuple[str, ...]:
        """The ids of the models that the bodies of its requests name; empty if they name none."""
        return tuple(dict.fromkeys(model for route in self._all_routes() for model in self._named(*route)))

    def for_model(self, model: str) -> Self:
        """Return the document for one of its `models` alone: its operations, payloads and responses.

        A document that names no model stays as it is. Raise UnknownModel if it names others, but not this one.
        """
        if not self.models:
            return self
        if model not in self.models:
            near = (*nearest(model, self.models), *self.models)[0]
            raise UnknownModel(model, f"there is no model {model!r} in {self.name}; the nearest is {near}")
        return self._narrowed(model)

    def _narrowed(self, model: str | None) -> Self:
        narrowed = copy.copy(self)
        narrowed.model = model
        return narrowed

    def routes(self) -> Iterator[Route]:
        """Yield the method and the path of every operation, in the order of the document."""
        yield from (route for route in self._all_routes() if self._is_for_model(route))

    def _is_for_model(self, route: Route) -> bool:
        """Return whether an operation is for the model: it names it, or names none and is on a path where another does."""
        if self.model is None:
            return True
        named = self._named(*route)
        if named:
            return self.model in named
        beside = [self._named(*other) for other in self._all_routes() if other[1] == route[1]]
        return not any(beside) or any(self.model in each for each in beside)

    def _all_routes(self) -> Iterator[Route]:
        for path, item in self._items.items():
            yield from ((method, path) for method in item if method in _METHODS)

    def operation_id(self, method: str, path: str) -> str:
        """Return the id of an operation; empty when it has none."""
        operation = self._items[path][method]
        return str(operation.get("x-operation", operation.get("operationId", "")))

    def paths(self, path: str) -> tuple[str, ...]:
        """Return a documented path with its aliases."""
        return (path, *self._items[path].get("x-aliases", ()))

    def endpoint(self, method: str, path: str) -> Endpoint:
        """Read one operation. Raise DocumentError for what is malformed in it, or refers to what is not in the document."""
        operation, place = self._items[path][method], f"#/paths{to_pointer([path, method])}"
        responses = {
            int(status): self._json.resolve(response, f"{place}/responses/{status}")
            for status, response in self._object(operation, "responses", place).items()
            if status.isascii() and status.isdecimal()
        }
        successes = tuple(sorted(status for status in responses if 200 <= status < 300))
        refusals = tuple(sorted(status for status in responses if status >= 400))
        request = operation.get("requestBody", {})
        return Endpoint(
            id=self.operation_id(method, path),
            method=method.upper(),
            paths=self.paths(path),
            secured=bool(operation.get("security", self._json.root.get("security"))),
            query=self._query(method, path),
            request=self._body(*self._json.resolve(request, f"{place}/requestBody")) if request != {} else None,
            successes=successes,
            response=self._body(*responses[successes[0]]) if successes else None,
            refusals=refusals,
            refusal=self._body(*responses[refusals[0]]) if refusals else None,
        )

    def _named(self, method: str, path: str) -> tuple[str, ...]:
        """Return the models that the body of an operation's requests names."""
        if (method, path) not in self._models:
            place = f"#/paths{to_pointer([path, method])}/requestBody"
            request, place = self._json.resolve(self._items[path][method].get("requestBody", {}), place)
            schemas = [
                described.get("schema")
                for described in self._object(request, "content", place).values()
                if isinstance(described, Mapping)
            ]
            found = (models_named(schema, self._json) for schema in schemas)
            self._models[method, path] = tuple(dict.fromkeys(model for each in found for model in each))
        return self._models[method, path]

    def _server_urls(self) -> Iterator[str]:
        for position, server in enumerate(self._array(self._json.root, "servers", "#")):
            place = f"#/servers/{position}"
            url = self._json.expect(server, place, "an object").get("url")
            yield self._json.expect(url, f"{place}/url", "a string")

    def _path_items(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for path, item in self._object(self._json.root, "paths", "#").items():
            place = f"#/paths{to_pointer([path])}"
            self._json.expect(item, place, "an object")
            for method in item.keys() & set(_METHODS):
                self._json.expect(item[method], f"{place}/{method}", "an object")
            for position, alias in enumerate(self._array(item, "x-aliases", place)):
                self._json.expect(alias, f"{place}/x-aliases/{position}", "a string")
            yield path, item

    def _query(self, method: str, path: str) -> Schema:
        """Return the query parameters of an operation, and of its path, as the schema of an object."""
        properties: dict[str, Schema] = {}
        required: list[str] = []
        for parts in ([path], [path, method]):
            place = f"#/paths{to_pointer(parts)}"
            holder = self._items[path] if len(parts) == 1 else self._items[path][method]
            for position, node in enumerate(self._array(holder, "parameters", place)):
                parameter, here = self._json.resolve(node, f"{place}/parameters/{position}")
                name = self._json.expect(parameter.get("name"), f"{here}/name", "a string")
                if parameter.get("in", "query") == "query":
                    properties[name] = self._schema(parameter.get("schema", {}), f"{here}/schema")
                    required = [other for other in required if other != name]
                    required += [name] if parameter.get("required") else []
        return {"type": "object", "required": required, "properties": properties}

    def _body(self, holder: Mapping[str, Any], place: str) -> Body:
        content = self._object(holder, "content", place)
        for media_type, described in content.items():
            here = f"{place}/content{to_pointer([media_type])}"
            if "schema" in self._json.expect(described, here, "an object"):
                node, here = described["schema"], f"{here}/schema"
                by_model = described.get("x-models")
                if self.model is not None and isinstance(by_model, Mapping):
                    node, here = self._answer(node, here, by_model.get(self.model))
                seen = isinstance(node, Mapping) and self._json.resolve(node, here)[0].get("x-observed") is True
                return Body(tuple(content), self._schema(node, here), published=not seen)
        return Body(tuple(content), None)

    def _answer(self, schema: Any, place: str, ref: Any) -> tuple[Any, str]:
        """Return the alternative that answers the model: the one that x-models says (`ref`), else the first."""
        if isinstance(ref, str):
            return {"$ref": ref}, place
        alternatives = schema.get("anyOf") if isinstance(schema, Mapping) else None
        return (
            (alternatives[0], f"{place}/anyOf/0")
            if isinstance(alternatives, list) and alternatives
            else (schema, place)
        )

    def _schema(self, schema: Any, place: str) -> Schema:
        normalised = normalise(schema, self._json, place, model=self.model)
        try:
            jsonschema_rs.Draft202012Validator(normalised)
        except (jsonschema_rs.ValidationError, ValueError) as invalid:
            problem = str(invalid).partition("\n")[0]
            raise self._json.error(f"{place} is not a valid JSON Schema: {problem}") from invalid
        return normalised

    def _object(self, holder: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
        """Return the member `name`, an object; an empty one when it is missing."""
        found: Mapping[str, Any] = self._json.expect(holder.get(name, {}), f"{place}/{name}", "an object")
        return found

    def _array(self, holder: Mapping[str, Any], name: str, place: str) -> Sequence[Any]:
        """Return the member `name`, an array; an empty one when it is missing."""
        found: Sequence[Any] = self._json.expect(holder.get(name, []), f"{place}/{name}", "an array")
        return found


class DocumentSet(ApiDocument):
    """Several documents that describe one API together, as providers publish it: one page for each operation."""

    def __init__(self, documents: Sequence[ApiDocument]) -> None:
        """Raise DocumentError where two of the documents describe the same operation."""
        self.name = ", ".join(document.name for document in documents)
        self.tolerated = ()
        self.is_revision = False
        self.model = None
        self.servers = tuple(dict.fromkeys(server for document in documents for server in document.servers))
        self._homes: dict[Route, ApiDocument] = {}
        for document in documents:
            for method, path in document.routes():
                other = self._homes.setdefault((method, path), document)
                if other is not document:
                    raise DocumentError(
                        f"{method.upper()} {path} is in {other.name} and in {document.name}: leave one of them out"
                    )

    def _all_routes(self) -> Iterator[Route]:
        yield from self._homes

    def _named(self, method: str, path: str) -> tuple[str, ...]:
        return self._homes[method, path]._named(method, path)

    def operation_id(self, method: str, path: str) -> str:
        return self._homes[method, path].operation_id(method, path)

    def paths(self, path: str) -> tuple[str, ...]:
        homes = [home for (_, here), home in self._homes.items() if here == path]
        return tuple(dict.fromkeys(alias for home in homes for alias in home.paths(path)))

    def endpoint(self, method: str, path: str) -> Endpoint:
        home = self._homes[method, path]
        return home._narrowed(self.model).endpoint(method, path)


def load_document(path: Path, *more: Path) -> ApiDocument:
    """Read an OpenAPI 3.x document from a JSON file, or from several files that describe the API together.

    YAML is not read: its readers turn an unquoted 16:9 into the number 969. Raise DocumentError, in one line, for a file
    that cannot be read or holds anything else.
    """
    return DocumentSet([_load(part) for part in (path, *more)]) if more else _load(path)


def _load(path: Path) -> ApiDocument:
    try:
        return ApiDocument(parse(path.read_bytes()), name=str(path))
    except OSError as unreadable:
        raise DocumentError(f"{path}: {unreadable.strerror}") from unreadable
    except InvalidJson as invalid:
        raise DocumentError(f"{path}: not JSON: {invalid}; a YAML document must be converted first") from invalid
