"""The server under test: how requests are sent to it, and what is wrong with a response."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import httpx

from kling_contract.checks.flaws import flaws
from kling_contract.checks.guard import excerpt, without_key
from kling_contract.clock import Clock, SystemClock
from kling_contract.contract import Contract, Operation
from kling_contract.errors import ContractBroken
from kling_contract.generation import Generation
from kling_contract.jsontext.parser import parse
from kling_contract.redaction import Key, redacted
from kling_contract.schema_values.rules import minimal_value, resolve

__all__ = ["Creates", "Requests", "Target"]


EXAMPLES = 100
"""How many runs the state machine makes, where nobody has to wait for the time to pass."""


class Requests(Protocol):
    """A client of httpx or httpx2, or what looks like one."""

    def request(self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None) -> Any:
        """Return the response: `status_code`, `headers`, `content`, and its `request`."""


class Creates:
    """How a target sends creates: each as it is. `possible` says whether any of them can be accepted."""

    possible: bool = True

    def send(self, post: Callable[[bytes], Any], body: bytes) -> Any:
        """Return the response to a create with this body; `post` sends one."""
        return post(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that is checked against a contract.

    `http` is a synchronous client of httpx or httpx2 that sends no key of its own. `key` is one that the server takes, of 8
    characters or more, so that it is noticed where it is repeated. `base_url` is where the server is (None: where the contract
    says). `clock` passes the time by its `sleep`: a VirtualClock that the server shares jumps, the system's waits.

    `spent` returns what has been billed so far, in the contract's unit; `play` makes the server follow a scenario, given as
    data. They are None for a server that has no such thing; the claims that need them are then skipped.

    `creates` decides how creates are sent; `payload` is what they send by default (None: the smallest valid payload). `seed`
    repeats what is drawn at random, and `examples` is how many runs the state machine makes.

    `assumptions` collects violations of mere assumptions of the documents (None: they are raised as all others are);
    `recorded` collects all other violations, also those that are raised and then cannot be repeated (None: nobody collects).
    """

    http: Requests
    key: str = field(repr=False)
    base_url: str | None = None
    clock: Clock = field(default_factory=SystemClock)
    contract: Contract = field(default_factory=Contract.load)
    spent: Callable[[], float] | None = None
    play: Callable[[Mapping[str, Any]], object] | None = None
    creates: Creates = field(default_factory=Creates, repr=False)
    payload: Mapping[str, Any] | None = None
    seed: int = 0
    examples: int = EXAMPLES
    assumptions: list[ContractBroken] | None = field(default=None, repr=False)
    recorded: list[ContractBroken] | None = field(default=None, repr=False)

    @property
    def origin(self) -> str:
        """The URL that paths are put after."""
        return self.contract.base_url if self.base_url is None else self.base_url.rstrip("/")

    @property
    def creation(self) -> Operation:
        """The operation that creates a generation."""
        return self.contract.create

    @property
    def polling(self) -> Operation:
        """The operation that polls one."""
        return self.contract.get

    @property
    def authorization(self) -> dict[str, str]:
        """The header with the key."""
        return {"authorization": Key(self.key).bearer}

    def minimal_payload(self) -> dict[str, Any]:
        """Return the payload that creates send by default: the required members alone, unless the target has its own."""
        return dict(minimal_value(resolve(self.contract.request_schema)) if self.payload is None else self.payload)

    def send(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Any:
        """Return the response to a request for a path, or for a whole URL; `headers` are by default those with the key.

        Raise ContractBroken if the URL cannot be requested: its id or link came from the server.
        """
        url = path if "://" in path else self.origin + path
        try:
            httpx.URL(url)
        except httpx.InvalidURL as unusable:
            actual = f"{excerpt(url, self.key)!r}: {unusable}"
            expected = "an id and a link that can be requested"
            raise ContractBroken(f"{actual}\nexpected {expected}", expected=expected, actual=actual) from unusable
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
        """Return the response to a create of `payload` (None: the minimal one), or of `body` as it is.

        `path` is by default the documented one; `headers` are by default the key and the media type.
        """
        operation = self.creation
        sent = {**self.authorization, "content-type": operation.media_type or ""} if headers is None else headers
        if body is None:
            body = json.dumps(self.minimal_payload() if payload is None else payload).encode()

        def post(content: bytes) -> Any:
            return self.send(operation.method, path or operation.path, headers=sent, body=content)

        return self.creates.send(post, body)

    def poll(
        self, generation_id: str | None, *, headers: Mapping[str, str] | None = None, path: str | None = None
    ) -> Any:
        """Return the response to a poll for an id (None: without one)."""
        operation = self.polling
        (name,) = operation.query["required"]
        query = "" if generation_id is None else f"?{urlencode({name: generation_id})}"
        return self.send(operation.method, (path or operation.path) + query, headers=headers)

    def generation(self, response: Any, operation: Operation) -> Generation:
        """Read the response of an operation that must have succeeded. Raise ContractBroken if it did not, or cannot be read."""
        if response.status_code != operation.success:
            raise self.broken(response, str(operation.success))
        try:
            return Generation.from_body(parse(response.content))
        except ValueError:
            problem = _unreadable(without_key(response.content, self.key))
            raise self.broken(response, "a generation", problem=problem) from None

    def created(self, response: Any, why: str = "") -> Generation:
        """Read the response to a create that must have been accepted, and be in the first status. `why` says why it must."""
        try:
            made = self.generation(response, self.creation)
        except ContractBroken as broken:
            if not why:
                raise
            raise self.broken(response, broken.expected, problem=f"{broken.problem}; {why}".lstrip("; ")) from None
        initial = self.contract.lifecycle.initial
        if made.status != initial:
            raise self.broken(response, f"status {initial} at first", problem=f"it is {made.status}")
        return made

    def must_refuse(self, response: Any, reason: str, why: str = "") -> None:
        """Raise ContractBroken unless the status of a response is that of a reason for refusals in `observed.json`.

        If that status is an assumption, and another 4xx came, only the assumption is broken. `why` says why it must be refused.
        """
        reasons = self.contract.observed.refusals.reasons
        wanted, actual = reasons[reason].status_code, response.status_code
        also = set() if self.creates.possible else {reasons["invalid_body"].status_code}
        if actual == wanted or (response.request.method == self.creation.method and actual in also):
            return
        assumed = reasons[reason].assumed and 400 <= actual < 500
        expected = f"{wanted}, which the documents only assume" if assumed else str(wanted)
        broken = self.broken(response, expected, problem=why, assumed=assumed)
        if not assumed or self.assumptions is None:
            raise broken
        self.assumptions.append(broken)

    def must_be_sound(self, response: Any) -> None:
        """Raise ContractBroken if anything is wrong with the form of a response."""
        if found := flaws(response, contract=self.contract, key=self.key):
            raise self.broken(response, "a well-formed response", problem="; ".join(found))

    def shown(self, response: Any) -> str:
        """Return the beginning of the body of a response, without the key."""
        return excerpt(bytes(response.content).decode("utf-8", "replace"), self.key)

    def broken(self, response: Any, expected: str, *, problem: str = "", assumed: bool = False) -> ContractBroken:
        """Return, not raise, the exception for a response that breaks the contract.

        `expected` names what should have come; `problem` says what is wrong ("": the response shows it by itself).
        """
        url = urlsplit(str(response.request.url))
        request = f"{response.request.method} {url.path}{f'?{url.query}' if url.query else ''}"
        actual = f"{response.status_code} {self.shown(response)}".rstrip()
        expected, problem = redacted(expected, self.key), redacted(problem, self.key)
        message = f"{excerpt(request, self.key)} returned {actual}\nexpected {expected}{problem and f': {problem}'}"
        broken = ContractBroken(
            message, request=response.request, expected=expected, actual=actual, problem=problem, assumed=assumed
        )
        if self.recorded is not None and not assumed:
            self.recorded.append(broken)
        return broken


def _unreadable(content: bytes) -> str:
    """Return why a body cannot be read as a generation."""
    try:
        Generation.from_body(parse(content))
    except ValueError as unreadable:
        return str(unreadable)
    return "the key in it makes it unreadable"
