"""The place of each value in a text is where that value begins, whatever stands around it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract.jsontext.location import locate
from kling_contract.jsontext.pointer import to_pointer

texts = st.text(alphabet='a01"\\/~[]{},:\n é😀', max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
layouts = st.sampled_from([(None, (",", ":")), (None, (" ,\n", "\t: ")), (2, (",", ": ")), ("\r\n", (",", " :"))])


def members(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    yield path, value
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, inner in inside:
        yield from members(inner, (*path, part))


def rest_at(text: str, place: tuple[int, int]) -> str:
    line, column = place
    return "\n".join(text.split("\n")[line - 1 :])[column - 1 :]


@given(values, layouts, st.booleans(), st.text(alphabet=" \n\r\t", max_size=3), st.data())
def test_at_each_place_stands_the_value(
    value: Any, layout: tuple[Any, Any], escaped: bool, blank: str, data: st.DataObject
) -> None:
    """Read on from the place of a pointer, the next JSON value is the one that the pointer means."""
    indent, separators = layout
    text = blank + json.dumps(value, indent=indent, separators=separators, ensure_ascii=escaped)
    everything = {to_pointer(path): (path, inner) for path, inner in members(value)}
    asked = data.draw(st.sets(st.sampled_from(sorted(everything))))
    places = locate(text.encode(), asked)
    names = locate(text, asked, names=asked)
    assert set(places) == set(names) == asked
    for each in asked:
        path, inner = everything[each]
        assert json.JSONDecoder().raw_decode(rest_at(text, places[each]))[0] == inner
        if path and isinstance(path[-1], str):
            assert json.JSONDecoder().raw_decode(rest_at(text, names[each]))[0] == path[-1]
        else:
            assert names[each] == places[each]


@given(values, st.lists(st.text(max_size=2) | st.integers(0, 5), min_size=1, max_size=3), st.data())
def test_a_pointer_to_nothing_has_the_place_of_what_is_around_it(
    value: Any, beyond: list[str | int], data: st.DataObject
) -> None:
    """What is not there is found at the nearest value that is."""
    text = json.dumps(value, indent=1)
    path, inner = data.draw(st.sampled_from(list(members(value))))
    if isinstance(inner, dict):
        beyond = ["no such name", *beyond]
    elif isinstance(inner, list):
        beyond = [len(inner), *beyond]
    absent, present = to_pointer((*path, *beyond)), to_pointer(path)
    places = locate(text, {absent, present}, names={absent})
    assert places[absent] == places[present]


@pytest.mark.parametrize("text", ["", "[", '{"a"', '{"a":[1,', '["\\"', "}]", "[}", '{"a":1]', "nonsense"])
def test_broken_text_ends_the_search(text: str) -> None:
    """A text that is not JSON gives some place for each pointer, and always an end."""
    assert set(locate(text, ["", "/a/0", "/1"])) == {"", "/a/0", "/1"}


def test_the_columns_count_characters_and_the_lines_line_feeds() -> None:
    """A character outside the ASCII range or the basic plane is one column, and CR LF one line."""
    text = '{"é😀": 1, "b":\r\n 2}'
    assert locate(text.encode(), ["/é😀", "/b"], names=["/b"]) == {"/é😀": (1, 8), "/b": (1, 11)}
    assert locate(text, ["/b"]) == {"/b": (2, 2)}


def test_what_is_no_pointer_is_an_error() -> None:
    """A pointer without its slash is a mistake of the caller, and is said to be one."""
    with pytest.raises(ValueError, match="begin with a slash"):
        locate("{}", ["duration"])


def test_names_that_look_like_escapes_are_found() -> None:
    """A name of a tilde and a digit is not taken for the character that a pointer writes so."""
    text = '{"~1": 1, "/": 2, "~0": 3, "~": 4}'
    places = locate(text, [to_pointer([name]) for name in json.loads(text)])
    assert [text[column - 1] for _, column in places.values()] == ["1", "2", "3", "4"]
