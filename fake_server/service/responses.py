"""Responses of the simulated service: the shapes of `observed.json`, filled in for a generation or a refusal."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fake_server.messages import Headers, Reply
from fake_server.service.issues import issues_of
from fake_server.service.templates import JsonTemplate, fill
from kling_contract.clock import utc
from kling_contract.contract import Contract
from kling_contract.contract.observed import Refusal
from kling_contract.errors import DocumentError
from kling_contract.violation import Violation

__all__ = ["Responses"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_REASON_LIMIT = 500
_PROVIDED = frozenset(
    {"id", "status", "model", "image_url", "video_url", "video_content_type", "video_size", "price", "usd"}
)


class _Drawn(dict[str, Any]):
    """Values by placeholder. Random ones are drawn when they are first read."""

    def __init__(self, chance: random.Random, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._chance = chance

    def __missing__(self, name: str) -> str:
        draw = _DRAWS.get(name)
        if draw is None:
            raise KeyError(f"observed.json has the placeholder {{{name}}}, for which there is no value")
        value = self[name] = draw(self._chance)
        return value


_DRAWS: Mapping[str, Callable[[random.Random], str]] = {
    "uuid": lambda chance: _uuid4(f"{chance.getrandbits(128):032x}"),
    "nanoid": lambda chance: base64.urlsafe_b64encode(chance.randbytes(16))[:21].decode(),  # the alphabet is the same
    "digits": lambda chance: str(chance.randrange(10**17, 10**18)),
    "hex": lambda chance: f"{chance.getrandbits(128):032x}",
}


def _uuid4(digits: str) -> str:
    """Return 32 hexadecimal digits as a UUID of version 4 (RFC 9562): uuid.UUID takes four times as long."""
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class Responses:
    """Makes the responses of one revision. Random parts are drawn from `chance` alone."""

    def __init__(self, contract: Contract, chance: random.Random) -> None:
        self._observed = contract.observed
        self._answers = contract.observed.answers
        self._refusals = contract.observed.refusals
        self._refusal_bodies = {
            reason: JsonTemplate(_with(self._refusals.body, entry.adds), _known(entry))
            for reason, entry in self._refusals.reasons.items()
        }
        self._per_usd = contract.observed.price.per_usd
        self._chance = chance
        self.shape({})

    def shape(self, shapes: Mapping[str, Any]) -> None:
        """Give successful bodies these `shapes`, in the form of `answers` in observed.json, which gives those left out.

        Raise DocumentError, and change nothing, if they have an unknown placeholder.
        """
        created = _Shape(shapes.get("create", self._answers.create))
        polled = {status: _Shape(shape) for status, shape in {**self._answers.get, **shapes.get("get", {})}.items()}
        known = _PROVIDED
        for name in sorted(set().union(created.names, *(shape.names for shape in polled.values())) - known):
            raise DocumentError(
                f"answers have the unknown placeholder {{{name}}}; use one of {', '.join(sorted(known))}"
            )
        self._created, self._polled = created, polled

    def shows_video(self, status: str) -> bool:
        """Return whether the response to a poll in this status has the URL of the video."""
        return "video_url" in self._polled.get(status, self._created).names

    def new_id(self, model: str) -> str:
        """Draw the id of a new generation."""
        return fill(self._answers.id, _Drawn(self._chance, {"model": model}))

    def new_video_url(self, values: Mapping[str, Any]) -> str:
        """Draw the URL of the video of a new generation, on the documented host."""
        drawn = _Drawn(self._chance, values)
        if self._answers.video_lifetime is not None:
            expires = utc(values["created_at"] + self._answers.video_lifetime)
            drawn["expires_hex"] = f"{int(expires.timestamp()):x}"
        return fill(self._answers.video_url, drawn)

    @property
    def video_content_type(self) -> str:
        """Return the media type of videos."""
        return str(self._answers.video_content_type)

    def created(self, status_code: int, values: Mapping[str, Any]) -> Reply:
        """Return the response to an accepted create."""
        return self._success(status_code, self._created, values)

    def polled(self, status_code: int, values: Mapping[str, Any]) -> Reply:
        """Return the response to a poll. For a status outside the contract it is that of a create: id and status."""
        return self._success(status_code, self._polled.get(values["status"], self._created), values)

    def refused(
        self,
        reason: str,
        *,
        method: str,
        path: str,
        now: float,
        explanation: str,
        violations: Sequence[Violation] = (),
        sent: Mapping[str, Any] = _NOTHING,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Return the refusal of a request for one of the reasons that `observed.json` lists.

        `sent` are the decoded parts of the request that the `violations` are in, by name. `headers` are more header fields,
        by lower-case name. `explanation` goes into the header x-fake-reason, for people.
        """
        entry, body = self._refusals.reasons[reason], self._refusal_bodies[reason]
        values = _Drawn(self._chance, {"status_code": entry.status_code, **entry.placeholders})
        values["method"], values["path"] = method, path
        values["timestamp"] = utc(now).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        values["request_id"] = fill(self._refusals.request_id, values)
        if "{" in entry.message or "issues" in body.names:
            issues = issues_of(violations, sent, self._observed)
            values["issues"] = "\n".join(issue["message"] for issue in issues)
            values["message"] = fill(entry.message, values)
            values["issues"] = issues
        fields = {"content-type": self._refusals.content_type}
        for name, value in self._refusals.headers.items():
            fields[name.lower()] = fill(value, values)
        fields |= headers or {}
        fields["x-fake-reason"] = _one_line(explanation)
        return Reply(entry.status_code, Headers.in_lower_case(fields), body.render(values))

    def under(self, contract: Contract) -> Responses:
        """Return what makes the responses of another model or revision, from the same chance."""
        return Responses(contract, self._chance)

    def _success(self, status_code: int, shape: _Shape, values: Mapping[str, Any]) -> Reply:
        price = values["price"]
        values = {**values, "usd": price / self._per_usd if price is not None and self._per_usd else None}
        headers = {"content-type": self._answers.content_type}
        for name, value in self._answers.headers.items():
            headers[name] = fill(value, values)
        return Reply(status_code, Headers(headers), shape.render(values))


class _Shape:
    """The body of a successful response, with placeholders. What would hold an unknown price is left out."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._template = JsonTemplate(document)
        self._without: dict[frozenset[str], JsonTemplate] = {}
        self.names = self._template.names
        self._money = self.names & {"price", "usd"}

    def render(self, values: Mapping[str, Any]) -> bytes:
        """Return the JSON text with its placeholders replaced, as UTF-8."""
        unknown = frozenset(name for name in self._money if values[name] is None)
        if not unknown:
            return self._template.render(values)
        if unknown not in self._without:
            self._without[unknown] = JsonTemplate(_without(self._document, {f"{{{name}}}" for name in unknown}))
        return self._without[unknown].render(values)


def _without(body: Mapping[str, Any], placeholders: set[str]) -> dict[str, Any]:
    """Return `body` without members that are one of these placeholders, or hold one at any depth."""
    return {name: member for name, member in body.items() if not _holds(member, placeholders)}


def _holds(value: Any, placeholders: set[str]) -> bool:
    if isinstance(value, Mapping):
        return any(_holds(member, placeholders) for member in value.values())
    if isinstance(value, list):
        return any(_holds(item, placeholders) for item in value)
    return isinstance(value, str) and any(placeholder in value for placeholder in placeholders)


def _known(refusal: Refusal) -> dict[str, Any]:
    """Return the values that are the same in every refusal for this reason."""
    known = {"status_code": refusal.status_code, **refusal.placeholders}
    return known if "{" in refusal.message else {**known, "message": refusal.message}


def _with(body: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` with the members of `more` added, also inside of its objects."""
    merged = dict(body)
    for name, member in more.items():
        inner = merged.get(name)
        merged[name] = _with(inner, member) if isinstance(inner, Mapping) and isinstance(member, Mapping) else member
    return merged


def _one_line(text: str) -> str:
    return " ".join(text.split()).encode("ascii", "backslashreplace").decode()[:_REASON_LIMIT].rstrip()
