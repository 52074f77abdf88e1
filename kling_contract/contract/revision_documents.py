"""The documents of one revision, and what they say of all of its models."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kling_contract.contract.observed import Observed
from kling_contract.contract.operation import CREATE, GET, Route, routes
from kling_contract.errors import DocumentError

__all__ = ["Model", "Revision", "RevisionDocuments", "all_fitting"]

_OPENAPI = "openapi.json"
_OBSERVED = "observed.json"
_GENERATION = "generation.schema.json"


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
class Model:
    """One model of a revision: its id, the path of its creates, and the names of two documents.

    `request_document` has the schema of its payloads, which other models may share, and `generation_document` the schema of
    the responses about it.
    """

    id: str
    path: str
    request_document: str
    generation_document: str

    def __str__(self) -> str:
        return self.id


class RevisionDocuments(Mapping[str, Any]):
    """The documents of one revision, and what they say of all of its models. Raise DocumentError if they do not fit."""

    def __init__(self, documents: Mapping[str, Any]) -> None:
        self._documents = documents
        self.contracts: dict[str, Any] = {}
        """The contract for each model that was asked for."""
        with all_fitting():
            self.openapi: Mapping[str, Any] = documents[_OPENAPI]
            info = self.openapi["info"]
            self.revision = Revision(
                id=info["version"],
                title=info["title"],
                provenance=info["x-provenance"],
                sources=tuple(info["x-sources"]),
            )
            self.base_url: str = self.openapi["servers"][0]["url"]
            found = list(routes(documents))
            self.creates: list[Route] = [route for route in found if route.operation == CREATE]
            self._gets = [route for route in found if route.operation == GET]
            self._known: Mapping[str, Model] = MappingProxyType(
                {
                    model: Model(model, route.paths[0], name, route.response_document(model) or _GENERATION)
                    for route in self.creates
                    for model, name in route.models.items()
                }
            )
            self.dummies = frozenset(model for route in self.creates for model in route.dummies)
            self.models: Mapping[str, Model] = MappingProxyType(
                {model: known for model, known in self._known.items() if model not in self.dummies}
            )
            for operation in (CREATE, GET):
                if all(route.operation != operation for route in found):
                    raise KeyError(operation)
            if not self.models:
                raise ValueError(f"{_OPENAPI} names no model")

    @functools.cached_property
    def observed(self) -> Observed:
        """What was observed, for the default model."""
        return Observed.from_document(self[_OBSERVED])

    def model(self, model: str) -> Model:
        """Return a model, or a dummy, by its id. Raise KeyError for another one."""
        return self._known[model]

    def knows(self, model: str) -> bool:
        """Return whether this is one of the models, or a dummy."""
        return model in self._known

    def routes_of(self, model: str) -> tuple[Route, Route]:
        """Return where a model is created, and where its generations are asked for: on the same path."""
        create = next(route for route in self.creates if model in route.models)
        get = next((route for route in self._gets if route.paths[0] in create.paths), self._gets[0])
        return create, get

    def __getitem__(self, name: str) -> Any:
        return self._documents[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents)


@contextmanager
def all_fitting() -> Iterator[None]:
    """Raise DocumentError, which says what is wrong, if reading documents in the `with` block shows that one does not fit."""
    try:
        yield
    except (KeyError, TypeError, IndexError) as missing:
        raise DocumentError(
            f"the documents are not those of a revision: {missing!r} is missing or misplaced"
        ) from missing
    except ValueError as wrong:  # no 2xx among the statuses, a status that is not a number, or steps out of order
        raise DocumentError(f"the documents are not those of a revision: {wrong}") from wrong
