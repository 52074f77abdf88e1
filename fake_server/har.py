"""How do the exchanges look to other tools? The journal as an HTTP Archive 1.2, on the fake's clock and without keys."""

from __future__ import annotations

import base64
import http
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fake_server.journal import Exchange, Journal
from fake_server.messages import Headers
from kling_contract import __version__

__all__ = ["archive"]

_HTTP = "HTTP/1.1"
_UNKNOWN = -1  # what the format asks for where a number is not known


def archive(journal: Journal) -> dict[str, Any]:
    """Return {"log": …} of plain JSON values, one entry an exchange, oldest first.

    `comment` says why a request was refused, and on the log how many exchanges the journal had dropped before. Beyond the
    format stand, with the underscore that it asks for, `_generation` (an id) and `_violations` (a list of texts). A reply of which
    nothing arrived has status 0; a body that is no UTF-8 text is in Base64.
    """
    log: dict[str, Any] = {
        "version": "1.2",
        "creator": {"name": "kling-contract", "version": __version__},
        "entries": [_entry(each) for each in journal],
    }
    if journal.dropped:
        log["comment"] = f"{journal.dropped} older exchanges were dropped"
    return {"log": log}


def _entry(exchange: Exchange) -> dict[str, Any]:
    wait = exchange.reply.delay * 1000
    entry: dict[str, Any] = {
        "startedDateTime": datetime.fromtimestamp(exchange.at, UTC).isoformat(timespec="milliseconds"),
        "time": wait,
        "request": _request(exchange),
        "response": _response(exchange),
        "cache": {},
        "timings": {"send": 0, "wait": wait, "receive": 0},
    }
    if exchange.reason:
        entry["comment"] = exchange.reason
    if exchange.generation_id is not None:
        entry["_generation"] = exchange.generation_id
    if exchange.violations:
        entry["_violations"] = [f"{violation.severity}: {violation}" for violation in exchange.violations]
    return entry


def _request(exchange: Exchange) -> dict[str, Any]:
    request = exchange.request
    described: dict[str, Any] = {
        "method": request.method,
        "url": request.url,
        "httpVersion": _HTTP,
        "cookies": [],
        "headers": _fields(request.headers),
        "queryString": _pairs(request.query),
        "headersSize": _UNKNOWN,
        "bodySize": len(request.body),
    }
    if request.body:
        text, encoding = _text(request.body)
        described["postData"] = {"mimeType": request.headers.get("content-type", ""), "text": text}
        if encoding:  # the format has a field for this in answers alone
            described["postData"]["_encoding"] = encoding
    return described


def _response(exchange: Exchange) -> dict[str, Any]:
    reply = exchange.reply
    lost = reply.cut == 0 or not reply.status
    body = b"" if lost or exchange.request.method == "HEAD" else reply.body[: reply.cut]
    text, encoding = _text(body)
    content: dict[str, Any] = {
        "size": len(body),
        "mimeType": reply.headers.get("content-type", ""),
        "text": text,
    }
    if encoding:
        content["encoding"] = encoding
    status = 0 if lost else reply.status
    return {
        "status": status,
        "statusText": http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else "",
        "httpVersion": _HTTP,
        "cookies": [],
        "headers": [] if lost else _fields(reply.headers),
        "content": content,
        "redirectURL": reply.headers.get("location", ""),
        "headersSize": _UNKNOWN,
        "bodySize": len(body),
    }


def _fields(headers: Headers) -> list[dict[str, str]]:
    return _pairs(list(headers.items()))


def _pairs(pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def _text(body: bytes) -> tuple[str, str | None]:
    """Return a body as text, and the encoding that it had to be put in for that."""
    try:
        return body.decode("utf-8"), None
    except UnicodeDecodeError:
        return base64.b64encode(body).decode("ascii"), "base64"
