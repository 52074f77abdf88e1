"""Changes between two revisions, or two OpenAPI documents, for all of their models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kling_contract.contract import Contract
from kling_contract.drift.changes import Change, breaks, diff
from kling_contract.drift.difference import BREAKAGES, Breakage
from kling_contract.drift.openapi import ApiDocument

__all__ = ["FamilyChanges", "ModelChanges", "diff_family"]


@dataclass(frozen=True, slots=True)
class ModelChanges:
    """The same list of changes, which may be empty, for each of some models. A counterexample is that of the first model."""

    models: tuple[str, ...]
    changes: tuple[Change, ...]

    @property
    def worst(self) -> Breakage | None:
        """The worst that a change does; None if none of them breaks or adds anything."""
        return next((breakage for breakage in BREAKAGES if any(c.worst == breakage for c in self.changes)), None)

    @property
    def witness(self) -> Change | None:
        """The change that breaks requests the worst, with a counterexample; None if there is none."""
        shown = [change for change in self.changes if change.requests and change.counterexample is not None]
        return min(shown, key=lambda change: BREAKAGES.index(change.requests or "non-breaking"), default=None)


@dataclass(frozen=True, slots=True)
class FamilyChanges:
    """What changed for a family of models: those that were added, those that are gone, and the others in `groups`.

    The models of a group share a list of changes. The groups are in order of what breaks, the worst first; the models for
    which nothing changed are the last one.
    """

    added: tuple[str, ...]
    gone: tuple[str, ...]
    groups: tuple[ModelChanges, ...]

    @property
    def same(self) -> tuple[str, ...]:
        """The models for which nothing changed."""
        return tuple(model for group in self.groups if not group.changes for model in group.models)

    @property
    def breaks(self) -> bool:
        """True if a model is gone, whose creates are refused now, or if a change is breaking on every server."""
        return bool(self.gone) or any(breaks(group.changes) for group in self.groups)


def diff_family(old: Contract | ApiDocument, new: Contract | ApiDocument) -> FamilyChanges:
    """Return what changed from `old` to `new`, model by model.

    If only one of the two is a contract, models of the other that come from providers which the contract does not know are
    left out: it describes only one family of a larger API. Raise DocumentError for a document that cannot be compared.
    """
    before, after = _models(old, new), _models(new, old)
    groups: list[ModelChanges] = []
    for model in before:
        if model not in after:
            continue
        changes = tuple(diff(old, new, model=model))
        for position, group in enumerate(groups):
            if _without_examples(group.changes) == _without_examples(changes):
                groups[position] = replace(group, models=(*group.models, model))
                break
        else:
            groups.append(ModelChanges((model,), changes))
    return FamilyChanges(
        added=tuple(model for model in after if model not in before),
        gone=tuple(model for model in before if model not in after),
        groups=tuple(sorted(groups, key=_rank)),
    )


def _models(document: Contract | ApiDocument, other: Contract | ApiDocument) -> list[str]:
    """Return the models of a document that can be compared with another one."""
    models = list(document.models)
    if isinstance(other, Contract) and not isinstance(document, Contract):
        providers = {model.partition("/")[0] for model in other.models}
        models = [model for model in models if model.partition("/")[0] in providers]
    return models


def _rank(group: ModelChanges) -> tuple[int, int, int, int]:
    """Order groups by what they break, the most breaking changes first, then by the number of models."""
    counts = [sum(change.worst == breakage for change in group.changes) for breakage in BREAKAGES]
    return -counts[0], -counts[1], -len(group.changes), -len(group.models)


def _without_examples(changes: Iterable[Change]) -> list[Change]:
    return [replace(change, counterexample=None) for change in changes]
