"""What is observed of the service rather than promised: `observed.json` of a revision, with types.

Field names are those of the document, whose JSON Schema (`schemas/observed.schema.json`) says what each means. Times are in
seconds. `source` is where a part was seen, or that it is a choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Self

from kling_contract.contract.lifecycle import Timeline

__all__ = ["Answers", "Observed", "Polling", "Price", "Refusal", "Refusals", "Tolerated"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tolerated:
    """A deviation that the live service takes: values at `pointer` that are valid under `schema`.

    `reads_as` is the JSON type that such a text is read as (None: it is taken as it is).
    """

    pointer: str
    schema: dict[str, Any]
    reads_as: Literal["integer", "number"] | None
    source: str


@dataclass(frozen=True, slots=True)
class Polling:
    """How a generation is waited for: a poll each `interval`, for `timeout` at most."""

    interval: float
    timeout: float
    source: str


@dataclass(frozen=True, slots=True)
class Price:
    """What a second of video costs. `per_usd` is how many of `unit` one US dollar is (None: nobody said)."""

    unit: str
    per_second: float
    per_usd: float | None
    booked: Literal["on creation", "on success"]
    source: str


@dataclass(frozen=True, slots=True)
class Answers:
    """The shapes of successful responses. Text in braces is a placeholder.

    `create` is the body of a create; `get` that of a poll, by status; `video_lifetime` how long a link to a video is good
    (None: links do not say).
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


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason to refuse. `assumed`: nobody saw this status, only that it is one of the 4xx.

    `adds` is what the body has besides the common members, at whatever depth; `placeholders` what else this reason fills in.
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
        """Read one entry of `reasons`. Whatever its schema does not name is a placeholder of the body."""
        return cls(status_code, message, assumed, adds, rest)


@dataclass(frozen=True, slots=True)
class Refusals:
    """The shapes of refusals: the common body, and the reasons by name."""

    content_type: str
    request_id: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    reasons: Mapping[str, Refusal]
    source: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything in one `observed.json`. `defaults` is what the service takes for an absent field, beyond the schema.

    `timeline` is that of a generation that ends well, `failure` that of one that fails.
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
        """Read the document. Raise KeyError or TypeError where something is missing, ValueError for an impossible timeline."""
        answers, refusals = document["answers"], document["refusals"]
        return cls(
            tolerated=tuple(
                Tolerated(each["pointer"], each["schema"], each.get("reads_as"), each.get("source", ""))
                for each in document["tolerated"]
            ),
            defaults=document["defaults"]["values"],
            polling=Polling(**document["polling"]),
            timeline=Timeline.from_steps(document["timeline"]["steps"]),
            failure=Timeline.from_steps(document["failure"]["steps"]),
            price=Price(**{"per_usd": None, **document["price"]}),
            answers=Answers(**{"video_lifetime": None, "headers": _NOTHING, **answers}),
            refusals=Refusals(**{"headers": _NOTHING, **refusals, "reasons": _reasons(refusals["reasons"])}),
        )

    @property
    def timelines(self) -> Mapping[str, Timeline]:
        """The observed timelines by the name that scenarios use for them."""
        return {"timeline": self.timeline, "failure": self.failure}


def _reasons(documented: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Refusal]:
    return MappingProxyType({name: Refusal.from_document(**reason) for name, reason in documented.items()})
