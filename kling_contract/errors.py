"""Everything that this package raises on purpose.

KlingError
├── UnknownRevision        there is no such revision; the message lists those that there are
├── DocumentError          a document is not what it should be
├── ImageError             a local image cannot be read, or is none
├── InvalidPayload         judged before it was sent: nothing was sent, nothing is billed
├── TransportError         no answer came, retries included
├── UnexpectedResponse            an answer came that breaks the contract so far that it cannot be read
├── ApiError               the service refused, or failed, with a status of 4xx or 5xx
│   ├── Unauthorized       401
│   ├── Forbidden          403: no credits, or not verified
│   ├── NotFound           404
│   ├── RateLimited        429
│   └── ServerError     5xx
├── ContractBroken         a server that was checked does not keep the contract
├── Unreachable            a server that should be held against the contract cannot be asked
├── CreationUncertain      the create was sent and no usable answer came: it may be billed, so it is not repeated
├── GenerationFailed       the generation ended in a failure
├── UnknownStatus          the generation is in a status that the contract does not know
├── WaitTimeout            the generation did not end in time; it may still do so
└── DownloadError          the video could not be fetched whole
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
    "InvalidPayload",
    "KlingError",
    "NotFound",
    "RateLimited",
    "ServerError",
    "ServerUnreachable",
    "TransportError",
    "Unauthorized",
    "UnexpectedResponse",
    "UnknownRevision",
    "UnknownStatus",
    "WaitTimeout",
]


class KlingError(Exception):
    """The root: catch this to catch all of them.

    `generation` is the one concerned, as last seen; None when there is none. Whatever ends a wait has it, so
    that a generation that was paid for can be waited for again.
    """

    generation: Generation | None = None


class UnknownRevision(KlingError):
    """There is no such revision. `known` lists those that there are."""

    def __init__(self, asked: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no revision {asked!r}; choose one of {', '.join([*known, 'latest'])}")
        self.asked = asked
        self.known = tuple(known)


class DocumentError(KlingError):
    """A document of the contract is missing, or not what it should be."""


class ImageError(KlingError):
    """A local image cannot be read, or is not an image of a known kind."""


class InvalidPayload(KlingError):
    """The payload breaks the contract, or has warnings and these are refused. `violations` are what is wrong; nothing was sent."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        lines = "\n".join(f"  {violation.severity} {violation}" for violation in violations)
        broken = any(violation.severity == "error" for violation in violations)
        why = (
            "the payload breaks the contract" if broken else "warnings are refused (fail_on), and the payload has some"
        )
        super().__init__(f"nothing was sent: {why}\n{lines}")
        self.violations = tuple(violations)


class TransportError(KlingError):
    """No answer came: the connection could not be made, broke, or timed out, and so did each retry."""


class UnexpectedResponse(KlingError):
    """The answer cannot be read as the contract's. `status` is its HTTP status, `body` what came (at most 2,000 characters)."""

    def __init__(self, message: str, *, status: int, body: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = body[:2000]


class ApiError(KlingError):
    """The service answered with a 4xx or 5xx.

    `status` is the HTTP status, `envelope` the decoded body (None when it is not JSON), `request_id` what to tell the
    provider's support (None when it was not given), `retry_after` the seconds that the service asks to wait (None when it
    does not say).
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
    """401: the key is missing, or not a valid one."""


class Forbidden(ApiError):
    """403: the account may not do this, usually for want of credits or of verification."""


class NotFound(ApiError):
    """404: no such path, or no such generation."""


class RateLimited(ApiError):
    """429: too many requests, or too many generations at a time."""


class ServerError(ApiError):
    """5xx: the service, or something in front of it, failed."""


class ContractBroken(KlingError):
    """A server that was checked does not keep the contract. The message says what was sent, what came and what was expected.

    `request` is what was sent (None: no single request shows it), `expected` what should have come, `actual` what came, and
    `problem` what is wrong with it ("": that is plain). `assumed` is True if only an assumption of the documents is broken.
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
    """A server that should be checked cannot be reached: the URL leads nowhere, or nobody answers there."""


class CreationUncertain(KlingError):
    """The create was sent, but no usable answer came: it may have been accepted and billed.

    It is never repeated for you. Look at the provider's log of requests before you send it again. `status` is the HTTP
    status that came, None when there was none.
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
    """The generation ended in a failure. `generation.error` holds what the service said of it."""


class UnknownStatus(_WithGeneration):
    """The generation is in a status that this revision of the contract does not know."""


class WaitTimeout(_WithGeneration):
    """The generation did not end in time. It may still do so: `get` or `wait` for `generation.id` later."""


class DownloadError(KlingError):
    """The video could not be fetched whole. Nothing is left at the path asked for."""
