"""Do a request and its answer keep the contract? Judges whole HTTP messages, of whichever library."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kling_contract.contract import Contract, Operation, chosen
from kling_contract.display import nearest
from kling_contract.validation.validator import Validator, validator_for
from kling_contract.violation import Strictness, Violation, check_strictness

__all__ = ["check_query", "check_request", "check_response", "operation_of", "same_media_type"]


def check_request(
    request: Any,
    *,
    contract: Contract | None = None,
    revision: str | None = None,
    strictness: Strictness = "lax",
) -> list[Violation]:
    """Return everything that is wrong with a request to the API: its path, method, headers, query and body.

    `request` is an httpx, httpx2 or requests (prepared) request, a `fake_server.Request`, or anything with `method`, `url`,
    `headers` and a body under `content` or `body`. `Violation.part` says which part of it is meant. The key itself is
    looked for, never looked at.
    """
    check_strictness(strictness)
    contract = chosen(contract, revision)
    found, operation = operation_of(contract, request.method, str(request.url))
    if operation is None:
        return [found] if found else []
    violations = []
    headers = _headers(request.headers)
    if not _bearer(headers.get("authorization", "")):
        violations.append(
            Violation(
                "/authorization",
                "security",
                "no bearer token: the API answers 401",
                hint="send the header Authorization: Bearer <key>",
                part="header",
            )
        )
    violations += check_query(contract, operation, urlsplit(str(request.url)).query, strictness)[1]
    if operation.request is not None:
        sent = headers.get("content-type", "")
        if not same_media_type(sent, operation.media_type):
            violations.append(
                Violation(
                    "/content-type",
                    "mediaType",
                    f"the body is sent as {sent or 'nothing in particular'}, not as {operation.media_type}",
                    hint=f"send the header Content-Type: {operation.media_type}",
                    part="header",
                )
            )
        violations += validator_for(contract).validate_text(_body(request), strictness)
    return violations


def check_response(
    response: Any,
    *,
    request: Any = None,
    contract: Contract | None = None,
    revision: str | None = None,
) -> list[Violation]:
    """Return everything that is wrong with an answer of the API: a status that is not documented, a body that does not fit it.

    `response` is an httpx, httpx2 or requests response (they know their request), or a `fake_server.Reply` with its
    `request` given. What the documents do not declare is a notice, since nothing forbids it.
    """
    contract = chosen(contract, revision)
    asked = request if request is not None else response.request
    unknown, operation = operation_of(contract, asked.method, str(asked.url))
    status = getattr(response, "status_code", None) or response.status
    if operation is None:
        expected = any(status in each.responses for each in contract.operations.values())
        return [] if expected and status >= 400 else [unknown] if unknown else []
    if status not in operation.responses:
        documented = ", ".join(str(each) for each in sorted(operation.responses))
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
    return _response_judge(contract, operation.id, status).validate_text(_body(response))


def operation_of(contract: Contract, method: str, url: str) -> tuple[Violation | None, Operation | None]:
    """Return the operation that a request is for; or, when there is none, the violation that says why."""
    path = urlsplit(url).path
    here = contract.route(path)
    for operation in here:
        if operation.method == method.upper():
            return None, operation
    if here:
        allowed = ", ".join(operation.method for operation in here)
        return Violation(
            "", "method", f"{method} is not a method of {path}", hint=f"use {allowed}", part="method"
        ), None
    return Violation(
        "",
        "path",
        f"{path} is not a path of {contract.revision}",
        hint=_better_path(contract, path),
        part="path",
    ), None


def check_query(
    contract: Contract, operation: Operation, query: str, strictness: Strictness = "lax"
) -> tuple[Mapping[str, Any], Sequence[Violation]]:
    """Return the parameters of a raw query string, and everything that is wrong with them.

    The value of a parameter is its text, decoded; a list of texts when it is given more than once.
    """
    return _checked_query(contract, operation.id, query, strictness)


def same_media_type(sent: str, wanted: str | None) -> bool:
    """Is `sent`, a Content-Type with or without parameters, of the media type `wanted`? With None anything is."""
    return wanted is None or sent.partition(";")[0].strip().lower() == wanted


@functools.lru_cache(maxsize=4096)  # a generation is asked for again and again, with the same query
def _checked_query(
    contract: Contract, operation: str, query: str, strictness: Strictness
) -> tuple[Mapping[str, Any], Sequence[Violation]]:
    values: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        before = values.get(name)
        values[name] = value if before is None else [*before, value] if isinstance(before, list) else [before, value]
    return MappingProxyType(values), tuple(_query_judge(contract, operation).validate_value(values, strictness))


@functools.lru_cache(maxsize=64)
def _query_judge(contract: Contract, operation: str) -> Validator:
    return Validator(contract.operations[operation].query, contract=contract, part="query")


@functools.lru_cache(maxsize=256)
def _response_judge(contract: Contract, operation: str, status: int) -> Validator:
    schema = contract.operations[operation].responses[status]
    return Validator(schema or {}, contract=contract, undeclared="notice", part="response")


def _better_path(contract: Contract, path: str) -> str:
    for operation in contract.operations.values():
        names = operation.query["required"]
        for known in operation.paths:
            if names and path.startswith(known + "/"):
                return f"poll with {known}?{names[0]}=<id>, not with the id in the path"
    known_paths = list({known: None for operation in contract.operations.values() for known in operation.paths})
    return f"did you mean {(nearest(path, known_paths) or known_paths)[0]}?"


def _headers(headers: Any) -> Mapping[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _bearer(authorization: str) -> bool:
    scheme, _, token = authorization.partition(" ")
    return scheme.lower() == "bearer" and bool(token.strip())


def _body(message: Any) -> bytes:
    body = getattr(message, "content", None)
    if body is None:
        body = getattr(message, "body", None)
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if body is not None else b""
