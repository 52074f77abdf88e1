"""HTTP Archives (HAR) 1.2: writes exchanges as an archive, and reads archives of any tool.

The harfile package is not used: it has no custom fields, and cannot undo a write when the disk is full.
"""

from __future__ import annotations

import base64
import contextlib
import http
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fake_server.messages import Exchange, Headers, Reply, Request
from kling_contract.clock import utc
from kling_contract.errors import DocumentError
from kling_contract.version import __version__

__all__ = ["archive", "declared_length", "log_header", "read", "to_entry", "truncated_reply"]

_HTTP = "HTTP/1.1"
_UNKNOWN = -1  # how the format writes an unknown number
_KINDS: Mapping[type, str] = {Mapping: "an object", list: "an array", str: "a string", int: "a whole number"}
_PLAIN = frozenset({"identity", "gzip", "x-gzip", "deflate"})  # codings that tools undo before they write a body


def archive(exchanges: Iterable[Exchange], *, dropped: int = 0) -> dict[str, Any]:
    """Return {"log": …} of plain JSON values, with one entry per exchange, oldest first.

    The `comment` of an entry says why its request was refused, that of the log how many exchanges were `dropped` before
    these. Custom fields, which the format wants to begin with an underscore, are `_generation` (an id) and `_violations` (a
    list of texts). A reply of which nothing arrived has status 0; a body that is not UTF-8 text is in Base64.
    """
    log: dict[str, Any] = {**log_header(), "entries": [to_entry(exchange) for exchange in exchanges]}
    if dropped:
        log["comment"] = f"{dropped} older exchanges were dropped"
    return {"log": log}


def log_header() -> dict[str, Any]:
    """Return the members of a log that come before its entries."""
    return {"version": "1.2", "creator": {"name": "kling-contract", "version": __version__}}


def to_entry(exchange: Exchange) -> dict[str, Any]:
    """Return one entry, as in `archive`. A request whose Content-Length exceeds its body was not kept whole."""
    wait = exchange.reply.delay * 1000
    described: dict[str, Any] = {
        "startedDateTime": utc(exchange.at).isoformat(timespec="milliseconds"),
        "time": wait,
        "request": _request(exchange),
        "response": _response(exchange),
        "cache": {},
        "timings": {"send": 0, "wait": wait, "receive": 0},
    }
    if exchange.reason:
        described["comment"] = exchange.reason
    if exchange.generation_id is not None:
        described["_generation"] = exchange.generation_id
    if exchange.violations:
        described["_violations"] = [f"{violation.severity}: {violation}" for violation in exchange.violations]
    return described


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
        "bodySize": max(len(request.body), declared_length(request.headers)),
    }
    if request.body:
        text, encoding = _text(request.body)
        described["postData"] = {"mimeType": request.headers.get("content-type", ""), "text": text}
        if encoding:  # the format has a field for this in responses only
            described["postData"]["_encoding"] = encoding
        if declared_length(request.headers) > len(request.body):
            described["postData"]["comment"] = f"only its first {len(request.body):,} bytes were kept"
    return described


def _response(exchange: Exchange) -> dict[str, Any]:
    reply = exchange.reply
    lost = reply.cut == 0 or not reply.status
    sent = b"" if lost or exchange.request.method == "HEAD" else reply.body
    size, body = len(sent), sent[: reply.cut]  # the size is that of the whole body, also if it broke off
    text, encoding = _text(body, binary="content-encoding" in reply.headers)
    content: dict[str, Any] = {
        "size": size,
        "mimeType": reply.headers.get("content-type", ""),
        "text": text,
    }
    if encoding:
        content["encoding"] = encoding
    if not lost and not exchange.arrived and reply.cut is not None:
        content["comment"] = f"only its first {len(body):,} bytes arrived, or were kept"
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
        "bodySize": size,
    }


def _fields(headers: Headers) -> list[dict[str, str]]:
    return _pairs(list(headers.items()))


def _pairs(pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def _text(body: bytes, *, binary: bool = False) -> tuple[str, str | None]:
    """Return a body as text, and the encoding that this took (None: none)."""
    with contextlib.suppress(UnicodeDecodeError):
        if not binary and b"\0" not in body:  # in JSON each would take six characters
            return body.decode("utf-8"), None
    return base64.b64encode(body).decode("ascii"), "base64"


def read(archive: Mapping[str, Any] | Path | str) -> list[Exchange]:
    """Return the exchanges in an archive, given decoded or as a file, in the order in which they began.

    Bodies are decompressed; a response that is not there whole is a `truncated_reply`. The delay of a reply is the time of
    the whole exchange. Repeated header fields that a tool joined by line feeds are split, and the pseudo header fields of
    HTTP/2 (":status") dropped. Raise DocumentError, in one line, if it is not an archive, or has no entries.
    """
    name = "the archive" if isinstance(archive, Mapping) else str(archive)
    document = archive if isinstance(archive, Mapping) else _decoded(Path(archive))
    try:
        entries = _member(_member(document, "log", Mapping), "entries", list)
    except ValueError as error:
        raise DocumentError(f"{name}: not an HTTP Archive: {error}") from None
    if not entries:
        raise DocumentError(f"{name}: the HTTP Archive has no entries")
    exchanges = []
    for number, entry in enumerate(entries, 1):
        try:
            exchanges.append(_exchange(entry))
        except (ValueError, OverflowError) as error:
            raise DocumentError(f"{name}: entry {number} is not an entry of an HTTP Archive: {error}") from None
    return sorted(exchanges, key=lambda exchange: exchange.at)


def declared_length(headers: Headers) -> int:
    """Return the Content-Length, 0 if it is missing or not a number."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 19 else 0


def truncated_reply(status: int, headers: Headers, body: bytes) -> Reply:
    """Return a reply whose body was cut off after `body`. If that is empty, nothing of the reply arrived."""
    return Reply(status, headers, body + b"\0", cut=len(body))  # the extra byte stands for the unknown rest


def _decoded(path: Path) -> Any:
    text = path.read_bytes()
    if not text.strip():
        raise DocumentError(f"{path}: the file is empty")
    try:
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{path}: not an HTTP Archive, or an incomplete one: {error}") from None


def _exchange(entry: Any) -> Exchange:
    began = datetime.fromisoformat(_member(entry, "startedDateTime", str))
    time = entry.get("time")
    request = _read_request(_member(entry, "request", Mapping))
    reply = _read_reply(_member(entry, "response", Mapping), bodiless=request.method == "HEAD")
    took = time / 1000 if isinstance(time, int | float) and 0 < time < float("inf") else 0.0
    at = (began if began.tzinfo else began.replace(tzinfo=UTC)).timestamp()
    return Exchange(at, request, replace(reply, delay=took))


def _read_request(described: Mapping[str, Any]) -> Request:
    headers = dict(_read_fields(described).items())
    data = _member(described, "postData", Mapping) if described.get("postData") else {}
    body = _bytes(data.get("text"), data.get("_encoding"))
    size = described.get("bodySize")
    if isinstance(size, int) and size > len(body):
        headers["content-length"] = str(size)
    url: str = _member(described, "url", str)
    urlsplit(url)  # raises ValueError for some invalid ones
    return Request(_member(described, "method", str), url, Headers(headers), body)


def _read_reply(described: Mapping[str, Any], *, bodiless: bool) -> Reply:
    status, content = _member(described, "status", int), _member(described, "content", Mapping)
    headers = dict(_read_fields(described).items())
    encoding = content.get("encoding")
    body = _bytes(content.get("text"), encoding)
    coding = headers.get("content-encoding", "identity").lower()
    if coding in _PLAIN or encoding is None:  # text is decoded already, whatever the header says
        headers.pop("content-encoding", None)
        if coding != "identity":
            headers.pop("content-length", None)
    if status <= 0:
        return Reply(0, cut=0)
    size = content.get("size")
    whole = max(declared_length(Headers(headers)), size if isinstance(size, int) else 0)
    headers.pop("content-length", None)
    if whole > len(body) and not bodiless and status not in (204, 304):
        return truncated_reply(status, Headers(headers), body)
    return Reply(status, Headers(headers), body)


def _read_fields(described: Mapping[str, Any]) -> Headers:
    fields = [
        (_member(field, "name", str), _member(field, "value", str)) for field in _member(described, "headers", list)
    ]
    return Headers(
        (name, line)
        for name, value in fields
        if not name.startswith(":")
        for line in re.split(r"[\r\n]+", value.strip("\r\n"))
    )


def _bytes(text: Any, encoding: Any) -> bytes:
    if text is None:
        return b""
    if not isinstance(text, str):
        raise ValueError("the text of a body must be a string")
    return base64.b64decode(text, validate=True) if encoding == "base64" else text.encode("utf-8", "replace")


def _member(parent: Any, name: str, kind: type) -> Any:
    value = parent.get(name) if isinstance(parent, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name!r} is missing, or not {_KINDS[kind]}")
    return value
