"""`catalogue.json`, with types: the lists of models that the API gives without a key, whatever the revision.

The names are those of the document; `schemas/catalogue.schema.json` says what each means.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote

from kling_contract.contract.documents import SCHEMAS, read_json

__all__ = ["Catalogue", "ModelList", "Parameter", "Retirement", "Retirements", "catalogue"]

_REST = "{id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter: what it keeps of the entries, or adds to them. `known` are its values (None: there may be any)."""

    equals: tuple[str, ...] = ()
    known: tuple[str, ...] | None = None
    not_before: tuple[str, ...] = ()
    adds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelList:
    """One of the lists: its path, `paths` with the aliases, and the response. `etag_of` is None if that has no ETag."""

    id: str
    path: str
    paths: tuple[str, ...]
    methods: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    body: Any
    headers: Mapping[str, str]
    etag_of: str | None
    schema: Mapping[str, Any]

    def model_at(self, path: str) -> str | None:
        """Return the id of the model that a path asks for: "" if it asks for all, None if it is not a path of this list."""
        for known in self.paths:
            start = known.removesuffix(_REST)
            if path.startswith(start) and (path == start) == (start == known):
                return unquote(path.removeprefix(start))
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """A way in which a model ends: whether it still serves, whether the list of models has it, and its entry."""

    serves: bool
    listed: bool
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirements:
    """The ways in which a model ends: on a day that AI/ML API names, or only the maker of the model; as an alias; for good."""

    ending: Retirement
    ending_upstream: Retirement
    superseded: Retirement
    withdrawn: Retirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The lists, what is said of one model, and how a model ends.

    `entry` is the entry of a model, `sections` what can be added to it, `dates` what one that is about to end has besides.
    """

    models: ModelList
    model: ModelList
    deprecations: ModelList
    entry: Mapping[str, Any]
    sections: Mapping[str, Any]
    dates: Mapping[str, Any]
    retirements: Retirements

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the document. Raise KeyError or TypeError if something is missing."""
        lists = {name: _list(name, each) for name, each in document["lists"].items()}
        ways = {
            name: Retirement(serves=way["serves"], listed=way["listed"], entry=way["entry"])
            for name, way in document["retirements"].items()
        }
        return cls(
            models=lists["listModels"],
            model=lists["getModel"],
            deprecations=lists["listDeprecations"],
            entry=document["model"]["entry"],
            sections=document["model"]["sections"],
            dates=document["model"]["dates"],
            retirements=Retirements(**ways),
        )

    def at(self, path: str) -> ModelList | None:
        """Return the list on a path, which may be an alias; None if none is there."""
        return next(
            (each for each in (self.models, self.model, self.deprecations) if each.model_at(path) is not None), None
        )


@functools.cache
def catalogue() -> Catalogue:
    """Return the shipped one."""
    return Catalogue.from_document(read_json(SCHEMAS / "catalogue.json"))


def _list(name: str, document: Mapping[str, Any]) -> ModelList:
    return ModelList(
        id=name,
        path=document["path"],
        paths=(document["path"], *document["aliases"]),
        methods=tuple(document["methods"]),
        parameters={name: _parameter(**each) for name, each in document["parameters"].items()},
        body=document["body"],
        headers=document["headers"],
        etag_of=document.get("etag_of"),
        schema=document["schema"],
    )


def _parameter(
    *,
    equals: list[str] | None = None,
    known: list[str] | None = None,
    not_before: list[str] | None = None,
    adds: Mapping[str, list[str]] | None = None,
) -> Parameter:
    return Parameter(
        equals=tuple(equals or ()),
        known=None if known is None else tuple(known),
        not_before=tuple(not_before or ()),
        adds={value: tuple(sections) for value, sections in (adds or {}).items()},
    )
