"""How do exchanges look to other tools? Writes them as an HTTP Archive 1.2, and reads such archives, whoever wrote them.

Not through harfile, which is kept but has no room for fields of one's own, nor a way back when the disk is full.
"""

from __future__ import annotations

import base64
import contextlib
import http
import json
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

__all__ = ["announced", "archive", "broken_off", "entry", "head", "read"]

_HTTP = "HTTP/1.1"
_UNKNOWN = -1  # what the format asks for where a number is not known
_KINDS: Mapping[type, str] = {Mapping: "object", list: "array", str: "text", int: "whole number"}
_PLAIN = frozenset({"identity", "gzip", "x-gzip", "deflate"})  # codings that nobody leaves a body in


def archive(exchanges: Iterable[Exchange], *, dropped: int = 0) -> dict[str, Any]:
    """Return {"log": …} of plain JSON values, one entry an exchange, oldest first.

    `comment` says why a request was refused, and on the log how many exchanges were `dropped` before these. Beyond the
    format stand, with the underscore that it asks for, `_generation` (an id) and `_violations` (a list of texts). A reply of which
    nothing arrived has status 0; a body that is no UTF-8 text is in Base64.
    """
    log: dict[str, Any] = {**head(), "entries": [entry(each) for each in exchanges]}
    if dropped:
        log["comment"] = f"{dropped} older exchanges were dropped"
    return {"log": log}


def head() -> dict[str, Any]:
    """Return what stands in a log before its entries."""
    return {"version": "1.2", "creator": {"name": "kling-contract", "version": __version__}}


def entry(exchange: Exchange) -> dict[str, Any]:
    """Return one entry, as `archive` has them. A request of which more was announced than is there was not kept whole."""
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
        "bodySize": max(len(request.body), announced(request.headers)),
    }
    if request.body:
        text, encoding = _text(request.body)
        described["postData"] = {"mimeType": request.headers.get("content-type", ""), "text": text}
        if encoding:  # the format has a field for this in answers alone
            described["postData"]["_encoding"] = encoding
        if announced(request.headers) > len(request.body):
            described["postData"]["comment"] = f"only its first {len(request.body):,} bytes were kept"
    return described


def _response(exchange: Exchange) -> dict[str, Any]:
    reply = exchange.reply
    lost = reply.cut == 0 or not reply.status
    body = b"" if lost or exchange.request.method == "HEAD" else reply.body[: reply.cut]
    size = 0 if lost or exchange.request.method == "HEAD" else len(reply.body)  # more than there is if it broke off
    text, encoding = _text(body, binary="content-encoding" in reply.headers)
    content: dict[str, Any] = {
        "size": size,
        "mimeType": reply.headers.get("content-type", ""),
        "text": text,
    }
    if encoding:
        content["encoding"] = encoding
    if not lost and not exchange.arrived and reply.cut is not None:
        content["comment"] = f"only its first {len(body):,} bytes came, or were kept"
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
    """Return a body as text, and the encoding that it had to be put in for that."""
    with contextlib.suppress(UnicodeDecodeError):
        if not binary and b"\0" not in body:  # of which JSON makes six characters each
            return body.decode("utf-8"), None
    return base64.b64encode(body).decode("ascii"), "base64"


def read(archive: Mapping[str, Any] | Path | str) -> list[Exchange]:
    """Return the exchanges in an archive, given decoded or as a file, in the order in which they began.

    Bodies are as they were before any compression; an answer that is not there whole is `broken_off`. The delay of a reply is
    how long all of it took. Raise DocumentError, in one line, for what is no archive, and for one without any exchange.
    """
    name = "the archive" if isinstance(archive, Mapping) else str(archive)
    document = archive if isinstance(archive, Mapping) else _decoded(Path(archive))
    try:
        entries = _member(_member(document, "log", Mapping), "entries", list)
    except ValueError as wrong:
        raise DocumentError(f"{name}: this is no HTTP Archive: {wrong}") from None
    if not entries:
        raise DocumentError(f"{name}: nothing is recorded in it")
    exchanges = []
    for number, each in enumerate(entries, 1):
        try:
            exchanges.append(_exchange(each))
        except (ValueError, OverflowError) as wrong:
            raise DocumentError(f"{name}: entry {number} is not one of an HTTP Archive: {wrong}") from None
    return sorted(exchanges, key=lambda exchange: exchange.at)


def announced(headers: Headers) -> int:
    """Return how many bytes a body was said to have, 0 if nothing usable was said."""
    said = headers.get("content-length", "")
    return int(said) if said.isdecimal() and len(said) < 19 else 0


def broken_off(status: int, headers: Headers, body: bytes) -> Reply:
    """Return the reply of which this body was not the end. Of one without any body nothing is left."""
    return Reply(status, headers, body + b"\0", cut=len(body))  # that there was one more byte is all that is known


def _decoded(path: Path) -> Any:
    text = path.read_bytes()
    if not text.strip():
        raise DocumentError(f"{path}: the file is empty")
    try:
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as wrong:
        raise DocumentError(f"{path}: this is no HTTP Archive, or not the whole of one: {wrong}") from None


def _exchange(described: Any) -> Exchange:
    asked, said = _member(described, "request", Mapping), _member(described, "response", Mapping)
    began = datetime.fromisoformat(_member(described, "startedDateTime", str))
    time = described.get("time")
    request = _read_request(asked)
    reply = _read_reply(said, bodiless=request.method == "HEAD")
    took = time / 1000 if isinstance(time, int | float) and 0 < time < float("inf") else 0.0
    at = (began if began.tzinfo else began.replace(tzinfo=UTC)).timestamp()
    return Exchange(at, request, replace(reply, delay=took))


def _read_request(described: Mapping[str, Any]) -> Request:
    headers = dict(_read_fields(described).items())
    sent = _member(described, "postData", Mapping) if described.get("postData") else {}
    body = _bytes(sent.get("text"), sent.get("_encoding"))
    size = described.get("bodySize")
    if isinstance(size, int) and size > len(body):
        headers["content-length"] = str(size)
    url: str = _member(described, "url", str)
    urlsplit(url)  # raises where there is no sense in it
    return Request(_member(described, "method", str), url, Headers(headers), body)


def _read_reply(described: Mapping[str, Any], *, bodiless: bool) -> Reply:
    status, content = _member(described, "status", int), _member(described, "content", Mapping)
    headers = dict(_read_fields(described).items())
    encoding = content.get("encoding")
    body = _bytes(content.get("text"), encoding)
    coding = headers.get("content-encoding", "identity").lower()
    if coding in _PLAIN or encoding is None:  # a text is free of its coding, whatever the header says
        headers.pop("content-encoding", None)
        if coding != "identity":
            headers.pop("content-length", None)
    if status <= 0:
        return Reply(0, cut=0)
    size = content.get("size")
    whole = max(announced(Headers(headers)), size if isinstance(size, int) else 0)
    headers.pop("content-length", None)
    if whole > len(body) and not bodiless and status not in (204, 304):
        return broken_off(status, Headers(headers), body)
    return Reply(status, Headers(headers), body)


def _read_fields(described: Mapping[str, Any]) -> Headers:
    return Headers(
        (_member(each, "name", str), _member(each, "value", str)) for each in _member(described, "headers", list)
    )


def _bytes(text: Any, encoding: Any) -> bytes:
    if text is None:
        return b""
    if not isinstance(text, str):
        raise ValueError("the text of a body is no text")
    return base64.b64decode(text, validate=True) if encoding == "base64" else text.encode("utf-8", "replace")


def _member(of: Any, name: str, kind: type) -> Any:
    value = of.get(name) if isinstance(of, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name!r} is missing, or is no {_KINDS[kind]}")
    return value
