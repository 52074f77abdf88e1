"""Validation of whole HTTP requests and responses, of whichever library."""

from __future__ import annotations

import functools
import hmac
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

from kling_contract.contract import Contract, Operation, chosen
from kling_contract.contract.catalogue import catalogue
from kling_contract.contract.family import contract_on, contracts_on
from kling_contract.contract.operation import CREATE
from kling_contract.display import show
from kling_contract.validation.addresses import better_path, is_unfilled
from kling_contract.validation.creates import check_payload_text, other_revision
from kling_contract.validation.validator import Validator
from kling_contract.violation import Strictness, Violation, check_strictness, has_errors

__all__ = [
    "CheckedCall",
    "check_call",
    "check_query",
    "check_reply",
    "check_request",
    "check_response",
    "described_by",
    "no_operation",
    "operation_of",
    "same_media_type",
    "split_url",
]


class CheckedCall(NamedTuple):
    """A request to an operation, what is wrong with it, and the contract that describes its answer.

    `payload` is the decoded body (None: it is not JSON, or was not read), `parameters` are as `check_query` returns them,
    and `violations` are in the order in which the API would refuse for them.
    """

    payload: Any
    parameters: Mapping[str, Any]
    violations: Sequence[Violation]
    contract: Contract


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
    `Violation.reason` why the API refuses it. Whether the key is valid is not checked, only that there is one. A model, or a
    path, of another revision is a warning unless `strictness` is "strict", as `validate` says.
    """
    check_strictness(strictness)
    contract = chosen(contract, revision)
    unknown, operation = operation_of(contract, request.method, str(request.url))
    if operation is None:
        return [unknown] if unknown else []
    url = split_url(str(request.url))
    headers = _headers(request.headers)
    return list(check_call(contract, operation, url.path, url.query, headers, _body(request), strictness).violations)


def check_call(
    contract: Contract,
    operation: Operation,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    strictness: Strictness = "lax",
    *,
    api_key: str | None = None,
    body_limit: int | None = None,
) -> CheckedCall:
    """Check a request to `operation` if `contract` was chosen: its path, raw query, headers by lower-case name, and body.

    `api_key` is the only valid key (None: any is), `body_limit` the most bytes that a body may have (None: any number); a
    larger one is not read.
    """
    there = contract_on(contract, path) or contract
    unauthorized = _check_authorization(headers.get("authorization", ""), api_key)
    values, violations = _checked_query(there, operation.id, query, strictness)
    if unauthorized is not None:
        violations = (unauthorized, *violations)
    if operation.request is None:
        if (elsewhere := other_revision(contract, there, path, strictness)) is not None:
            violations = (elsewhere, *violations)
        return CheckedCall(None, values, violations, there)
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
        return CheckedCall(None, values, violations, there)
    checked = check_payload_text(body, contract, path, strictness)
    # A path that is none of the chosen revision's is refused before anything else.
    wrong = sorted(checked.violations, key=lambda violation: violation.part != "path") if checked.violations else ()
    if wrong:
        violations = (wrong[0], *violations, *wrong[1:]) if wrong[0].part == "path" else (*violations, *wrong)
    described = checked.contract if checked.contract is not contract or path in contract.create.paths else there
    return CheckedCall(checked.payload, values, violations, described)


def check_response(
    response: Any,
    *,
    request: Any = None,
    contract: Contract | None = None,
    revision: str | None = None,
) -> list[Violation]:
    """Return everything that is wrong with a response of the API: an undocumented status, or a body that breaks its schema.

    `response` is an httpx, httpx2 or requests response, which know their request, or a `fake_server.Reply` with its
    `request` given. The response to a create is that of its model and revision. Undeclared members are notices, since
    nothing forbids them.
    """
    contract = chosen(contract, revision)
    sent = request if request is not None else response.request
    unknown, operation = operation_of(contract, sent.method, str(sent.url))
    status = getattr(response, "status_code", None) or response.status
    if operation is None:
        expected = any(status in known.responses for known in contract.operations.values())
        return [] if expected and status >= 400 else [unknown] if unknown else []
    path = split_url(str(sent.url)).path
    body = _body(response)
    if operation.id == CREATE:
        return check_reply(described_by(contract, path, _body(sent)), operation.id, status, body)
    described = [other for there in contracts_on(contract, path) for other in _variants(there)]
    found = [check_reply(other, operation.id, status, body) for other in described]
    return min(found, key=has_errors)


def check_reply(contract: Contract, operation: str, status: int, body: bytes) -> list[Violation]:
    """Return everything that is wrong with a response to an operation, given by its id, that `contract` describes."""
    responses = contract.operations[operation].responses
    if status not in responses:
        documented = ", ".join(map(str, sorted(responses)))
        message = f"{status} is not documented for {operation}"
        return [Violation("", "status", message, hint=f"documented: {documented}", part="status")]
    if responses[status] is None:
        return []
    return _response_validator(contract, operation, status).validate_text(body)


def described_by(contract: Contract, path: str, body: bytes) -> Contract:
    """Return the contract that describes the response to a create with this body if `contract` was chosen."""
    return check_call(contract, contract.create, path, "", {}, body, "lax").contract


def _variants(contract: Contract) -> Iterable[Contract]:
    """Return contracts for models of a revision whose responses differ, beginning with the one at hand."""
    by_schema = {contract.generation_document: contract}
    for model in contract.models.values():
        if model.path == contract.create.path and model.generation_document not in by_schema:
            by_schema[model.generation_document] = contract.for_model(model.id)
    return by_schema.values()


def operation_of(contract: Contract, method: str, url: str) -> tuple[Violation | None, Operation | None]:
    """Return the operation that a request calls, of any revision; if there is none, the violation that says why.

    A request for one of the lists that need no key calls none of the revision's operations, and nothing is wrong with it.
    """
    path = split_url(url).path
    there = contract_on(contract, path)
    on_path = there.route(path) if there is not None else []
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
