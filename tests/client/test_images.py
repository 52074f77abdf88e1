"""Claims about how an image gets into a request."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract.client.images import data_uri, image_url, media_type, with_data_uris
from kling_contract.contract.documents import FIXTURES
from kling_contract.errors import ImageError

PHOTO = FIXTURES / "images" / "cat.jpg"

BEGINNINGS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/webp": b"RIFF\n\x00\r\xffWEBP",
    "image/gif": b"GIF89a",
}


def images() -> st.SearchStrategy[tuple[str, bytes]]:
    return st.tuples(st.sampled_from(sorted(BEGINNINGS)), st.binary(max_size=200)).map(
        lambda drawn: (drawn[0], BEGINNINGS[drawn[0]] + drawn[1])
    )


@given(images())
def test_an_image_survives_its_data_uri(image: tuple[str, bytes]) -> None:
    """A data URI holds the media type and exactly the bytes of the image, whether they come as bytes or in a file."""
    kind, data = image
    head, _, text = data_uri(data).partition(",")
    assert head == f"data:{kind};base64"
    assert base64.b64decode(text, validate=True) == data
    assert data_uri(bytearray(data)) == data_uri(memoryview(data)) == data_uri(io.BytesIO(data)) == data_uri(data)


@given(st.binary(max_size=50))
def test_what_is_no_image_is_refused(data: bytes) -> None:
    """Bytes that begin like none of the known kinds are refused, and the refusal says which kinds there are."""
    if any(data.startswith(start[:3]) for start in BEGINNINGS.values()):
        return
    with pytest.raises(ImageError, match="is empty" if not data else "PNG, JPEG, WebP or GIF"):
        media_type(data)


def test_a_real_photograph_is_read_from_its_path() -> None:
    """A path, the text of one, and an open file all give the photograph itself."""
    expected = f"data:image/jpeg;base64,{base64.b64encode(PHOTO.read_bytes()).decode()}"
    with PHOTO.open("rb") as file:
        assert image_url(PHOTO) == image_url(str(PHOTO)) == image_url(file) == expected


@pytest.mark.parametrize("link", ["https://example.com/a.png", "HTTP://example.com/a b", "data:image/png;base64,AA=="])
def test_a_link_goes_through(link: str) -> None:
    """A link is what the service fetches: nobody looks behind it here."""
    assert image_url(link) == link


def test_images_are_found_at_any_depth() -> None:
    """Paths, bytes and open files become data URIs wherever they stand, and nothing else changes."""
    png = BEGINNINGS["image/png"]
    payload = {"a": [{"b": PHOTO}, (png, io.BytesIO(png))], "c": str(PHOTO), "d": None, "e": 1.5}
    assert with_data_uris(payload) == {
        "a": [{"b": data_uri(PHOTO)}, [data_uri(png), data_uri(png)]],
        "c": str(PHOTO),
        "d": None,
        "e": 1.5,
    }


@pytest.mark.parametrize("text", ["nowhere.png", "a\0b", "A" * 5000])
def test_text_that_is_neither_link_nor_file_is_refused(text: str) -> None:
    """Text that names no file is refused in a short message that says what may be given."""
    with pytest.raises(ImageError, match="give the path of a file, a link") as refusal:
        image_url(text)
    assert len(str(refusal.value)) < 300


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A folder, a pipe or a device is refused unread: it might never end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ImageError, match="is a folder"):
        data_uri(tmp_path)
    with pytest.raises(ImageError, match="device or pipe"):
        data_uri(pipe)


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    """A refusal names the file it is about."""
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(ImageError, match=r"empty\.png is empty"):
        data_uri(empty)


def test_a_file_that_gives_no_bytes_is_refused() -> None:
    """A file open for text, one that gives no bytes, and a closed one are refused with a hint."""

    class Odd:
        def read(self) -> str:
            return "text"

    closed = io.BytesIO(b"x")
    closed.close()
    for file, hint in ((io.StringIO("x"), "mode 'rb'"), (Odd(), "mode 'rb'"), (closed, "closed file")):
        with pytest.raises(ImageError, match=hint):
            data_uri(file)  # type: ignore[arg-type]
