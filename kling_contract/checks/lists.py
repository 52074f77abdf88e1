"""The list of deprecations of a server under test: whether the model that is checked is still to be had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from kling_contract.checks.deadline import Deadline, DeadlineExceeded
from kling_contract.checks.findings import CheckResult, Finding
from kling_contract.checks.guard import CreationGuard, excerpt
from kling_contract.contract import Contract
from kling_contract.contract.catalogue import catalogue
from kling_contract.display import curl
from kling_contract.errors import InvalidJson
from kling_contract.jsontext.parser import parse
from kling_contract.jsontext.pointer import to_pointer

__all__ = ["Retired", "ask_for_deprecations"]

_CLAIM = "model-is-offered"
_SECONDS = 10.0  # a server that says nothing about its models for so long has no such list
_MOST = 10_000_000  # bytes of it
_NAME = 200  # characters of a name that a server gives


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """The end of a model, as a server lists it. `serves` is whether creates of it are still accepted."""

    model: str
    serves: bool
    since: str | None
    replaced_by: str | None
    url: str

    def __str__(self) -> str:
        since = f" since {self.since}" if self.since else ""
        successor = f"replaced by {self.replaced_by}" if self.replaced_by else ""
        if self.serves:
            return f"the server lists {self.model} as {successor or 'folded into another model'}{since}"
        creates = "no create of it can succeed"
        return f"the server lists {self.model} as withdrawn{since}: {creates}{successor and f'; it is {successor}'}"

    def result(self, contract: Contract) -> CheckResult:
        """Return this as the result of a check: a notice, since no promise is broken."""
        asked = catalogue().deprecations
        found = Finding(
            claim=_CLAIM,
            description=f"{self}.",
            expected="a model that is neither withdrawn nor replaced",
            actual="replaced" if self.serves else "withdrawn",
            document="../catalogue.json",
            pointer=to_pointer(("lists", asked.id)),
            revision=contract.revision.id,
            severity="notice",
            reproduce=curl(asked.methods[0], self.url, {}, b""),
        )
        return CheckResult(claim=_CLAIM, description=found.description, findings=(found,))


def ask_for_deprecations(
    inner: httpx.BaseTransport, origin: str, model: str, *, key: str, seconds: float
) -> tuple[Retired | None, int]:
    """Ask a server, without the key, what it says of the end of a model. Return that, and how many requests were sent.

    None if it has no such list, or nothing in it that is about the model, or anything else than a list there. Whatever it
    sends, no more than ten megabytes and `seconds` are spent on it, and nothing is raised.
    """
    asked = catalogue().deprecations
    url = origin + asked.path
    guard = CreationGuard(inner, deadline=Deadline(min(_SECONDS, seconds)), key=key, response_limit=_MOST)
    try:
        request = httpx.Request(
            asked.methods[0], url, headers={"accept": "application/json", "accept-encoding": "identity"}
        )
        response = guard.handle_request(request)
        listed = parse(response.content) if response.status_code == httpx.codes.OK else None
    except (httpx.RequestError, httpx.InvalidURL, DeadlineExceeded, InvalidJson):
        return None, guard.sent
    return next(_retired(listed, model, url, key), None), guard.sent


def _retired(listed: Any, model: str, url: str, key: str) -> Iterator[Retired]:
    """Yield what a list says of a model: that it is withdrawn, or folded into another one."""
    ways = catalogue().retirements
    entries = listed.get("data") if isinstance(listed, Mapping) else None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping) or not _names(entry, model):
            continue
        for way in (ways.withdrawn, ways.superseded):
            if entry.get("status") == way.entry["status"]:
                since, successor = entry.get("shutdown_at") or entry.get("deprecated_at"), entry.get("replaced_by")
                yield Retired(
                    model=model,
                    serves=way.serves,
                    since=_text(since, key),
                    replaced_by=_text(successor, key),
                    url=url,
                )


def _names(entry: Mapping[str, Any], model: str) -> bool:
    aliases = entry.get("aliases")
    return entry.get("id") == model or (isinstance(aliases, list) and model in aliases)


def _text(value: Any, key: str) -> str | None:
    return excerpt(value, key, most=_NAME) if isinstance(value, str) and value else None
