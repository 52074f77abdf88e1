"""The family of models across all revisions: the revision that validates a create."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from kling_contract.contract.revision import Contract, revisions

__all__ = ["contract_for", "contract_on", "contracts_on", "hosts", "models", "paths", "revisions_of"]


def contract_for(contract: Contract, model: str, path: str | None = None) -> Contract | None:
    """Return the contract that validates a create of a model on `path` (None: on any), if `contract` was chosen.

    It is of the chosen revision if that documents this model on this path; else of the next later one that does; else of the
    nearest earlier one. If none documents the pair, the same order holds for the model alone. None means that no revision
    knows the model. A contract from a folder of your own stands alone.
    """
    if model == contract.model and contract.takes(model, path):
        return contract
    return _contract_for(contract, model, path)


def contract_on(contract: Contract, path: str) -> Contract | None:
    """Return the contract that describes `path` if `contract` was chosen, in the same order; None if no revision does."""
    if path in contract.paths:
        return contract.paths[path]
    found = _first(contract, lambda other: path in other.paths)
    return None if found is None else found.paths[path]


def contracts_on(contract: Contract, path: str) -> list[Contract]:
    """Return the contracts that may describe the answer to a poll on `path` if `contract` was chosen.

    It is that of the chosen revision if it describes the path; else those of all revisions that do.
    """
    if path in contract.paths:
        return [contract.paths[path]]
    return [other.paths[path] for other in _order(contract) if path in other.paths]


def paths(contract: Contract) -> Mapping[str, Contract]:
    """Return all paths that any revision describes, each with the contract that `contract_on` returns for it."""
    known = dict.fromkeys(path for other in _order(contract) for path in other.paths)
    return {path: found for path in known if (found := contract_on(contract, path)) is not None}


def models(contract: Contract) -> list[str]:
    """Return the ids of the models that any revision documents, in the same order of revisions."""
    return list(dict.fromkeys(model for other in _order(contract) for model in other.models))


def hosts(contract: Contract) -> list[str]:
    """Return the host of the API, and those of the videos that its responses link to, in all revisions."""
    urls = [contract.base_url, *(other.observed.answers.video_url for other in _order(contract))]
    return list(dict.fromkeys(host for url in urls if (host := urlsplit(url).hostname)))


def revisions_of(model: str, path: str | None = None) -> list[str]:
    """Return the revisions that document a model on `path` (None: on any), oldest first."""
    return [revision for revision in revisions() if Contract.load(revision).takes(model, path)]


@functools.lru_cache(maxsize=1024)
def _contract_for(contract: Contract, model: str, path: str | None) -> Contract | None:
    found = _first(contract, lambda other: other.takes(model, path)) if path is not None else None
    found = found or _first(contract, lambda other: other.takes(model))
    return None if found is None else found.for_model(model)


def _first(contract: Contract, fits: Callable[[Contract], bool]) -> Contract | None:
    return next(filter(fits, _order(contract)), None)


def _order(contract: Contract) -> Iterable[Contract]:
    """Return the chosen revision, then the later ones from the next on, then the earlier ones from the nearest on."""
    if not contract.is_shipped:
        return [contract]
    known, chosen = revisions(), contract.revision.id
    others = [name for name in known if name > chosen] + [name for name in reversed(known) if name < chosen]
    return [contract, *map(Contract.load, others)]
