"""Downloads: a video into a file, whole or not at all, resumed after a broken transfer, without the key."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kling_contract.client.http_adapter import HttpAdapter
from kling_contract.client.retry import RETRYABLE, Retries, Retryable, retry_after, retrying
from kling_contract.errors import DownloadError
from kling_contract.generation import Generation
from kling_contract.redaction import Key

__all__ = ["save_video"]

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(?:(\d{1,18})|\*)", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(slots=True)
class _Transfer:
    """A transfer under way. Sizes are in bytes; None is unknown."""

    file: BinaryIO
    announced: int | None
    total: int | None = None
    received: int = 0
    etag: str | None = None

    def write(self, chunk: bytes) -> None:
        self.received += len(chunk)
        if self.expected is not None and self.received > self.expected:
            raise DownloadError(f"the media host sends more than the announced {self.expected} bytes")
        self.file.write(chunk)

    def restart(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.received, self.total, self.etag = 0, None, None

    @property
    def expected(self) -> int | None:
        """The size of the whole video: as the host says, or else as the generation said."""
        return self.announced if self.total is None else self.total

    @property
    def headers(self) -> dict[str, str]:
        # A compressed transfer could be neither counted nor resumed.
        headers = {"accept": "*/*", "accept-encoding": "identity"}
        if self.received:
            headers["range"] = f"bytes={self.received}-"
            if self.etag:
                headers["if-range"] = self.etag
        return headers


async def save_video(
    adapter: HttpAdapter, key: Key, generation: Generation | str, path: str | os.PathLike[str], *, retries: Retries
) -> Path:
    """Save the video of a generation, or that at a URL, as `path`, and return the path. Raise DownloadError, without the key."""
    target = Path(path)
    try:
        url, announced = _source(generation, key)
        with _replacing(target) as file:
            await _fetch(adapter, key, url, _Transfer(file, announced), retries)
    except DownloadError as failed:
        failed.args = (key.hidden_in(str(failed)),)
        raise
    return target


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """Open a new file beside `target` that replaces it at the end of the block, and is deleted if that fails."""
    if target.is_dir():
        raise DownloadError(f"{target} is a folder; give the name of the file to write")
    part = target.with_name(f".{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    except OSError as failed:
        raise DownloadError(f"cannot write {target}: {failed.strerror or failed}") from failed
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


async def _fetch(adapter: HttpAdapter, key: Key, url: str, transfer: _Transfer, retries: Retries) -> None:
    shown = _shown(url, key)

    async def attempt() -> None:
        """Receive what is missing."""
        asked, cause = None, None
        try:
            response = await adapter.send(
                adapter.media_request(url, transfer.headers), stream=True, follow_redirects=True
            )
            try:
                problem = _begin(transfer, response, shown)
                if problem is None:
                    await adapter.stream_to(response, transfer.write)
                    problem = _shortfall(transfer)
                else:
                    asked = retry_after(response.headers.get("retry-after"), adapter.clock.now())
            finally:
                await adapter.close(response)
        except adapter.transport_errors as error:
            problem, cause = f"{type(error).__name__}: {error}".removesuffix(": "), error
        if problem is None:
            return
        failed = DownloadError(key.hidden_in(f"the download of {shown} failed: {problem}; try it later"))
        failed.__cause__ = cause
        if isinstance(cause, adapter.not_retryable):
            raise failed
        raise Retryable(failed, asked=asked)

    await retrying(attempt, retries, adapter)


def _begin(transfer: _Transfer, response: Any, shown: str) -> str | None:
    """Prepare the transfer for the body of `response`: go on where it stands, or start again.

    Return None, or why the body is useless, although that of another response may not be. Raise DownloadError if no
    other response would be better.
    """
    status, headers = response.status_code, response.headers
    if status in RETRYABLE:
        return f"the media host responded with {status}"
    if status not in (200, 206, 416):
        raise DownloadError(
            f"the media host responded with {status} for {shown}; "
            "links to videos expire: get the generation again for a new one"
        )
    if headers.get("content-encoding", "identity") != "identity":
        raise DownloadError("the media host compressed the video against the request; it was not saved")
    if status != 200:
        span = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if status == 206 and span and int(span[1]) == transfer.received:
            whole = int(span[2]) if span[2] else transfer.total
            if transfer.total in (None, whole):
                transfer.total = whole
                return None
        transfer.restart()
        return f"the media host responded with {status}, but not with the rest of the video"
    transfer.restart()
    length, etag = headers.get("content-length", ""), headers.get("etag", "")
    transfer.total = int(length) if _LENGTH.fullmatch(length) else None
    transfer.etag = etag if etag.startswith('"') else None
    if None not in (transfer.total, transfer.announced) and transfer.total != transfer.announced:
        raise DownloadError(
            f"the media host offers {transfer.total} bytes, but the generation has "
            f"file_size {transfer.announced}; the video was not saved: get the generation again"
        )
    return None


def _shortfall(transfer: _Transfer) -> str | None:
    """Return what is missing at the end of a response; None if the video is whole, as far as its size is known."""
    if transfer.received and transfer.received >= (transfer.expected or 0):
        return None
    return f"only {transfer.received} bytes of {transfer.expected or 'the video'} were received"


def _source(generation: Generation | str, key: Key) -> tuple[str, int | None]:
    if isinstance(generation, str):
        url, announced = generation, None
    else:
        video = generation.video
        if video is None or video.url is None:
            raise DownloadError(
                f"generation {generation.id} has no video to download: it is in status "
                f"{generation.status!r}; wait for it first"
            )
        url, announced = video.url, video.file_size
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"the video is not at an http or https URL, but at {_shown(url, key)!r}")
    return url, announced


def _shown(url: str, key: Key) -> str:
    """Return a URL for messages: without the key, and without its query, which may be a signature."""
    return key.hidden_in(url).partition("?")[0][:200]
