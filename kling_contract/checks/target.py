"""Which server is held against the contract, and how is it reached? Asks, and says what is wrong with an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import httpx

from kling_contract.checks.guard import excerpt, without_key
from kling_contract.clock import Clock, SystemClock
from kling_contract.contract import Contract, Operation
from kling_contract.errors import ContractBroken, InvalidJson
from kling_contract.generation import Generation
from kling_contract.jsontext.parser import parse
from kling_contract.redaction import Key, redacted
from kling_contract.schema_values.rules import minimal_value, resolve
from kling_contract.validation import check_response
from kling_contract.validation.messages import operation_of, same_media_type
from kling_contract.validation.validator import Validator

__all__ = ["Requests", "Target"]


class Requests(Protocol):
    """A client of httpx or httpx2, or what looks like one."""

    def request(self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None) -> Any:
        """Return the response: `status_code`, `headers`, `content`, and its `request`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that is held against a contract.

    `http` is a synchronous client of httpx or httpx2 that sends no key of its own; `key` one that the server takes, of 8
    characters or more, so that it is noticed where it is repeated;
    `base_url` where it is (None: where the contract says). `clock` passes the time by its `sleep`: a VirtualClock that the
    server shares jumps, the system's waits.

    `spent` tells what has been booked so far, in the contract's unit; `play` lets the server behave as a scenario has it,
    which is given as data. Where a server has no such thing they are None, and what needs them is not looked at.

    `assumptions` is where an answer is put that breaks no more than an assumption of the documents (None: it is raised as any
    other that breaks the contract).
    """

    http: Requests
    key: str = field(repr=False)
    base_url: str | None = None
    clock: Clock = field(default_factory=SystemClock)
    contract: Contract = field(default_factory=Contract.load)
    spent: Callable[[], float] | None = None
    play: Callable[[Mapping[str, Any]], object] | None = None
    assumptions: list[ContractBroken] | None = field(default=None, repr=False)

    @property
    def origin(self) -> str:
        """What paths are put after."""
        return self.contract.base_url if self.base_url is None else self.base_url.rstrip("/")

    @property
    def creation(self) -> Operation:
        """The operation that creates a generation."""
        return self.contract.create

    @property
    def polling(self) -> Operation:
        """The operation that asks how far one has come."""
        return self.contract.get

    @property
    def authorization(self) -> dict[str, str]:
        """The header that the API asks for."""
        return {"authorization": Key(self.key).bearer}

    def minimal_payload(self) -> dict[str, Any]:
        """Return a valid payload of the required members alone."""
        payload: dict[str, Any] = minimal_value(resolve(self.contract.request_schema))
        return payload

    def send(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Any:
        """Return the response to a request for a path, or for a whole URL; `headers` are by default those with the key.

        Raise ContractBroken where no request can be made of the URL: its id or link came from the server.
        """
        url = path if "://" in path else self.origin + path
        try:
            httpx.URL(url)
        except httpx.InvalidURL as unusable:
            came = f"{excerpt(url, self.key)!r}: {unusable}"
            wrong = "an id and a link of which a URL can be made"
            raise ContractBroken(f"{came}\nit must give {wrong}", came=came, wrong=wrong) from unusable
        sent = self.authorization if headers is None else headers
        return self.http.request(method, url, headers=sent, content=body or None)

    def create(
        self,
        payload: Any = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
    ) -> Any:
        """Return the response to a create: of `payload` (None: the least one), or of `body` as it is.

        `path` is by default the documented one, and `headers` what belongs there.
        """
        operation = self.creation
        content = json.dumps(self.minimal_payload() if payload is None else payload).encode() if body is None else body
        sent = {**self.authorization, "content-type": operation.media_type or ""} if headers is None else headers
        return self.send(operation.method, path or operation.path, headers=sent, body=content)

    def poll(
        self, generation_id: str | None, *, headers: Mapping[str, str] | None = None, path: str | None = None
    ) -> Any:
        """Return the response to a poll for an id (None: for none)."""
        operation = self.polling
        (name,) = operation.query["required"]
        query = "" if generation_id is None else f"?{urlencode({name: generation_id})}"
        return self.send(operation.method, (path or operation.path) + query, headers=headers)

    def generation(self, response: Any, operation: Operation) -> Generation:
        """Read the answer of an operation that must have succeeded. Raise ContractBroken when it did not, or cannot be read."""
        if response.status_code != operation.success:
            raise self.broken(response, f"it must be answered with {operation.success}")
        try:
            return Generation.from_body(parse(response.content))
        except ValueError:
            why = _unreadable(without_key(response.content, self.key))
            raise self.broken(response, f"that is no generation: {why}") from None

    def must_refuse(self, response: Any, reason: str, why: str = "") -> None:
        """Raise ContractBroken unless a response refuses for a reason of `observed.json`, or at least with its status.

        Where that status is an assumption, and another of the 4xx came, only the assumption is broken.
        """
        known = self.contract.observed.refusals.reasons[reason]
        wanted, came = known.status_code, response.status_code
        if came != wanted:
            assumed = known.assumed and 400 <= came < 500
            rule = f"is assumed to be refused with {wanted}" if assumed else f"must be refused with {wanted}"
            broken = self.broken(response, f"{why or reason.replace('_', ' ')}: it {rule}", assumed=assumed)
            if not assumed or self.assumptions is None:
                raise broken
            self.assumptions.append(broken)

    def must_be_sound(self, response: Any) -> None:
        """Raise ContractBroken when a response has `flaws`."""
        if flaws := self.flaws(response):
            raise self.broken(response, "; ".join(flaws))

    def flaws(self, response: Any) -> list[str]:
        """Return what is wrong with any answer of the API's, whatever it answers: empty when nothing is.

        With which of the 4xx a refusal must come, `must_refuse` says.
        """
        contract, status, request = self.contract, response.status_code, response.request
        content = without_key(bytes(response.content), self.key)  # what is wrong may be told with a part of it
        operation = operation_of(contract, request.method, str(request.url))[1]
        judged = check_response(
            SimpleNamespace(status_code=status, content=content), request=request, contract=contract
        )
        errors = [each for each in judged if each.severity == "error"]
        found = [str(each) for each in errors if each.part == "response" or not 400 <= status < 500]
        refusals = contract.observed.refusals
        wanted = (refusals if status >= 400 else contract.observed.answers).content_type
        kind = response.headers.get("content-type", "")
        if not same_media_type(kind, wanted.partition(";")[0]):
            found.append(f"it is sent as {kind or 'nothing in particular'}, not as {wanted}")
        if status >= 400:
            if operation is None or status not in operation.responses:
                envelope = Validator(contract.error_schema, contract=contract, undeclared="notice", part="response")
                found += [str(each) for each in envelope.validate_text(content) if each.severity == "error"]
            for name, template in refusals.body.items():
                if template == "{status_code}" and not found and str(_member(content, name, status)) != str(status):
                    found.append(f"its {name} is not {status}")
        texts = [
            response.content.decode("utf-8", "replace"),
            *(f"{name}: {value}" for name, value in response.headers.items()),
        ]
        if any(Key(self.key).hidden_in(text) != text for text in texts):
            found.append("it repeats the key")
        return found

    def shown(self, response: Any) -> str:
        """Return the beginning of the body of an answer, without the key."""
        return excerpt(bytes(response.content).decode("utf-8", "replace"), self.key)

    def broken(self, response: Any, wrong: str, *, assumed: bool = False) -> ContractBroken:
        """Return, not raise, the exception for an answer that breaks the contract."""
        url = urlsplit(str(response.request.url))
        asked = f"{response.request.method} {url.path}{f'?{url.query}' if url.query else ''}"
        came = f"{response.status_code} {self.shown(response)}".rstrip()
        wrong = redacted(wrong, self.key)
        message = f"{excerpt(asked, self.key)} was answered {came}\n{wrong}"
        return ContractBroken(message, request=response.request, came=came, wrong=wrong, assumed=assumed)


def _unreadable(content: bytes) -> str:
    """Return why no generation can be read from a body."""
    try:
        Generation.from_body(parse(content))
    except ValueError as unreadable:
        return str(unreadable)
    return "the key in it makes it unreadable"


def _member(content: bytes, name: str, default: Any) -> Any:
    """Return a member of the object that a body holds; the default where it has none, or is no object."""
    try:
        value = parse(content)
    except InvalidJson:
        return default
    return value.get(name, default) if isinstance(value, dict) else default
