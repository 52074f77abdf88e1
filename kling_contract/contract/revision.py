"""The contract: what the documents of one revision say about one model."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kling_contract.contract.bundle import bundle, narrowed
from kling_contract.contract.documents import SCHEMAS, Folder, read_json
from kling_contract.contract.lifecycle import Lifecycle
from kling_contract.contract.models import aliases_of, facts_about
from kling_contract.contract.nearest_model import nearest_models
from kling_contract.contract.observed import Observed
from kling_contract.contract.operation import CREATE, GET, MODEL, Operation
from kling_contract.contract.revision_documents import Model, Revision, RevisionDocuments, all_fitting
from kling_contract.errors import DocumentError, UnknownModel, UnknownRevision

__all__ = ["REVISION_VARIABLE", "Contract", "chosen", "revisions"]

REVISION_VARIABLE = "KLING_CONTRACT_REVISION"
"""The environment variable that names the revision if nothing else does."""

_OPENAPI = "openapi.json"
_ERROR = "error.schema.json"
_PAYLOAD = "create-request"
_MAX_VIDEO_SECONDS = 86_400.0  # whatever a payload asks for, no video is longer than a day


class Contract:
    """The documents of one revision, as they describe one model. Get one with `Contract.load`.

    Treat everything that it returns as read-only. `model` is the id of the model, `models` maps the ids of all models of the
    revision to what is known of them, and `for_model` is the same revision for another one.

    `create` and `get` are the operations that make a generation and that ask for one; `operations` maps ids to all operations.
    `observed` is what was seen of the service, `lifecycle` the graph of statuses, `base_url` the URL of the first server.
    `request_schema`, `generation_schema` and `error_schema` describe a payload, a response and a refusal. `openapi` and
    `schemas` are the documents as they were read.
    """

    def __init__(self, documents: Mapping[str, Any], *, model: str | None = None) -> None:
        """Build from the documents by file name, as `from_folder` reads them, for `model` (None: the default one).

        Raise DocumentError if a document does not fit, and UnknownModel.
        """
        revision = RevisionDocuments(documents)
        self._describe(revision, _model_of(revision, model))
        self._read_all()
        revision.contracts[self.model] = self

    def _describe(self, documents: RevisionDocuments, model: Model) -> None:
        self._documents = documents
        self._model = model
        self.model: str = model.id
        self.models: Mapping[str, Model] = documents.models
        self.revision: Revision = documents.revision
        self.openapi: Mapping[str, Any] = documents.openapi
        self.base_url: str = documents.base_url

    def _read_all(self) -> None:
        """Read what is otherwise read when it is first used. Raise DocumentError if a document does not fit."""
        with all_fitting():
            for name in ("observed", "operations", "create", "get", "error_schema", "lifecycle"):
                getattr(self, name)

    @classmethod
    def load(cls, revision: str | None = None, *, model: str | None = None) -> Contract:
        """Return the contract of `revision`: one of `revisions()`, or "latest" for the newest one that the provider published.

        None means the one named by the environment variable KLING_CONTRACT_REVISION, or if there is none the default in
        `schemas/index.json`. `model` is the id of one of its models (None: the default one). Raise UnknownRevision, which
        lists the known ones, or UnknownModel.
        """
        asked = revision or (REVISION_VARIABLE in os.environ and os.environ[REVISION_VARIABLE])
        known = revisions()
        if not asked:
            loaded = _load(_index()["default"])
        elif asked == "latest":
            loaded = next(c for name in reversed(known) if (c := _load(name)).revision.published)
        elif asked in known:
            loaded = _load(asked)
        else:
            raise UnknownRevision(asked, known)
        return loaded if model is None else loaded.for_model(model)

    @classmethod
    def from_folder(cls, folder: Path, *, model: str | None = None) -> Contract:
        """Read the documents of a revision from a folder like those in `schemas/`. Raise DocumentError if that fails."""
        try:
            return cls(dict(Folder(folder).items()), model=model)
        except (OSError, ValueError) as unreadable:
            raise DocumentError(f"{folder}: {unreadable}") from unreadable

    def for_model(self, model: str) -> Contract:
        """Return the contract of the same revision for another model: always the same one.

        Raise UnknownModel if the revision does not document it.
        """
        contracts: dict[str, Contract] = self._documents.contracts
        if model not in contracts:
            contract = object.__new__(type(self))
            contract._describe(self._documents, _model_of(self._documents, model))
            contracts.setdefault(model, contract)
        return contracts[model]

    @functools.cached_property
    def request_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the payload of a create of this model."""
        shared = self._documents[self._model.request_document]
        model = {**shared["properties"][MODEL], "enum": [self.model]}
        return {**shared, "properties": {**shared["properties"], MODEL: model}}

    @functools.cached_property
    def generation_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of a successful response."""
        schema: Mapping[str, Any] = self._documents[self._model.generation_document]
        return schema

    @functools.cached_property
    def error_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the body of a refusal."""
        schema: Mapping[str, Any] = self._documents[_ERROR]
        return schema

    @functools.cached_property
    def lifecycle(self) -> Lifecycle:
        """The graph of statuses."""
        return Lifecycle.from_schema(self.generation_schema["properties"]["status"])

    @functools.cached_property
    def observed(self) -> Observed:
        """What was observed of the service, for this model."""
        return self._documents.observed.for_model(facts_about(self.model), self._model.generation_document)

    @functools.cached_property
    def operations(self) -> Mapping[str, Operation]:
        """All operations by id: that which creates a generation of this model, and that which asks for one."""
        create, get = self._documents.routes_of(self.model)
        found = (create.for_model(self.model, self.request_schema), get.for_model(self.model, None))
        return MappingProxyType({operation.id: operation for operation in found})

    @functools.cached_property
    def create(self) -> Operation:
        """The operation that creates a generation."""
        return self.operations[CREATE]

    @functools.cached_property
    def get(self) -> Operation:
        """The operation that asks for one."""
        return self.operations[GET]

    @property
    def is_dummy(self) -> bool:
        """Whether the model is no Kling model, but the provider's own, with which a client can be tried out."""
        return self.model in self._documents.dummies

    @functools.cached_property
    def paths(self) -> Mapping[str, Contract]:
        """Every path of the revision, aliases too, each with the contract for a model that is created there.

        It is this contract wherever its model is created, and else that of the first model there.
        """
        found: dict[str, Contract] = {}
        for route in self._documents.creates:
            contract = self if self.model in route.models else self.for_model(next(iter(route.models)))
            for path in route.paths:
                found.setdefault(path, contract)
        return MappingProxyType(found)

    @property
    def schemas(self) -> Mapping[str, Any]:
        """The JSON Schemas by file name, by which the OpenAPI document refers to them."""
        return {name: document for name, document in self._documents.items() if name.endswith(".schema.json")}

    @property
    def request_document(self) -> str:
        """The name of the document with the schema of a payload."""
        return self._model.request_document

    @property
    def generation_document(self) -> str:
        """The name of the document with the schema of a successful response."""
        return self._model.generation_document

    def document(self, name: str) -> Any:
        """Return a copy of a document by its file name, with or without the ending. Raise DocumentError if there is none.

        "create-request" is the payload of a create of this model.
        """
        if name.removesuffix(".json").removesuffix(".schema") == _PAYLOAD:
            return copy.deepcopy(self.request_schema)
        for candidate in (name, f"{name}.json", f"{name}.schema.json"):
            if candidate in self._documents:
                return copy.deepcopy(self._documents[candidate])
        known = ", ".join([f"{_PAYLOAD} (that of {self.model})", *sorted(self._documents)])
        raise DocumentError(f"there is no document {name!r}; choose one of {known}")

    def bundled(self) -> dict[str, Any]:
        """Return the OpenAPI document of all models as a single file: with every schema that it refers to moved into it."""
        return bundle(self.openapi, self.schemas)

    def bundled_for_model(self) -> dict[str, Any]:
        """Return the OpenAPI document as a single file that describes this model alone."""
        success = {operation.method.lower(): operation.success for operation in self.operations.values()}
        name = f"{_PAYLOAD}.schema.json"
        schemas = {
            name: self.request_schema,
            self.generation_document: self.generation_schema,
            _ERROR: self.error_schema,
        }
        return bundle(narrowed(self.openapi, self.create.path, name, success, self.generation_document), schemas)

    @property
    def is_shipped(self) -> bool:
        """Whether it is one of `revisions()`, and not read from a folder of your own."""
        return self.revision.id in revisions() and _load(self.revision.id)._documents is self._documents

    def route(self, path: str) -> list[Operation]:
        """Return the operations on `path`, which may be an alias. Empty if there is no such path."""
        contract = self.paths.get(path)
        return [] if contract is None else [op for op in contract.operations.values() if path in op.paths]

    def takes(self, model: str, path: str | None = None) -> bool:
        """Return whether the revision documents creates of a model on `path`, which may be an alias (None: on any)."""
        return self._documents.knows(model) and (path is None or path in self._documents.routes_of(model)[0].paths)

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

    def price(self, seconds: float) -> int | float | None:
        """Return what a video of so many seconds costs, in `observed.price.unit`; None if nobody knows it."""
        if self.observed.price.per_second is None:
            return None
        price: int | float = self.observed.price.per_second * seconds
        return int(price) if price == int(price) else price

    def __repr__(self) -> str:
        return f"Contract({self.revision.id!r}, {self.model!r})"


def _model_of(documents: RevisionDocuments, asked: str | None) -> Model:
    """Return a model of a revision by its id; None means the default one. Raise UnknownModel."""
    if asked is None:
        default = _index()[MODEL]
        asked = default if default in documents.models else next(iter(documents.models))
    if not documents.knows(asked):
        raise UnknownModel(asked, _no_model(asked, documents.revision, list(documents.models)))
    return documents.model(asked)


def _no_model(asked: str, revision: Revision, known: list[str]) -> str:
    """Say that a revision has no such model, and what to ask for instead."""
    with_it = [other for other in revisions() if _load(other).takes(asked)]
    if with_it:
        return f"revision {revision} has no model {asked!r}; it is one of revision {', '.join(with_it)}"
    everywhere = dict.fromkeys([*known, *(model for other in revisions() for model in _load(other).models)])
    near = nearest_models(asked, everywhere, aliases_of=aliases_of)
    if not near:
        return f"no revision has a model {asked!r}; `kling-contract schema --models` lists those that there are"
    where = [] if near[0] in known else [other for other in revisions() if near[0] in _load(other).models]
    of = f" of revision {', '.join(where)}" if where else ""
    return f"no revision has a model {asked!r}; the nearest is {near[0]}{of}"


def chosen(contract: Contract | None, revision: str | None, model: str | None = None) -> Contract:
    """Return `contract` or, if it is None, the contract of `revision`; for `model`, unless it is None.

    Raise TypeError if contract and revision are both given, UnknownRevision and UnknownModel.
    """
    if contract is None:
        return Contract.load(revision, model=model)
    if revision is not None:
        raise TypeError(
            f"give contract or revision, not both: the contract is of {contract.revision}, the revision is {revision!r}"
        )
    return contract if model is None else contract.for_model(model)


@functools.cache
def revisions() -> tuple[str, ...]:
    """Return the ids of all known revisions, oldest first."""
    return tuple(sorted(folder.name for folder in SCHEMAS.iterdir() if (folder / _OPENAPI).is_file()))


@functools.cache
def _index() -> Mapping[str, str]:
    index: Mapping[str, str] = read_json(SCHEMAS / "index.json")
    return index


@functools.cache
def _load(revision: str) -> Contract:
    documents = RevisionDocuments(Folder(SCHEMAS / revision))
    contract = object.__new__(Contract)
    contract._describe(documents, _model_of(documents, None))
    documents.contracts[contract.model] = contract
    return contract
