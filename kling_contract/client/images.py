"""Images in a request: a local one becomes a data URI, its media type read from its first bytes."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from kling_contract.errors import ImageError

__all__ = ["Image", "data_uri", "image_url", "media_type", "with_data_uris"]

Image: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A link or a data URI, the path of a file, the bytes of one, or a file opened for reading bytes."""

# The signatures are those of the WHATWG MIME sniffing standard.
_SIGNATURES = (
    ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ("image/webp", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("image/gif", re.compile(rb"GIF8[79]a")),
)
_LINK = re.compile(r"(https?|data):", re.IGNORECASE)


def media_type(data: bytes, *, name: str = "the image") -> str:
    """Return the media type of an image from its first bytes. Raise ImageError, which calls it `name`."""
    for kind, signature in _SIGNATURES:
        if signature.match(data):
            return kind
    if not data:
        raise ImageError(f"{name} is empty")
    raise ImageError(
        f"{name} is not a PNG, JPEG, WebP or GIF image "
        f"(its first bytes are {data[:8].hex(' ')}); convert it to one of them"
    )


def data_uri(image: os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO) -> str:
    """Return an image as a data URI. An open file is read from its current position.

    Raise ImageError for what is no image, and TypeError for a value of another type.
    """
    if isinstance(image, os.PathLike):
        name, data = os.fspath(image), _read_path(Path(image))
    elif isinstance(image, bytes | bytearray | memoryview):
        name, data = "the image", bytes(image)
    elif not hasattr(image, "read"):
        raise TypeError(
            "image must be a link, a data URI, the path of a file, its bytes, "
            f"or a file opened with mode 'rb', not {type(image).__name__}"
        )
    else:
        name, data = str(getattr(image, "name", "the image")), _read_file(image)
    return f"data:{media_type(data, name=name)};base64,{base64.b64encode(data).decode('ascii')}"


def image_url(image: Image) -> str:
    """Return the text to send for an image: a link (http, https, data) as it is, anything else as a data URI.

    Text that is no link is the path of a local file. Raise ImageError for a file that cannot be read or is no image, and
    TypeError for a value of another type.
    """
    if not isinstance(image, str):
        return data_uri(image)
    if _LINK.match(image):
        return image
    return data_uri(Path(image))


def with_data_uris(value: Any) -> Any:
    """Return a copy of a JSON value in which each path object, bytes and open file is replaced by a data URI.

    Text is never taken for a path here: it may be a prompt.
    """
    if isinstance(value, Mapping):
        return {key: with_data_uris(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [with_data_uris(member) for member in value]
    if isinstance(value, os.PathLike | bytes | bytearray | memoryview) or hasattr(value, "read"):
        return data_uri(value)
    return value


def _read_path(path: Path) -> bytes:
    try:
        # A device or a pipe may never end.
        if not path.is_file() and path.exists():
            raise ImageError(f"{path} is a {'folder' if path.is_dir() else 'device or pipe'}, not an image file")
        return path.read_bytes()
    except (OSError, ValueError) as unreadable:
        shown = str(path) if len(str(path)) <= 80 else f"{str(path)[:80]}…"
        reason = getattr(unreadable, "strerror", None) or str(unreadable)
        raise ImageError(
            f"cannot read the image file {shown!r}: {reason}; give the path of a file, "
            "a link that begins with http:, https: or data:, or the bytes of an image"
        ) from unreadable


def _read_file(file: Any) -> bytes:
    if isinstance(file, io.TextIOBase):
        raise ImageError(f"{getattr(file, 'name', 'the file')} is open for reading text; open it with mode 'rb'")
    try:
        data = file.read()
    except (OSError, ValueError) as unreadable:
        raise ImageError(f"cannot read the open image file: {unreadable}") from unreadable
    if not isinstance(data, bytes):
        raise ImageError(f"the open image file gave {type(data).__name__}, not bytes; open it with mode 'rb'")
    return data
