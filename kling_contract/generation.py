"""A generation and its video as a response shows them, read leniently: what is missing or unreadable is None."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Generation", "Video"]


@dataclass(frozen=True, slots=True)
class Video:
    """A finished video. Each member is None if the response does not have it; `file_size` is in bytes."""

    url: str | None = None
    content_type: str | None = None
    file_name: str | None = None
    file_size: int | None = None

    @classmethod
    def from_value(cls, value: object) -> Self:
        """Read an object with a `url`, or the URL itself. Members that cannot be read are None."""
        if isinstance(value, str):
            return cls(url=value)
        members: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        return cls(
            url=_text(members.get("url")),
            content_type=_text(members.get("content_type")),
            file_name=_text(members.get("file_name")),
            file_size=_size(members.get("file_size")),
        )


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation as one response showed it.

    `status` may be one that the contract does not declare. `videos` is empty until the video is finished; the service sends
    one, but lists were seen on the same gateway. `error` is the reason of a failure, any JSON value; `raw` is the whole body.
    """

    id: str
    status: str
    videos: tuple[Video, ...] = ()
    error: Any = field(default=None, hash=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @property
    def video(self) -> Video | None:
        """The first video, None if there is none yet."""
        return self.videos[0] if self.videos else None

    @classmethod
    def from_body(cls, body: object) -> Self:
        """Read a decoded body. It needs no more than an id and a status: raise ValueError if it lacks one of them."""
        if not isinstance(body, Mapping):
            raise ValueError(f"it is a JSON {_kind(body)}, not an object")
        found = body.get("id")
        if found is None:
            found = body.get("generation_id")
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if not isinstance(found, str) or not found:
            raise ValueError("it has no id")
        status = body.get("status")
        if not isinstance(status, str) or not status:
            raise ValueError("it has no status")
        video = body.get("video")
        listed = video if isinstance(video, list) else [] if video is None else [video]
        return cls(
            id=found,
            status=status,
            videos=tuple(Video.from_value(item) for item in listed if item is not None),
            error=body.get("error"),
            raw=body,
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _size(value: object) -> int | None:
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    return value if isinstance(value, int) and value >= 0 else None


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "array" if isinstance(value, list) else "string" if isinstance(value, str) else "number"
