"""Responses to contract calls, read as a generation or as the exception that says what went wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from kling_contract.client.retry import retry_after
from kling_contract.errors import (
    ApiError,
    Forbidden,
    NotFound,
    RateLimited,
    ServerError,
    Unauthorized,
    UnexpectedResponse,
)
from kling_contract.generation import Generation
from kling_contract.redaction import Key

__all__ = ["read_failure", "read_generation"]

_ERRORS: dict[int, type[ApiError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 429: RateLimited}


def read_generation(response: Any, key: Key) -> Generation:
    """Return the generation in a 2xx response; its repr does not show the key. Raise UnexpectedResponse if there is none."""
    try:
        body = json.loads(response.content)
        return replace(Generation.from_body(key.guarded(body)), raw=body)
    except (ValueError, RecursionError) as unreadable:
        reason = str(unreadable) if isinstance(unreadable, ValueError) else "it is nested too deeply"
        raise UnexpectedResponse(
            key.hidden_in(f"the response with status {response.status_code} cannot be read as a generation: {reason}"),
            status=response.status_code,
            body=key.hidden_in(_text(response)),
        ) from None


def read_failure(response: Any, key: Key, now: float) -> ApiError | UnexpectedResponse:
    """Return the exception for a response other than 2xx. `now` is the time, for dates in its headers."""
    status = response.status_code
    text = key.hidden_in(_text(response))
    if not 400 <= status < 600:
        location = key.hidden_in(response.headers.get("location", ""))
        where = f" to {location}" if location else ""
        return UnexpectedResponse(
            f"the service responded with {_named(status)}{where}, which the contract does not have; "
            "redirects are not followed, to protect the API key: set base_url to the address of the service",
            status=status,
            body=text,
        )
    try:
        envelope = json.loads(text)
    except (ValueError, RecursionError):
        envelope = None
    message = _message(envelope)
    request_id = _request_id(envelope) or key.hidden_in(response.headers.get("x-request-id", "")) or None
    described = f"{_named(status)}: {message}" if message else f"{_named(status)}, without a readable message"
    error = _ERRORS.get(status, ServerError if status >= 500 else ApiError)
    return error(
        f"{described} (request {request_id})" if request_id else described,
        status=status,
        envelope=envelope,
        request_id=request_id,
        retry_after=retry_after(response.headers.get("retry-after"), now),
    )


def _message(envelope: Any) -> str:
    """Return the message of the service, from any of the envelopes that it is known to use; "" if there is none."""
    if not isinstance(envelope, Mapping):
        return envelope if isinstance(envelope, str) else ""
    error = envelope.get("error")
    inner: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": error}
    candidates = (envelope.get("message"), inner.get("message"), inner.get("name"), envelope.get("title"))
    lines = [next((text for text in candidates if isinstance(text, str) and text), "")]
    issues = inner.get("data")
    for issue in issues if isinstance(issues, list) else ():
        if isinstance(issue, Mapping) and isinstance(issue.get("message"), str):
            path = issue.get("path")
            where = ".".join(map(str, path)) if isinstance(path, list) else ""
            lines.append(f"{where}: {issue['message']}" if where else issue["message"])
    return "\n".join(filter(None, lines))


def _request_id(envelope: Any) -> str | None:
    if not isinstance(envelope, Mapping):
        return None
    places: tuple[Any, ...] = (envelope, envelope.get("error"))
    found = (place.get(name) for place in places if isinstance(place, Mapping) for name in ("requestId", "request_id"))
    return next((text for text in found if isinstance(text, str) and text), None)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _text(response: Any) -> str:
    return bytes(response.content).decode("utf-8", errors="replace")
