"""Checks traffic between a client and the API against the contract: live exchanges, or those of an archive."""

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
from kling_contract.contract.operation import CREATE, GET
from kling_contract.errors import DocumentError
from kling_contract.generation import Generation
from kling_contract.validation import check_request, check_response
from kling_contract.validation.messages import check_query, check_reply, described_by, operation_of
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
    """Validate each exchange with the API in an HTTP Archive, given decoded or as a file, in the order in which they began.

    The API's own host counts as the API, and so does each host of which one of its paths was requested, in any revision;
    exchanges with other hosts are ignored. A missing key is no violation, since recordings have none. Raise DocumentError if
    it is not an archive, or has no exchange with the API.
    """
    contract = chosen(contract, revision)
    validator = ExchangeValidator(contract, strictness=strictness)
    exchanges = har.read(archive)
    contracts = [contract, *map(Contract.load, revisions())]
    hosts = {urlsplit(contract.base_url).netloc}
    for exchange in exchanges:
        target = exchange.request.target
        if any(known.route(target.path) for known in contracts):
            hosts.add(target.netloc)
    exchanges = [exchange for exchange in exchanges if exchange.request.target.netloc in hosts]
    if not exchanges:
        name = "the archive" if isinstance(archive, Mapping) else archive
        raise DocumentError(f"{name}: there is no exchange with the API in it")
    return [
        FileResult(
            title(exchange),
            [violation for violation in validator.validate(exchange) if violation.rule != "security"],
        )
        for exchange in exchanges
    ]


def title(exchange: Exchange) -> str:
    """Return the name of an exchange in reports."""
    return f"{exchange.request.method} {exchange.request.target.path} {exchange.reply.status or 'unanswered'}"


@dataclass(frozen=True, slots=True)
class _Seen:
    """The status of a generation in the latest response, and when that response had arrived."""

    status: str
    until: float


class ExchangeValidator:
    """Validates requests, responses, and the order of the statuses of each generation.

    It remembers the latest status of each generation, and the paths of the videos, since downloads are not calls of the API.
    """

    def __init__(self, contract: Contract, *, strictness: Strictness = "lax") -> None:
        self._contract = contract
        self._strictness: Strictness = check_strictness(strictness)
        self._seen: dict[str, _Seen] = {}
        self._videos: dict[str, None] = {}
        self._contracts: dict[str, Contract] = {}

    def validate(self, exchange: Exchange) -> tuple[Violation, ...]:
        """Return all violations in a request and its response. A body of which only a part is known gets a warning."""
        request, reply = exchange.request, exchange.reply
        if request.target.path in self._videos:
            return ()
        found = check_request(request, contract=self._contract, strictness=self._strictness)
        if har.declared_length(request.headers) > len(request.body):
            found = [violation for violation in found if violation.part != "body"]
            found.append(_incomplete("the request", len(request.body)))
        if not reply.status:
            found.append(Violation("", "unchecked", "there was no response", "warning", part="response"))
        elif not exchange.arrived:
            found.append(_incomplete("the response", reply.cut or 0))
        elif coding := reply.headers.get("content-encoding"):
            found.append(
                Violation(
                    "",
                    "unchecked",
                    f"the body is encoded as {coding}, and was not checked",
                    "warning",
                    hint="let the client send Accept-Encoding: gzip",
                    part="response",
                )
            )
        else:
            violations = self._check_reply(exchange)
            found += [violation for violation in violations if violation not in found]
            found += self._lifecycle(exchange)
        return tuple(found)

    def _check_reply(self, exchange: Exchange) -> list[Violation]:
        """Check a response: one to a poll by the contract of the create, if that was seen."""
        request, reply = exchange.request, exchange.reply
        _, operation = operation_of(self._contract, request.method, request.url)
        if operation is not None and operation.id == GET:
            described = self._contracts.get(str(_requested_id(self._contract, operation, request)))
            if described is not None:
                return check_reply(described, GET, reply.status, reply.body)
        return check_response(reply, request=request, contract=self._contract)

    def _lifecycle(self, exchange: Exchange) -> list[Violation]:
        request, reply, lifecycle = exchange.request, exchange.reply, self._contract.lifecycle
        _, operation = operation_of(self._contract, request.method, request.url)
        if operation is None or not 200 <= reply.status < 300:
            return []
        try:
            shown = Generation.from_body(reply.json())
        except (ValueError, RecursionError):
            return []  # check_response has reported it
        for video in shown.videos:
            if path := media.path_of(video.url):
                _remember(self._videos, path, None)
        before, requested = self._seen.get(shown.id), _requested_id(self._contract, operation, request)
        if requested not in (None, shown.id):
            return [_violation("/id", "id", f"the response is about {shown.id}, but {requested} was requested")]
        ended = exchange.at + reply.delay
        found = []
        if operation.id == CREATE:
            _remember(self._contracts, shown.id, described_by(self._contract, request.target.path, request.body))
            if before is not None:
                found = [_violation("/id", "id", f"{shown.id} is the id of an earlier generation")]
            elif shown.status != lifecycle.initial:
                message = f"a generation begins as {lifecycle.initial}, not as {shown.status}"
                found = [_violation("/status", "lifecycle", message)]
        elif (
            before is not None and lifecycle.knows(before.status) and not lifecycle.allows(before.status, shown.status)
        ):
            if before.until > exchange.at:
                return []  # the responses overlapped: their order is unknown
            allowed = ", ".join(status for status in lifecycle.statuses if lifecycle.allows(before.status, status))
            message = f"the status is {shown.status}, after {before.status}"
            found = [_violation("/status", "lifecycle", message, f"{before.status} may be followed by {allowed}")]
        _remember(self._seen, shown.id, _Seen(shown.status, ended))
        return found


def _requested_id(contract: Contract, operation: Operation, request: Request) -> Any:
    """Return the id of the generation that a request is about; None if it is about none."""
    values, _ = check_query(contract, operation, request.target.query)
    return next((values.get(name) for name in operation.query["required"]), None)


def _remember(memory: dict[str, _Value], name: str, value: _Value) -> None:
    memory.pop(name, None)
    memory[name] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]


def _violation(pointer: str, rule: str, message: str, hint: str | None = None) -> Violation:
    return Violation(pointer, rule, message, hint=hint, part="response")


def _incomplete(what: str, size: int) -> Violation:
    return Violation(
        "", "unchecked", f"only the first {size:,} bytes of {what} are known, so it was not checked", "warning"
    )
