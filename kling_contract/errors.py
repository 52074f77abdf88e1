"""Everything that this project raises on purpose.

KlingError
├── UnknownRevision        there is no such revision; the message lists the known ones
├── UnknownModel           the revision documents no such model; the message names the nearest right thing
├── DocumentError          a document, such as a scenario or a recording, is not what it should be
├── InvalidJson            a text is not JSON; also a ValueError
├── ImageError             a local image cannot be read, or is not an image of a known kind
├── InvalidPayload         the payload was found invalid before it was sent: nothing was sent, nothing is billed
├── TransportError         no response arrived, not even to a retry
├── UnexpectedResponse     a response breaks the contract so far that it cannot be read
├── ApiError               the service refused the request or failed, with a 4xx or 5xx
│   ├── Unauthorized       401
│   ├── Forbidden          403: no credits, or not verified
│   ├── NotFound           404
│   ├── RateLimited        429
│   └── ServerError        5xx
├── CreationUncertain      the create was sent and no usable response arrived: it may be billed, so it is not repeated
├── GenerationFailed       the generation ended in failure
├── UnknownStatus          the generation is in a status that the contract does not declare
├── WaitTimeout            the generation did not end in time; it may still do so
├── DownloadError          the video could not be downloaded completely
├── ContractBroken         a server that is checked does not keep the contract
├── ServerUnreachable      a server cannot be checked, because requests to it get no response or may not be sent
├── ListenError            the fake cannot listen on this host and port; also an OSError
├── IsolationError         a command cannot be isolated from the network, and this was required
└── StateError             the fake cannot use its state file; also an OSError

ValueError and TypeError are raised as well, for arguments that are wrong whatever the service does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kling_contract.generation import Generation
    from kling_contract.violation import Violation

__all__ = [
    "ApiError",
    "ContractBroken",
    "CreationUncertain",
    "DocumentError",
    "DownloadError",
    "Forbidden",
    "GenerationFailed",
    "ImageError",
    "InvalidJson",
    "InvalidPayload",
    "IsolationError",
    "KlingError",
    "ListenError",
    "NotFound",
    "RateLimited",
    "ServerError",
    "ServerUnreachable",
    "StateError",
    "TransportError",
    "Unauthorized",
    "UnexpectedResponse",
    "UnknownModel",
    "UnknownRevision",
    "UnknownStatus",
    "WaitTimeout",
]

_MAX_BODY = 2_000  # characters of a response that an exception keeps


class KlingError(Exception):
    """The root: catch this to catch all of them.

    `generation` is the generation concerned, as last seen (None: there is none). Every exception that ends a wait has it, so
    that a generation that was paid for can be waited for again.
    """

    generation: Generation | None = None


class UnknownRevision(KlingError):
    """There is no such revision. `asked` is what was asked for, `known` are the ids of all revisions."""

    def __init__(self, asked: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no revision {asked!r}; choose one of {', '.join([*known, 'latest'])}")
        self.asked = asked
        self.known = tuple(known)


class UnknownModel(KlingError):
    """The revision documents no such model. `asked` is what was asked for; the message says what to ask for instead."""

    def __init__(self, asked: str, message: str) -> None:
        super().__init__(message)
        self.asked = asked


class DocumentError(KlingError):
    """A document is missing, or is not what it should be: one of the contract, a scenario, or a recording."""


class InvalidJson(KlingError, ValueError):
    """A text is not JSON. `reason` says why, in one line; `line` and `column` (in characters) count from 1."""

    def __init__(self, reason: str, *, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.reason = reason
        self.line = line
        self.column = column


class ImageError(KlingError):
    """A local image cannot be read, or is not an image of a known kind."""


class InvalidPayload(KlingError):
    """The payload breaks the contract, or has warnings and these are refused. Nothing was sent.

    `violations` are what is wrong with it.
    """

    def __init__(self, violations: Sequence[Violation]) -> None:
        lines = "\n".join(f"  {violation.severity} {violation}" for violation in violations)
        broken = any(violation.severity == "error" for violation in violations)
        why = (
            "the payload breaks the contract" if broken else "warnings are refused (fail_on), and the payload has some"
        )
        super().__init__(f"nothing was sent: {why}\n{lines}")
        self.violations = tuple(violations)


class TransportError(KlingError):
    """No response arrived: the connection could not be made, broke or timed out, and so did each retry."""


class UnexpectedResponse(KlingError):
    """A response cannot be read as the contract describes it.

    `status` is its HTTP status, `body` its text (at most 2,000 characters).
    """

    def __init__(self, message: str, *, status: int, body: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = body[:_MAX_BODY]


class ApiError(KlingError):
    """The service responded with a 4xx or 5xx.

    `status` is the HTTP status; `envelope` the decoded body (None: it is not JSON); `request_id` what to quote to the
    provider's support (None: there is none); `retry_after` how many seconds the service asks to wait (None: it does not say).
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        envelope: Any = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.envelope = envelope
        self.request_id = request_id
        self.retry_after = retry_after


class Unauthorized(ApiError):
    """401: the key is missing or not valid."""


class Forbidden(ApiError):
    """403: the account may not do this, usually because it has no credits or is not verified."""


class NotFound(ApiError):
    """404: there is no such path, or no such generation."""


class RateLimited(ApiError):
    """429: there are too many requests, or too many generations at once."""


class ServerError(ApiError):
    """5xx: the service failed, or something in front of it."""


class CreationUncertain(KlingError):
    """The create was sent, but no usable response arrived: it may have been accepted and billed.

    It is never repeated for you. Look at the provider's log of requests before you send it again. `status` is the HTTP
    status that arrived (None: none did).
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _WithGeneration(KlingError):
    generation: Generation

    def __init__(self, message: str, generation: Generation) -> None:
        super().__init__(message)
        self.generation = generation


class GenerationFailed(_WithGeneration):
    """The generation ended in failure. `generation.error` is the reason that the service gave."""


class UnknownStatus(_WithGeneration):
    """The generation is in a status that this revision of the contract does not declare."""


class WaitTimeout(_WithGeneration):
    """The generation did not end in time. It may still do so: `get` or `wait` for `generation.id` later."""


class DownloadError(KlingError):
    """The video could not be downloaded completely. No file is left at the path asked for."""


class ContractBroken(KlingError):
    """A server that is checked does not keep the contract. The message says what was sent, what came back and what was expected.

    `request` is what was sent (None: no single request shows it), `expected` what should have come, `actual` what came, and
    `problem` what is wrong with it ("": that is plain). `assumed` is True if only an assumption of the documents is violated,
    not the documented contract.
    """

    def __init__(
        self,
        message: str,
        *,
        expected: str,
        actual: str,
        problem: str = "",
        request: Any = None,
        assumed: bool = False,
    ) -> None:
        super().__init__(message)
        self.request = request
        self.expected = expected
        self.actual = actual
        self.problem = problem
        self.assumed = assumed


class ServerUnreachable(KlingError):
    """A server cannot be checked: the URL cannot be used, it is another machine's and that was not allowed, or nothing responds."""


class ListenError(KlingError, OSError):
    """The fake cannot listen on this host and port. The message says why."""


class IsolationError(KlingError):
    """A command cannot be isolated from the network, and this was required, or it cannot be prepared at all.

    It was not started. The message says why.
    """


class StateError(KlingError, OSError):
    """The fake cannot use its state file. The message says why, and what to do."""
