"""The lists that the API gives without a key: of models, of one model, and of models that end."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from fake_server.messages import Headers, Reply, Request
from fake_server.service.templates import JsonTemplate
from kling_contract.clock import utc
from kling_contract.contract.catalogue import Catalogue, ModelList, Parameter, Retirement
from kling_contract.errors import DocumentError
from kling_contract.jsontext.pointer import resolve

__all__ = ["ModelLists"]

_EVERY = "*"


class ModelLists:
    """Answers requests for the lists of `catalogue`, for the `models` of one revision.

    `known` has what is known of models, those of other revisions too, as the entries of `models.json`; `per_usd` is how many
    tokens one US dollar buys (None: unknown); `withdrawn` has the ids of models that a scenario withdraws ("*": every one).
    Raise DocumentError if nobody knows one of these.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        models: Iterable[str],
        known: Mapping[str, Any],
        *,
        per_usd: float | None = None,
        withdrawn: Collection[str] = (),
    ) -> None:
        self._catalogue = catalogue
        self._models = tuple(models)
        self._known: Mapping[str, Any] = {**{model: {} for model in self._models}, **known}
        self._per_usd = per_usd
        self._withdrawn = frozenset(withdrawn)
        if strange := sorted(self._withdrawn - self._known.keys() - {_EVERY}):
            raise DocumentError(
                f"there is no model {strange[0]!r} to be withdrawn; choose some of {', '.join(sorted(self._known))}, "
                f'or "{_EVERY}" for every one'
            )
        self._entry = JsonTemplate(catalogue.entry)
        self._dates = JsonTemplate(catalogue.dates)
        self._sections = {name: JsonTemplate(section) for name, section in catalogue.sections.items()}
        self._bodies = {
            each.id: JsonTemplate(each.body) for each in (catalogue.models, catalogue.model, catalogue.deprecations)
        }

    def at(self, path: str) -> ModelList | None:
        """Return the list on a path; None if none is there."""
        return self._catalogue.at(path)

    def serves(self, name: object, now: float) -> bool:
        """Return whether a create of this model is accepted, as far as the lists know. Nothing is known of a strange name."""
        model = self._model_of(name)
        way = None if model is None else self._retirement(model, now)
        return way is None or way.serves

    def reply(self, asked: ModelList, request: Request, now: float) -> Reply | None:
        """Return the response to a request for a list; None if it asks for a model that there is not, or not any more."""
        given = list(_given(request))
        sections = {name for parameter, values in _used(asked, given) for name in _added(parameter, values)}
        values: dict[str, Any] = {"generated_at": utc(now).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        name = asked.model_at(request.target.path)
        if asked is self._catalogue.model:
            model = self._model_of(name)
            if model not in self._models or not self.serves(model, now):
                return None
            values["model"] = self._card(self._successor(model, now), sections, now)
        else:
            entries = self._cards(sections, now) if asked is self._catalogue.models else self._endings(now)
            for parameter, wanted in _used(asked, given):
                entries = _kept(entries, parameter, wanted)
            values["data"] = entries
        return _reply(asked, request, self._bodies[asked.id].render(values))

    def _cards(self, sections: Collection[str], now: float) -> list[Any]:
        """Return the entries of the models that the list of models has."""
        ways = {model: self._retirement(model, now) for model in self._models}
        return [
            self._card(model, sections, now, dated=False) for model, way in ways.items() if way is None or way.listed
        ]

    def _card(self, model: str, sections: Collection[str], now: float, *, dated: bool = True) -> Any:
        values = self._values(model, now)
        card = json.loads(self._entry.render(values))
        if dated and self._retirement(model, now) is not None:
            card |= json.loads(self._dates.render(values))
        for name, section in self._sections.items():
            if name in sections and all(values[wanted] is not None for wanted in section.names):
                card[name] = json.loads(section.render(values))
        return card

    def _endings(self, now: float) -> list[Any]:
        """Return the entries of the models that end, newest first."""
        entries = [
            (values["shutdown_at"] or values["deprecated_at"] or "", json.loads(JsonTemplate(way.entry).render(values)))
            for model in sorted(self._models)
            if (way := self._retirement(model, now)) is not None and (values := self._values(model, now))
        ]
        return [entry for _, entry in sorted(entries, key=lambda dated: dated[0], reverse=True)]

    def _values(self, model: str, now: float) -> dict[str, Any]:
        known, way = self._known[model], self._retirement(model, now)
        announced, shutdown = known.get("ended", {}).get("announced"), known.get("ended", {}).get("date")
        if way is self._catalogue.retirements.withdrawn:
            today = _day(now)
            shutdown = min(shutdown or today, today)
            announced = min(announced or shutdown, shutdown)
        return {
            "id": model,
            "aliases": self._aliases(model, now),
            "usd_per_second": self._usd_per_second(model),
            "deprecated_at": announced,
            "shutdown_at": shutdown,
            "replaced_by": self._replacement(model),
        }

    def _retirement(self, model: str, now: float) -> Retirement | None:
        """Return how a model ends; None if nothing is known of its end."""
        ways, known = self._catalogue.retirements, self._known[model]
        ended = known.get("ended")
        if not self._withdrawn.isdisjoint((model, _EVERY)):
            return ways.withdrawn
        if ended is not None:
            if ended.get("upstream"):
                return ways.ending_upstream
            return ways.withdrawn if "date" in ended and ended["date"] <= _day(now) else ways.ending
        return ways.superseded if self._replacement(model) in self._models else None

    def _replacement(self, model: str) -> str | None:
        """Return the model that is to be used instead of one; None if there is none."""
        replaced_by: str | None = self._known[model].get("replaced_by", {}).get("id")
        return replaced_by

    def _aliases(self, model: str, now: float) -> list[str]:
        """Return the other names of a model, also those of models that it has replaced. An id of the list is no alias."""
        names = [alias["id"] for alias in self._known[model].get("aliases", ()) if alias.get("exact", True)]
        folded = [each for each in self._models if each != model and self._replacement(each)]
        replaced = [each for each in folded if self._successor(each, now) == model]
        listed = set(self._models).difference(replaced) | {model}
        return [name for name in dict.fromkeys([*names, *replaced]) if name not in listed]

    def _successor(self, model: str, now: float) -> str:
        """Return the model that a model was folded into, or the model itself."""
        seen = {model}
        while self._retirement(model, now) is self._catalogue.retirements.superseded:
            replacement = self._replacement(model)
            if replacement is None or replacement in seen:
                break
            seen.add(model := replacement)
        return model

    def _model_of(self, name: object) -> str | None:
        """Return the id of the model that has this name, as its id or as an alias; None if none has."""
        if not isinstance(name, str):
            return None
        if name in self._known:
            return name
        for model in self._models:
            if any(alias["id"] == name and alias.get("exact", True) for alias in self._known[model].get("aliases", ())):
                return model
        return None

    def _usd_per_second(self, model: str) -> float | None:
        price = self._known[model].get("price")
        if price is None:
            return None
        if price["unit"] == "USD":
            return float(price["per_second"])
        return None if self._per_usd is None else float(price["per_second"] / self._per_usd)


def _given(request: Request) -> Iterator[tuple[str, str]]:
    """Yield the name of a query parameter with each of its values, in lower case."""
    for name, values in request.query:
        yield from ((name, value) for part in values.split(",") if (value := part.strip().lower()))


def _used(asked: ModelList, given: Sequence[tuple[str, str]]) -> Iterator[tuple[Parameter, list[str]]]:
    """Yield each parameter with its values that have a meaning. One that has none is as if it were not given."""
    for name, parameter in asked.parameters.items():
        values = [value for each, value in given if each == name]
        if parameter.known is not None:
            values = [value for value in values if value in parameter.known]
        if parameter.not_before:
            values = [value for value in values if _is_date(value)]
        if values:
            yield parameter, values


def _added(parameter: Parameter, values: Sequence[str]) -> Iterator[str]:
    for value in values:
        yield from parameter.adds.get(value, ())


def _kept(entries: Sequence[Any], parameter: Parameter, wanted: Sequence[str]) -> list[Any]:
    """Return the entries that a parameter keeps."""
    if parameter.equals:
        return [
            entry
            for entry in entries
            if any(text.lower() in wanted for member in parameter.equals for text in _texts(entry[member]))
        ]
    if parameter.not_before:
        first = min(wanted)
        return [entry for entry in entries if any((entry[member] or "") >= first for member in parameter.not_before)]
    return list(entries)


def _texts(value: Any) -> Iterable[str]:
    return [value] if isinstance(value, str) else value


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _day(now: float) -> str:
    return utc(now).date().isoformat()


def _reply(asked: ModelList, request: Request, body: bytes) -> Reply:
    headers = dict(asked.headers)
    if asked.etag_of is not None:
        part = json.dumps(resolve(json.loads(body), asked.etag_of), ensure_ascii=False).encode()
        digest = base64.b64encode(hashlib.sha1(part, usedforsecurity=False).digest()).decode().rstrip("=")
        headers["etag"] = f'W/"{digest}"'
        if _is_known(headers["etag"], request.headers.get("if-none-match", "")):
            del headers["content-type"]
            return Reply(304, Headers(headers))
    if request.method.upper() == "HEAD":
        return Reply(200, Headers({**headers, "content-length": str(len(body))}))
    return Reply(200, Headers(headers), body)


def _is_known(etag: str, if_none_match: str) -> bool:
    """Return whether a client has this response, by the weak comparison of RFC 9110, section 8.8.3.2."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag.removeprefix("W/") in tags
