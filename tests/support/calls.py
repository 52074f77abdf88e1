"""Requests for tests: a create, a poll, and a call of the control API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fake_server import Request
from fake_server.messages import Headers
from kling_contract import Contract

KEY = "a-key-of-the-tests"


def payload(contract: Contract, **more: Any) -> dict[str, Any]:
    """Return a body with the required members, and `more`."""
    properties = contract.request_schema["properties"]
    required = contract.request_schema["required"]
    made = {name: properties[name].get("enum", ["https://images.example/cat.png"])[0] for name in required}
    return {**made, **more}


def creating(contract: Contract, body: Any = None, *, base: str | None = None) -> Request:
    """Return a create. `body` is its JSON, or its bytes; by default a valid one. `base` is where to (None: the API)."""
    operation = contract.create
    body = payload(contract) if body is None else body
    return Request(
        operation.method,
        (base or contract.base_url) + operation.path,
        Headers({"authorization": f"Bearer {KEY}", "content-type": operation.media_type or ""}),
        body if isinstance(body, bytes) else json.dumps(body).encode(),
    )


def polling(contract: Contract, generation_id: str, *, base: str | None = None) -> Request:
    """Return a poll."""
    operation = contract.get
    query = urlencode({operation.query["required"][0]: generation_id})
    url = f"{base or contract.base_url}{operation.path}?{query}"
    return Request(operation.method, url, Headers({"authorization": f"Bearer {KEY}"}))


def asking(path: str, body: Any = None, *, base: str = "http://127.0.0.1:8080", **headers: str) -> Request:
    """Return a request to the control API: a POST of `body` as JSON, or a GET if it is None."""
    if body is None:
        return Request("GET", f"{base}/_fake/{path}", Headers(headers))
    sent: Mapping[str, str] = {"content-type": "application/json", **headers}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request("POST", f"{base}/_fake/{path}", Headers(sent), content)
