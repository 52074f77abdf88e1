"""Claims about JSON pointers: each leads to one value, whatever the names are, and none leads anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract.jsontext.pointer import resolve, split, to_pointer

NAMES = st.text("~/01a ", max_size=4) | st.text(max_size=4)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def values(document: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield the path of each value in a document, and the value."""
    yield (), document
    members = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, member in members:
        for path, value in values(member):
            yield (name, *path), value


@given(st.lists(NAMES | st.integers(0, 99)))
def test_pointers_keep_their_parts_apart(parts: list[str | int]) -> None:
    """Slashes and tildes in names do not run into the pointer's own."""
    assert split(to_pointer(parts)) == [str(part) for part in parts]
    assert to_pointer(parts).count("/") == len(parts)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [("", None), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/m~0n", 8), ("/~01", 9), ('/k"l', 6), ("/ ", 7)],
)
def test_the_examples_of_the_standard(pointer: str, value: Any) -> None:
    """The pointers of RFC 6901, section 5, lead where it says."""
    document = {"foo": ["bar", "baz"], "": 0, "a/b": 1, 'k"l': 6, " ": 7, "m~n": 8, "~1": 9}
    assert resolve(document, pointer) == (value if pointer else document)


@given(DOCUMENTS)
def test_every_value_is_at_its_pointer(document: Any) -> None:
    """The pointer of a path leads to the very value at that path."""
    for path, value in values(document):
        assert resolve(document, to_pointer(path)) is value


@given(DOCUMENTS, st.lists(NAMES | st.integers(-3, 9).map(str) | st.just("-"), max_size=4))
def test_nothing_else_is_at_a_pointer(document: Any, parts: list[str]) -> None:
    """A pointer that is the path of no value is an error."""
    pointer = to_pointer(parts)
    if pointer not in {to_pointer(path) for path, _ in values(document)}:
        with pytest.raises(KeyError):
            resolve(document, pointer)


@pytest.mark.parametrize("index", ["01", "-0", "-1", "+1", "1.0", "-", "", "\u0661", "1" * 5000])
def test_an_index_is_written_in_one_way_only(index: str) -> None:
    """An array has no value at an index with a leading zero, a sign, or digits that are not ASCII; nor beyond its end."""
    with pytest.raises(KeyError):
        resolve(["a", "b"], f"/{index}")
    assert resolve(["a", "b"], "/1") == "b"


@pytest.mark.parametrize("pointer", ["a", "a/b", "#/a", " /a"])
def test_what_does_not_begin_with_a_slash_is_not_a_pointer(pointer: str) -> None:
    """A pointer without its slash is a mistake of the caller's, and the message says so."""
    for call in (split, lambda text: resolve({}, text)):
        with pytest.raises(ValueError, match=r"is not a JSON pointer.*begin with a slash"):
            call(pointer)
