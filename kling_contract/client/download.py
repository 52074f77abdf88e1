"""How does a video get into a file? Whole or not at all, resumed after a break, without the key."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kling_contract.client.http_adapter import Door
from kling_contract.client.retry import PASSING, Retries, retry_after
from kling_contract.errors import DownloadError
from kling_contract.generation import Generation
from kling_contract.redaction import Key

__all__ = ["download"]

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(?:(\d{1,18})|\*)", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(slots=True)
class _Transfer:
    """What is known of a transfer under way: sizes in bytes, None for unknown."""

    file: BinaryIO
    announced: int | None
    total: int | None = None
    received: int = 0
    etag: str | None = None

    def write(self, piece: bytes) -> None:
        self.received += len(piece)
        if self.expected is not None and self.received > self.expected:
            raise DownloadError(f"the media host sends more than the {self.expected} bytes that were announced")
        self.file.write(piece)

    def restart(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.received, self.total, self.etag = 0, None, None

    @property
    def expected(self) -> int | None:
        """How many bytes make a whole video: what the host says, or else what the generation said."""
        return self.announced if self.total is None else self.total

    @property
    def headers(self) -> dict[str, str]:
        # Compressed bytes could neither be counted nor resumed.
        headers = {"accept": "*/*", "accept-encoding": "identity"}
        if self.received:
            headers["range"] = f"bytes={self.received}-"
            if self.etag:
                headers["if-range"] = self.etag
        return headers


async def download(
    door: Door, key: Key, generation: Generation | str, path: str | os.PathLike[str], *, retries: Retries
) -> Path:
    """Save the video of a generation, or that at a URL, under `path` and return the path. No message shows the key."""
    target = Path(path)
    try:
        url, announced = _source(generation, key)
        with _replacing(target) as file:
            await _fetch(door, url, _shown(url, key), _Transfer(file, announced), retries)
    except DownloadError as failed:
        failed.args = (key.hidden_in(str(failed)),)
        raise
    return target


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """Open a new file beside `target` that replaces it at the end of the block, and is gone if that fails."""
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


async def _fetch(door: Door, url: str, shown: str, transfer: _Transfer, retries: Retries) -> None:
    tried = 0
    while True:
        asked, cause = None, None
        try:
            request = door.media_request(url, transfer.headers)
            response = await door.send(request, stream=True, follow_redirects=True)
            try:
                broken = _begin(transfer, response, shown)
                if broken is None:
                    await door.pour(response, transfer.write)
                    broken = _shortfall(transfer)
                else:
                    asked = retry_after(response.headers.get("retry-after"), door.clock.now())
            finally:
                await door.close(response)
        except door.broken as failure:
            broken, cause = f"{type(failure).__name__}: {failure}".removesuffix(": "), failure
        if broken is None:
            return
        pause = retries.pause(tried, asked)
        if pause is None or isinstance(cause, door.hopeless):
            raise DownloadError(f"the download of {shown} failed: {broken}; try it later") from cause
        await door.sleep(pause)
        tried += 1


def _begin(transfer: _Transfer, response: Any, shown: str) -> str | None:
    """Go on where the transfer stands, or start it again, as the answer says.

    Return why this answer is of no use but another may be, None when its body can be read. Raise
    DownloadError when no other would be better.
    """
    status, headers = response.status_code, response.headers
    if status in PASSING:
        return f"the media host answered {status}"
    if status not in (200, 206, 416):
        raise DownloadError(
            f"the media host answered {status} for {shown}; "
            "links to videos expire: get the generation again for a new one"
        )
    if headers.get("content-encoding", "identity") != "identity":
        raise DownloadError("the media host compressed the video although it was asked not to; it was not saved")
    if status != 200:
        span = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if status == 206 and span and int(span[1]) == transfer.received:
            whole = int(span[2]) if span[2] else transfer.total
            if transfer.total in (None, whole):
                transfer.total = whole
                return None
        transfer.restart()
        return f"the media host answered {status} and not the rest of the video"
    transfer.restart()
    length, etag = headers.get("content-length", ""), headers.get("etag", "")
    transfer.total = int(length) if _LENGTH.fullmatch(length) else None
    transfer.etag = etag if etag.startswith('"') else None
    if None not in (transfer.total, transfer.announced) and transfer.total != transfer.announced:
        raise DownloadError(
            f"the media host offers {transfer.total} bytes, but the generation speaks of "
            f"{transfer.announced}; it was not saved: get the generation again"
        )
    return None


def _shortfall(transfer: _Transfer) -> str | None:
    """Return what is missing at the end of an answer; None when the video is whole as far as anybody said."""
    if transfer.received and transfer.received >= (transfer.expected or 0):
        return None
    return f"{transfer.received} bytes came of {transfer.expected or 'a video'}"


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
    """The URL without the key, and without its query, in which signatures travel."""
    return key.hidden_in(url).partition("?")[0][:200]
