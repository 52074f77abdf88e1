"""Does what passes between a program and the API keep the contract? Judges exchanges one after another, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fake_server.journal import har
from fake_server.messages import Exchange, Request
from fake_server.service import media
from kling_contract.contract import Contract, Operation, chosen, revisions
from kling_contract.errors import DocumentError
from kling_contract.generation import Generation
from kling_contract.validation import check_request, check_response
from kling_contract.validation.messages import check_query, operation_of
from kling_contract.violation import FileResult, Strictness, Violation, check_strictness

__all__ = ["ExchangeValidator", "title", "validate_recording"]

_REMEMBERED = 100_000  # generations, and videos, the oldest going first

_Value = TypeVar("_Value")


def validate_recording(
    archive: Mapping[str, Any] | Path | str,
    *,
    contract: Contract | None = None,
    revision: str | None = None,
    strictness: Strictness = "lax",
) -> list[FileResult]:
    """Judge each exchange with the API in an HTTP Archive, given decoded or as a file, in the order in which they began.

    The API is on its own host, and on those on which one of its paths was asked for, of whichever revision; what else a browser
    did is passed over. Whether a key was sent is not judged, since recordings are without. Raise DocumentError for what is no
    archive, and for one without any exchange with the API.
    """
    contract = chosen(contract, revision)
    judge = ExchangeValidator(contract, strictness=strictness)
    exchanges = har.read(archive)
    known = [contract, *(Contract.load(each) for each in revisions())]
    hosts = {urlsplit(contract.base_url).netloc}
    hosts |= {
        each.request.target.netloc for each in exchanges if any(one.route(each.request.target.path) for one in known)
    }
    exchanges = [each for each in exchanges if each.request.target.netloc in hosts]
    if not exchanges:
        name = "the archive" if isinstance(archive, Mapping) else archive
        raise DocumentError(f"{name}: no exchange with the API is recorded in it")
    return [
        FileResult(title(each), [found for found in judge.judge(each) if found.rule != "security"])
        for each in exchanges
    ]


def title(exchange: Exchange) -> str:
    """Name an exchange in a report."""
    return f"{exchange.request.method} {exchange.request.target.path} {exchange.reply.status or 'unanswered'}"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the latest answer said of a generation, and when that answer had arrived."""

    status: str
    until: float


class ExchangeValidator:
    """Judges both directions, and whether each generation goes its way as the contract has it.

    It remembers which statuses generations were last seen in, and where their videos are: downloads are no calls of the API.
    """

    def __init__(self, contract: Contract, *, strictness: Strictness = "lax") -> None:
        self._contract = contract
        self._strictness: Strictness = check_strictness(strictness)
        self._seen: dict[str, _Seen] = {}
        self._videos: dict[str, None] = {}

    def judge(self, exchange: Exchange) -> tuple[Violation, ...]:
        """Return everything that is wrong with a request and its answer. What is not known whole is not judged."""
        request, reply = exchange.request, exchange.reply
        if request.target.path in self._videos:
            return ()
        found = check_request(request, contract=self._contract, strictness=self._strictness)
        if har.announced(request.headers) > len(request.body):
            found = [each for each in found if each.part != "body"]
            found.append(_unjudged("the request", len(request.body)))
        if not reply.status:
            found.append(Violation("", "answer", "no answer came", "warning", part="response"))
        elif not exchange.arrived:
            found.append(_unjudged("the answer", reply.cut or 0))
        elif coding := reply.headers.get("content-encoding"):
            found.append(
                Violation(
                    "",
                    "answer",
                    f"it is encoded as {coding}, and was not judged",
                    "warning",
                    hint="let the program send Accept-Encoding: gzip",
                    part="response",
                )
            )
        else:
            answered = check_response(reply, request=request, contract=self._contract)
            found += [each for each in answered if each not in found]
            found += self._lifecycle(exchange)
        return tuple(found)

    def _lifecycle(self, exchange: Exchange) -> list[Violation]:
        request, reply, lifecycle = exchange.request, exchange.reply, self._contract.lifecycle
        _, operation = operation_of(self._contract, request.method, request.url)
        if operation is None or reply.status != operation.success:
            return []
        try:
            shown = Generation.from_answer(reply.json())
        except ValueError:
            return []  # what it lacks was found before
        for video in shown.videos:
            if path := media.path_of(video.url):
                _remember(self._videos, path, None)
        before, asked = self._seen.get(shown.id), _asked_for(self._contract, operation, request)
        if asked not in (None, shown.id):
            return [_wrong("/id", "id", f"{shown.id} is shown, and {asked} was asked for")]
        ended = exchange.at + reply.delay
        wrong = []
        if operation == self._contract.create:
            if before is not None:
                wrong = [_wrong("/id", "id", f"{shown.id} is the id of a generation that there was before")]
            elif shown.status != lifecycle.initial:
                wrong = [_wrong("/status", "lifecycle", f"a generation begins {lifecycle.initial}, not {shown.status}")]
        elif (
            before is not None and lifecycle.knows(before.status) and not lifecycle.allows(before.status, shown.status)
        ):
            if before.until > exchange.at:
                return []  # the answers overtook each other: which status was the later, nobody can say
            then = ", ".join(each for each in lifecycle.statuses if lifecycle.allows(before.status, each))
            message = f"{shown.status} is shown after {before.status}"
            wrong = [_wrong("/status", "lifecycle", message, f"after {before.status} may come {then}")]
        _remember(self._seen, shown.id, _Seen(shown.status, ended))
        return wrong


def _asked_for(contract: Contract, operation: Operation, request: Request) -> Any:
    """Return the id of the generation that a request asks for; None when it asks for none."""
    values, _ = check_query(contract, operation, request.target.query)
    return next((values.get(name) for name in operation.query["required"]), None)


def _remember(memory: dict[str, _Value], name: str, value: _Value) -> None:
    memory.pop(name, None)
    memory[name] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]


def _wrong(pointer: str, rule: str, message: str, hint: str | None = None) -> Violation:
    return Violation(pointer, rule, message, hint=hint, part="response")


def _unjudged(what: str, size: int) -> Violation:
    return Violation(
        "", "answer", f"only the first {size:,} bytes of {what} are known, so it was not judged", "warning"
    )
