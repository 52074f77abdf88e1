"""The contract: what the documents of one revision say, by operation."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from kling_contract.contract.bundle import bundle
from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.contract.lifecycle import Lifecycle
from kling_contract.contract.observed import Observed
from kling_contract.errors import DocumentError, UnknownRevision
from kling_contract.jsontext.pointer import resolve

__all__ = ["REVISION_VARIABLE", "Contract", "Operation", "Revision", "chosen", "revisions"]

REVISION_VARIABLE = "KLING_CONTRACT_REVISION"
"""The environment variable that names the revision if nothing else does."""

_CREATE, _GET = "createGeneration", "getGeneration"
_METHODS = ("get", "post", "put", "patch", "delete")
_OPENAPI = "openapi.json"
_OBSERVED = "observed.json"
_MAX_VIDEO_SECONDS = 86_400.0  # whatever a payload asks for, no video is longer than a day


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of the contract: its id (the day it was published), its title, and the sources that it is known from.

    `provenance` is "published" if the provider itself published it; otherwise it says in words what it is.
    """

    id: str
    title: str
    provenance: str
    sources: tuple[str, ...]

    @property
    def published(self) -> bool:
        """True if the provider itself published it."""
        return self.provenance == "published"

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API, as its OpenAPI document describes it.

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


class Contract:
    """The documents of one revision. Get one with `Contract.load`. Treat everything that it returns as read-only.

    `create` and `get` are the operations that make a generation and that ask for one; `operations` maps ids to all operations.
    `observed` is what was seen of the service, `lifecycle` the graph of statuses, `base_url` the URL of the first server.
    `openapi` and `schemas` are the documents as they were read.
    """

    def __init__(self, documents: Mapping[str, Any]) -> None:
        """Build from the documents by file name, as `from_folder` reads them. Raise DocumentError if one does not fit."""
        self._documents = dict(documents)
        try:
            self.openapi: Mapping[str, Any] = self._documents[_OPENAPI]
            self.observed = Observed.from_document(self._documents[_OBSERVED])
            info = self.openapi["info"]
            self.revision = Revision(
                id=info["version"],
                title=info["title"],
                provenance=info["x-provenance"],
                sources=tuple(info["x-sources"]),
            )
            self.base_url: str = self.openapi["servers"][0]["url"]
            self.operations: Mapping[str, Operation] = MappingProxyType(
                {operation.id: operation for operation in self._read_operations()}
            )
            self.create = self.operations[_CREATE]
            self.get = self.operations[_GET]
            self.request_schema = self._documents["create-request.schema.json"]
            self.generation_schema = self._documents["generation.schema.json"]
            self.error_schema = self._documents["error.schema.json"]
            self.lifecycle = Lifecycle.from_schema(self.generation_schema["properties"]["status"])
        except (KeyError, TypeError, IndexError) as missing:
            raise DocumentError(
                f"the documents are not those of a revision: {missing!r} is missing or misplaced"
            ) from missing
        except ValueError as wrong:  # no 2xx among the statuses, a status that is not a number, or steps out of order
            raise DocumentError(f"the documents are not those of a revision: {wrong}") from wrong

    @classmethod
    def load(cls, revision: str | None = None) -> Contract:
        """Return the contract of `revision`: one of `revisions()`, or "latest" for the newest one that the provider published.

        None means the one named by the environment variable KLING_CONTRACT_REVISION, or if there is none the default in
        `schemas/index.json`. Raise UnknownRevision, which lists the known ones.
        """
        asked = revision or (REVISION_VARIABLE in os.environ and os.environ[REVISION_VARIABLE])
        if not asked:
            return _default()
        known = revisions()
        if asked == "latest":
            return next(c for name in reversed(known) if (c := _load(name)).revision.published)
        if asked not in known:
            raise UnknownRevision(asked, known)
        return _load(asked)

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read the documents of a revision from a folder like those in `schemas/`. Raise DocumentError if that fails."""
        try:
            return cls({path.name: read_json(path) for path in sorted(folder.glob("*.json"))})
        except (OSError, ValueError) as unreadable:
            raise DocumentError(f"{folder}: {unreadable}") from unreadable

    @property
    def schemas(self) -> Mapping[str, Any]:
        """The JSON Schemas by file name, by which the OpenAPI document refers to them."""
        return {name: document for name, document in self._documents.items() if name.endswith(".schema.json")}

    def document(self, name: str) -> Any:
        """Return a copy of a document by its file name, with or without the ending. Raise DocumentError if there is none."""
        for candidate in (name, f"{name}.json", f"{name}.schema.json"):
            if candidate in self._documents:
                return copy.deepcopy(self._documents[candidate])
        raise DocumentError(f"there is no document {name!r}; choose one of {', '.join(sorted(self._documents))}")

    def bundled(self) -> dict[str, Any]:
        """Return the OpenAPI document as a single file: with every schema that it refers to moved into it."""
        return bundle(self.openapi, self.schemas)

    def route(self, path: str) -> list[Operation]:
        """Return the operations on `path`, which may be an alias. Empty if there is no such path."""
        return [operation for operation in self.operations.values() if path in operation.paths]

    def video_seconds(self, payload: Mapping[str, Any]) -> float:
        """Return the length of the video that a payload asks for, in seconds.

        It is the default if the payload has no duration, or one that cannot be the length of a video.
        """
        declared = self.request_schema["properties"].get("duration", {}).get("default")
        default = self.observed.defaults["duration"] if declared is None else declared
        try:
            seconds = float(payload.get("duration", default))
        except (TypeError, ValueError, OverflowError):
            return float(default)
        return seconds if 0 < seconds <= _MAX_VIDEO_SECONDS else float(default)

    def price(self, seconds: float) -> int | float:
        """Return what a video of so many seconds costs, in `observed.price.unit`."""
        price: int | float = self.observed.price.per_second * seconds
        return int(price) if price == int(price) else price

    def __repr__(self) -> str:
        return f"Contract({self.revision.id!r})"

    def _read_operations(self) -> Iterator[Operation]:
        for path, item in self.openapi["paths"].items():
            paths = (path, *item.get("x-aliases", ()))
            for method in item:
                if method in _METHODS:
                    yield self._read_operation(method.upper(), paths, item[method])

    def _read_operation(self, method: str, paths: tuple[str, ...], document: Mapping[str, Any]) -> Operation:
        parameters = [p for p in document.get("parameters", ()) if p["in"] == "query"]
        query = {
            "type": "object",
            "required": [p["name"] for p in parameters if p.get("required")],
            "properties": {p["name"]: p["schema"] for p in parameters},
        }
        media_type, request = None, None
        if "requestBody" in document:
            media_type, content = next(iter(document["requestBody"]["content"].items()))
            request = self._resolve(content["schema"])
        responses: dict[int, Mapping[str, Any] | None] = {}
        for status, response in document["responses"].items():
            bodies = list(self._resolve(response).get("content", {}).values())
            responses[int(status)] = self._resolve(bodies[0]["schema"]) if bodies else None
        successes = [status for status in responses if 200 <= status < 300]
        if not successes:
            raise ValueError(f"{method} {paths[0]} has no 2xx among its responses")
        return Operation(
            id=document["operationId"],
            method=method,
            path=paths[0],
            paths=paths,
            success=min(successes),
            query=query,
            request=request,
            media_type=media_type,
            responses=MappingProxyType(responses),
        )

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow a $ref to another of the documents, or into the OpenAPI document. Nothing is ever fetched."""
        ref = node.get("$ref")
        if ref is None:
            return node
        name, _, fragment = ref.partition("#")
        return self._resolve(resolve(self._documents[name] if name else self.openapi, fragment))


def chosen(contract: Contract | None, revision: str | None) -> Contract:
    """Return `contract` or, if it is None, the contract of `revision`. Raise TypeError if both are given."""
    if contract is None:
        return Contract.load(revision)
    if revision is not None:
        raise TypeError(
            f"give contract or revision, not both: the contract is of {contract.revision}, the revision is {revision!r}"
        )
    return contract


@functools.cache
def revisions() -> tuple[str, ...]:
    """Return the ids of all known revisions, oldest first."""
    return tuple(sorted(folder.name for folder in SCHEMAS.iterdir() if (folder / _OPENAPI).is_file()))


@functools.cache
def _default() -> Contract:
    return _load(read_json(SCHEMAS / "index.json")["default"])


@functools.cache
def _load(revision: str) -> Contract:
    return Contract.from_folder(SCHEMAS / revision)
