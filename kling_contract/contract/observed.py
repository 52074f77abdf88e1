"""`observed.json` of a revision, with types: what was observed of the service, but is not promised by the provider.

The names are those of the document; `schemas/observed.schema.json` says what each means. Times are in seconds. `source` says
where something was observed, or that it is a choice of this project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, Self

from kling_contract.contract.lifecycle import Timeline

__all__ = ["Answers", "Issue", "Issues", "Observed", "Polling", "Price", "Refusal", "Refusals", "Tolerated"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tolerated:
    """A deviation that the service accepts: values at `pointer` that are valid under `schema`.

    In the pointer `*` stands for any item of an array. `reads_as` is the JSON type that the service converts such a text to,
    which must then be valid where it stands (None: it converts nothing).
    """

    pointer: str
    schema: dict[str, Any]
    reads_as: Literal["integer", "number"] | None
    source: str

    def read(self, value: object) -> int | float | None:
        """Return the number that a text is read as; None if it is no text, or none that the number would be written as."""
        if not isinstance(value, str):
            return None
        try:
            number = int(value) if self.reads_as == "integer" else float(value)
        except ValueError:
            return None
        return number if str(number) == value else None


@dataclass(frozen=True, slots=True)
class Polling:
    """How to wait for a generation: poll once in each `interval`, for at most `timeout`."""

    interval: float
    timeout: float
    source: str


@dataclass(frozen=True, slots=True)
class Price:
    """What a second of video costs, in `unit` (None: nobody knows it).

    `per_usd` is how many of these one US dollar buys (None: unknown).
    """

    unit: str
    per_second: float | None
    per_usd: float | None
    booked: Literal["on creation", "on success"]
    source: str


@dataclass(frozen=True, slots=True)
class Answers:
    """The shapes of successful responses. Text in braces is a placeholder.

    `create` is the body of the response to a create; `get` are those of polls, by status; `video_lifetime` is how long a
    link to a video stays valid (None: the links do not say). `variants` has what is different for models whose responses
    have another schema, by the name of its document.
    """

    content_type: str
    create: Mapping[str, Any]
    get: Mapping[str, Mapping[str, Any]]
    id: str
    video_url: str
    video_content_type: str
    video_lifetime: float | None
    headers: Mapping[str, str]
    source: str
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def variant(self, document: str) -> Answers:
        """Return the shapes for models whose responses have the schema in this document."""
        other = self.variants.get(document, _NOTHING)
        get = {status: {**body, **other.get("get", {}).get(status, {})} for status, body in self.get.items()}
        return replace(self, create={**self.create, **other.get("create", {})}, get=get)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason to refuse a request. `assumed` means that this status was never observed: it may be another 4xx.

    `adds` are the members that the body has besides the common ones, at any depth; `placeholders` are further values to
    fill in.
    """

    status_code: int
    message: str
    assumed: bool
    adds: Mapping[str, Any]
    placeholders: Mapping[str, Any]

    @classmethod
    def from_document(
        cls, *, status_code: int, message: str, assumed: bool = False, adds: Mapping[str, Any] = _NOTHING, **rest: Any
    ) -> Self:
        """Read one entry of `reasons`. A member that is not a parameter here is a placeholder of the body."""
        return cls(status_code, message, assumed, adds, rest)


@dataclass(frozen=True, slots=True)
class Issue:
    """What the service says of one thing that is wrong with a request. `assumed` means that this was never observed.

    `members` are those of the issue, in order. Text in braces is a placeholder.
    """

    members: Mapping[str, Any]
    assumed: bool

    @classmethod
    def from_document(cls, *, assumed: bool = False, **members: Any) -> Self:
        """Read one entry of `shapes`."""
        return cls(members, assumed)


@dataclass(frozen=True, slots=True)
class Issues:
    """The shapes of issues, by the pointer of a value or by the rule that it breaks; the schema of the document says how."""

    shapes: Mapping[str, Issue]
    source: str


@dataclass(frozen=True, slots=True)
class Refusals:
    """The shapes of refusals: the body that they share, the reasons by name, and the issues that some of these list."""

    content_type: str
    request_id: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    reasons: Mapping[str, Refusal]
    issues: Issues
    source: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything in one `observed.json`.

    `defaults` are the values that the service uses for absent fields, where the schema does not say. `timeline` is that of a
    generation that succeeds, `failure` that of one that fails.
    """

    tolerated: Sequence[Tolerated]
    defaults: Mapping[str, Any]
    polling: Polling
    timeline: Timeline
    failure: Timeline
    price: Price
    answers: Answers
    refusals: Refusals

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the document. Raise KeyError or TypeError if something is missing, ValueError for an impossible timeline."""
        answers, refusals = document["answers"], document["refusals"]
        return cls(
            tolerated=tuple(
                Tolerated(entry["pointer"], entry["schema"], entry.get("reads_as"), entry.get("source", ""))
                for entry in document["tolerated"]
            ),
            defaults=document["defaults"]["values"],
            polling=Polling(**document["polling"]),
            timeline=Timeline.from_steps(document["timeline"]["steps"]),
            failure=Timeline.from_steps(document["failure"]["steps"]),
            price=Price(**{"per_usd": None, "per_second": None, **document["price"]}),
            answers=Answers(**{"video_lifetime": None, "headers": _NOTHING, **answers}),
            refusals=Refusals(
                **{
                    "headers": _NOTHING,
                    **refusals,
                    "reasons": _reasons(refusals["reasons"]),
                    "issues": _issues(refusals["issues"]),
                }
            ),
        )

    def for_model(self, facts: Mapping[str, Any], generation_document: str) -> Self:
        """Return it for a model: `facts` are its entry in `models.json`, which has the timeline and the price if known."""
        timeline = facts.get("timeline")
        return replace(
            self,
            timeline=self.timeline if timeline is None else Timeline.from_steps(timeline["steps"]),
            price=self._price(facts.get("price")),
            answers=self.answers.variant(generation_document),
        )

    def _price(self, known: Mapping[str, Any] | None) -> Price:
        if known is None:
            return self.price
        source = f"{known['source']} {self.price.source}"
        if known["unit"] != "USD":  # one token is worth one credit: see the source of the price in observed.json
            return replace(self.price, per_second=known["per_second"], source=source)
        per_usd = self.price.per_usd
        return replace(self.price, per_second=None if per_usd is None else known["per_second"] * per_usd, source=source)

    @property
    def timelines(self) -> Mapping[str, Timeline]:
        """The two timelines by the names that scenarios use."""
        return {"timeline": self.timeline, "failure": self.failure}


def _reasons(documented: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Refusal]:
    return MappingProxyType({name: Refusal.from_document(**reason) for name, reason in documented.items()})


def _issues(documented: Mapping[str, Any]) -> Issues:
    shapes = {name: Issue.from_document(**shape) for name, shape in documented["shapes"].items()}
    return Issues(MappingProxyType(shapes), documented["source"])
