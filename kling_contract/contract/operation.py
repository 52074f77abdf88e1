"""The operations of a revision, as its OpenAPI document describes them, and the models that each of them takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from kling_contract.jsontext.pointer import resolve

__all__ = ["CREATE", "GET", "MODEL", "Operation", "Route", "routes"]

CREATE, GET = "createGeneration", "getGeneration"
MODEL = "model"
_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API, as its OpenAPI document describes it for one model.

    `path` is the documented path, `paths` that path and its aliases; `success` is the smallest documented 2xx. `query` is a
    JSON Schema of the query parameters, as an object of strings; `request` one of the body (None: it has no body);
    `media_type` that of the body; `responses` maps each documented status to a schema (None: no body is described).
    """

    id: str
    method: str
    path: str
    paths: tuple[str, ...]
    success: int
    query: Mapping[str, Any]
    request: Mapping[str, Any] | None
    media_type: str | None
    responses: Mapping[int, Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Route:
    """A method on a path, for all models that it takes.

    `operation` is CREATE or GET; `models` maps the id of each model to the name of the document with the schema of its
    payload, and is empty if the operation has no body; `dummies` are those of them with which a client can only be tried out.
    `documents` are those of the revision.
    """

    operation: str
    method: str
    paths: tuple[str, ...]
    models: Mapping[str, str]
    dummies: frozenset[str]
    _document: Mapping[str, Any] = field(repr=False)
    _documents: Mapping[str, Any] = field(repr=False)

    def response_document(self, model: str) -> str | None:
        """Return the name of the document with the schema of a successful response about a model.

        None if the OpenAPI document has the schema itself, or has none. Raise ValueError if there is no 2xx.
        """
        _, media_types = self._success()
        for described in media_types.values():
            schema = described["schema"]
            first = schema["anyOf"][0] if "anyOf" in schema else schema
            name = described.get("x-models", {}).get(model, first.get("$ref"))
            return None if name is None else str(name)
        return None

    def for_model(self, model: str, request: Mapping[str, Any] | None) -> Operation:
        """Return the operation for one model, whose payload has the schema `request` (None: it has no body)."""
        parameters = [p for p in self._document.get("parameters", ()) if p["in"] == "query"]
        body = self._document.get("requestBody")
        success, _ = self._success()
        return Operation(
            id=self.operation,
            method=self.method,
            path=self.paths[0],
            paths=self.paths,
            success=success,
            query={
                "type": "object",
                "required": [p["name"] for p in parameters if p.get("required")],
                "properties": {p["name"]: p["schema"] for p in parameters},
            },
            request=request if body else None,
            media_type=next(iter(body["content"])) if body else None,
            responses=MappingProxyType(
                {
                    int(status): self._response_schema(response, model if int(status) == success else None)
                    for status, response in self._document["responses"].items()
                }
            ),
        )

    def _success(self) -> tuple[int, Mapping[str, Any]]:
        responses = {int(status): response for status, response in self._document["responses"].items()}
        successes = [status for status in responses if 200 <= status < 300]
        if not successes:
            raise ValueError(f"{self.method} {self.paths[0]} has no 2xx among its responses")
        return min(successes), self._followed(responses[min(successes)]).get("content", {})

    def _response_schema(self, response: Mapping[str, Any], model: str | None) -> Mapping[str, Any] | None:
        bodies = list(self._followed(response).get("content", {}).values())
        if not bodies:
            return None
        name = None if model is None else self.response_document(model)
        if name is not None:
            schema: Mapping[str, Any] = self._documents[name]
            return schema
        return self._followed(bodies[0]["schema"])

    def _followed(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow a $ref to another of the documents, or into the OpenAPI document. Nothing is ever fetched."""
        while (ref := node.get("$ref")) is not None:
            name, _, fragment = ref.partition("#")
            node = resolve(self._documents[name or "openapi.json"], fragment)
        return node


def routes(documents: Mapping[str, Any]) -> Iterator[Route]:
    """Yield each operation of `openapi.json` among the documents of a revision."""
    for path, item in documents["openapi.json"]["paths"].items():
        paths = (path, *item.get("x-aliases", ()))
        for method in item:
            if method in _METHODS:
                document = item[method]
                models = _models(document, documents) if "requestBody" in document else {}
                dummies = _content(document).get("x-dummies", {}) if "requestBody" in document else {}
                yield Route(
                    operation=document.get("x-operation", document["operationId"]),
                    method=method.upper(),
                    paths=paths,
                    models=MappingProxyType({**models, **dummies}),
                    dummies=frozenset(dummies),
                    _document=document,
                    _documents=documents,
                )


def _models(document: Mapping[str, Any], documents: Mapping[str, Any]) -> dict[str, str]:
    """Return which models an operation takes: each id with the name of the document that describes its payload."""
    content = _content(document)["schema"]
    if "discriminator" in content:
        return dict(content["discriminator"]["mapping"])
    name = content["$ref"]  # a single schema for all models
    return dict.fromkeys(documents[name]["properties"][MODEL]["enum"], name)


def _content(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an operation takes as its body, in the first of its media types."""
    content: Mapping[str, Any] = next(iter(document["requestBody"]["content"].values()))
    return content
