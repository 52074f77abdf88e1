"""Validation of whole HTTP requests and responses, of whichever library."""

from __future__ import annotations

import functools
import hmac
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from kling_contract.contract import Contract, Operation, chosen
from kling_contract.contract.catalogue import catalogue
from kling_contract.display import show
from kling_contract.validation.addresses import better_path, is_unfilled
from kling_contract.validation.validator import Validator, validator_for
from kling_contract.violation import Strictness, Violation, check_strictness

__all__ = [
    "check_call",
    "check_query",
    "check_request",
    "check_response",
    "no_operation",
    "operation_of",
    "same_media_type",
    "split_url",
]


def check_request(
    request: Any,
    *,
    contract: Contract | None = None,
    revision: str | None = None,
    strictness: Strictness = "lax",
) -> list[Violation]:
    """Return everything that is wrong with a request to the API: its path, method, headers, query and body.

    `request` is an httpx, httpx2 or requests (prepared) request, a `fake_server.Request`, or anything with `method`, `url`,
    `headers` and a body under `content` or `body`. `Violation.part` is the part of the request that is wrong, and
    `Violation.reason` why the API refuses it. Whether the key is valid is not checked, only that there is one.
    """
    check_strictness(strictness)
    contract = chosen(contract, revision)
    unknown, operation = operation_of(contract, request.method, str(request.url))
    if operation is None:
        return [unknown] if unknown else []
    query = split_url(str(request.url)).query
    return list(check_call(contract, operation, query, _headers(request.headers), _body(request), strictness)[2])


def check_call(
    contract: Contract,
    operation: Operation,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    strictness: Strictness = "lax",
    *,
    api_key: str | None = None,
    body_limit: int | None = None,
) -> tuple[Any, Mapping[str, Any], Sequence[Violation]]:
    """Check a request to `operation`: its raw `query`, its `headers` by lower-case name, and its body.

    Return the decoded body (None: it is not JSON, or was not read), the parameters as `check_query` returns them, and
    everything that is wrong, in the order in which the API would refuse for it. `api_key` is the only valid key (None:
    any is), `body_limit` the most bytes that a body may have (None: any number); a larger one is not read.
    """
    unauthorized = _check_authorization(headers.get("authorization", ""), api_key)
    values, violations = _checked_query(contract, operation.id, query, strictness)
    if unauthorized is not None:
        violations = (unauthorized, *violations)
    if operation.request is None:
        return None, values, violations
    too_large = body_limit is not None and len(body) > body_limit
    if too_large:
        message = f"the body has {len(body):,} bytes, more than the {body_limit:,} bytes allowed"
        violations = (
            *violations,
            Violation("", "size", message, hint="send a smaller body, such as an image by its URL"),
        )
    sent = headers.get("content-type", "")
    if not same_media_type(sent, operation.media_type):
        violations = (*violations, _wrong_media_type(sent, operation))
    if too_large:
        return None, values, violations
    payload, wrong = validator_for(contract).parse_and_validate(body, strictness)
    return payload, values, (*violations, *wrong) if wrong else violations


def check_response(
    response: Any,
    *,
    request: Any = None,
    contract: Contract | None = None,
    revision: str | None = None,
) -> list[Violation]:
    """Return everything that is wrong with a response of the API: an undocumented status, or a body that breaks its schema.

    `response` is an httpx, httpx2 or requests response, which know their request, or a `fake_server.Reply` with its
    `request` given. Undeclared members are notices, since nothing forbids them.
    """
    contract = chosen(contract, revision)
    sent = request if request is not None else response.request
    unknown, operation = operation_of(contract, sent.method, str(sent.url))
    status = getattr(response, "status_code", None) or response.status
    if operation is None:
        expected = any(status in known.responses for known in contract.operations.values())
        return [] if expected and status >= 400 else [unknown] if unknown else []
    if status not in operation.responses:
        documented = ", ".join(map(str, sorted(operation.responses)))
        return [
            Violation(
                "",
                "status",
                f"{status} is not documented for {operation.id}",
                hint=f"documented: {documented}",
                part="status",
            )
        ]
    schema = operation.responses[status]
    if schema is None:
        return []
    return _response_validator(contract, operation.id, status).validate_text(_body(response))


def operation_of(contract: Contract, method: str, url: str) -> tuple[Violation | None, Operation | None]:
    """Return the operation that a request calls; if there is none, the violation that says why.

    A request for one of the lists that need no key calls none of the revision's operations, and nothing is wrong with it.
    """
    path = split_url(url).path
    on_path = contract.route(path)
    for operation in on_path:
        if operation.method == method.upper():
            return None, operation
    asked = None if on_path else catalogue().at(path)
    if asked is not None and method.upper() in asked.methods:
        return None, None
    return no_operation(contract, method, path, on_path), None


def no_operation(contract: Contract, method: str, path: str, on_path: Sequence[Operation]) -> Violation:
    """Return the violation of a request that calls none of the operations `on_path`, which are those on its path."""
    asked = None if on_path else catalogue().at(path)
    if allowed := [operation.method for operation in on_path] if asked is None else asked.methods:
        hint = f"use {', '.join(allowed)}"
        return Violation("", "method", f"{method} is not a method of {path}", hint=hint, part="method")
    hint = better_path(contract, method, path)
    return Violation("", "path", f"{path} is not a path of {contract.revision}", hint=hint, part="path")


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL. One that cannot be split is all path."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", url, "", "")


def check_query(
    contract: Contract, operation: Operation, query: str, strictness: Strictness = "lax"
) -> tuple[Mapping[str, Any], Sequence[Violation]]:
    """Return the parameters of a raw query string, and everything that is wrong with them.

    The value of a parameter is its decoded text, or a list of texts if it is given more than once.
    """
    return _checked_query(contract, operation.id, query, strictness)


def same_media_type(sent: str, wanted: str | None) -> bool:
    """Return whether `sent`, a Content-Type with or without parameters, is of the media type `wanted` (None: any)."""
    return wanted is None or sent.partition(";")[0].strip().lower() == wanted


@functools.lru_cache(maxsize=4096)  # a client polls again and again with the same query
def _checked_query(
    contract: Contract, operation: str, query: str, strictness: Strictness
) -> tuple[Mapping[str, Any], Sequence[Violation]]:
    values: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        before = values.get(name)
        values[name] = value if before is None else [*before, value] if isinstance(before, list) else [before, value]
    wrong = _query_validator(contract, operation).validate_value(values, strictness)
    unfilled = [name for name in contract.operations[operation].query["required"] if is_unfilled(values.get(name))]
    return MappingProxyType(values), (*wrong, *(_not_filled_in(name, values[name], strictness) for name in unfilled))


def _not_filled_in(name: str, value: str, strictness: Strictness) -> Violation:
    return Violation(
        f"/{name}",
        "unknown",
        f"{show(value)} is not the id of a generation, but what a program writes where it has none",
        severity="warning" if strictness == "off" else "error",
        hint="send the id that the response to the create has",
        part="query",
    )


@functools.lru_cache(maxsize=64)
def _query_validator(contract: Contract, operation: str) -> Validator:
    return Validator(contract.operations[operation].query, contract=contract, part="query")


@functools.lru_cache(maxsize=256)
def _response_validator(contract: Contract, operation: str, status: int) -> Validator:
    schema = contract.operations[operation].responses[status]
    return Validator(schema or {}, contract=contract, undeclared="notice", part="response")


def _headers(headers: Any) -> Mapping[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


_NO_TOKEN = Violation(
    "/authorization",
    "security",
    "no bearer token was sent",
    hint="send the header Authorization: Bearer <key>",
    part="header",
)
_WRONG_KEY = Violation(
    "/authorization",
    "security",
    "the bearer token is not the key that this server takes",
    hint="send the key that it was started with",
    part="header",
)


def _check_authorization(authorization: str, api_key: str | None) -> Violation | None:
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return _NO_TOKEN
    if api_key is not None and not hmac.compare_digest(_encoded(token), _encoded(api_key)):
        return _WRONG_KEY
    return None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _wrong_media_type(sent: str, operation: Operation) -> Violation:
    return Violation(
        "/content-type",
        "mediaType",
        f"the body must be sent as {operation.media_type}, not {f'as {sent}' if sent else 'without a media type'}",
        hint=f"send the header Content-Type: {operation.media_type}",
        part="header",
    )


def _body(message: Any) -> bytes:
    body = getattr(message, "content", None)
    if body is None:
        body = getattr(message, "body", None)
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if body is not None else b""
