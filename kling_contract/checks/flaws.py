"""The form of a response: its body, media type and envelope, and that it does not repeat the key."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kling_contract.checks.guard import without_key
from kling_contract.contract import Contract
from kling_contract.errors import InvalidJson
from kling_contract.jsontext.parser import parse
from kling_contract.redaction import Key
from kling_contract.validation import check_response
from kling_contract.validation.messages import operation_of, same_media_type
from kling_contract.validation.validator import Validator

__all__ = ["flaws"]


def flaws(response: Any, *, contract: Contract, key: str) -> list[str]:
    """Return everything wrong with a response: status, media type, body, a repeated key; empty if nothing is.

    Which of the 4xx a refusal must have, it does not check.
    """
    status, request = response.status_code, response.request
    content = without_key(bytes(response.content), key)  # a message may repeat a part of it
    operation = operation_of(contract, request.method, str(request.url))[1]
    message = SimpleNamespace(status_code=status, content=content)
    violations = check_response(message, request=request, contract=contract)
    errors = [violation for violation in violations if violation.severity == "error"]
    found = [str(error) for error in errors if error.part == "response" or not 400 <= status < 500]
    refusals = contract.observed.refusals
    wanted = (refusals if status >= 400 else contract.observed.answers).content_type
    kind = response.headers.get("content-type", "")
    if not same_media_type(kind, wanted.partition(";")[0]):
        found.append(f"its content type is {kind or 'missing'}, not {wanted}")
    if status >= 400:
        if operation is None or status not in operation.responses:
            envelope = Validator(contract.error_schema, contract=contract, undeclared="notice", part="response")
            found += [str(violation) for violation in envelope.validate_text(content) if violation.severity == "error"]
        for name, template in refusals.body.items():
            if template == "{status_code}" and not found and str(_member(content, name, status)) != str(status):
                found.append(f"its {name} is not {status}")
    texts = [
        response.content.decode("utf-8", "replace"),
        *(f"{name}: {value}" for name, value in response.headers.items()),
    ]
    if any(Key(key).hidden_in(text) != text for text in texts):
        found.append("it repeats the key")
    return found


def _member(content: bytes, name: str, default: Any) -> Any:
    """Return a member of the object that a body holds; the default if it has none, or is not an object."""
    try:
        value = parse(content)
    except InvalidJson:
        return default
    return value.get(name, default) if isinstance(value, dict) else default
