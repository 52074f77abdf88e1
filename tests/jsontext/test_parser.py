"""Strict JSON: what json.loads reads is read alike, what readers disagree about is refused, and nothing else escapes."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kling_contract.errors import InvalidJson
from kling_contract.jsontext.parser import parse

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(values, st.sampled_from([None, 1, "\t"]), st.booleans(), st.booleans())
def test_reads_what_json_loads_reads(value: Any, indent: int | str | None, escaped: bool, as_bytes: bool) -> None:
    """Whatever json.dumps writes, in whatever layout, is read as json.loads reads it."""
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    assert parse(text.encode() if as_bytes else text) == json.loads(text)


@given(st.text(alphabet='{}[]",:\\ \n0123456789.eE+-truefalsnNaIity\ud800é', max_size=40) | st.text(max_size=40))
@example('{"a":1,"a":2}')
@example('"\\ud800\\u0041"')
@example('["\\u12"]')
@example('"\\')
@example("-")
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text is either read as json.loads reads it, or refused with InvalidJson at a place inside the text."""
    try:
        value = parse(text)
    except InvalidJson as bad:
        refused = bad
    else:
        assert value == json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
        return
    lines = text.split("\n")
    assert 1 <= refused.line <= len(lines)
    assert 1 <= refused.column <= len(lines[refused.line - 1]) + 1
    assert refused.reason
    assert "\n" not in refused.reason
    refused.reason.encode()


@given(st.binary(max_size=40))
@example(b"\xff\xfe{\x00}\x00")
@example(b'{"a": "\xc3\x28"}')
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Bytes that are not UTF-8 are refused like any other text that is not JSON."""
    try:
        value = parse(data)
    except InvalidJson:
        return
    assert value == json.loads(data.decode())


@given(values, st.data())
def test_a_text_cut_short_is_refused_and_never_read_as_less(value: Any, data: st.DataObject) -> None:
    """A text that ends too early is refused, and the reason says that it ends."""
    text = json.dumps({"value": value})
    cut = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(InvalidJson) as refused:
        parse(text[:cut])
    assert "ends in the middle" in refused.value.reason or "\\" in text[:cut][-6:] or text[cut - 1] in ".eE+-"


@pytest.mark.parametrize(
    ("text", "line", "column", "about"),
    [
        ("", 1, 1, "empty"),
        (" \n ", 2, 2, "empty"),
        ('{"a": NaN}', 1, 7, "NaN"),
        ('["NaN", -Infinity]', 1, 9, "-Infinity"),
        ('["1e309",\n 0.001e309, 1e309]', 2, 13, "1e309"),
        ("[11e30, -1e999]", 1, 9, "too large"),
        ('{"a": 1,\n "b": {"c": 1, "c": 2}}', 2, 16, '"c" stands twice'),
        ('{"a": 1, "\\u0061": 2}', 1, 10, '"a" stands twice'),
        ('["\\ud83d\\ude00", "\\ud83d"]', 1, 19, "surrogate"),
        ('["\\\\ud83d", "\\udc00"]', 1, 14, "surrogate"),
        ('"\ud800"', 1, 2, "surrogate"),
        ("\ufeff{}", 1, 1, "byte order mark"),
        ('{"a": 1,}', 1, 8, "comma"),
        ("[1, 2 , ]", 1, 7, "comma"),
        ("{'a': 1}", 1, 2, "double quotes"),
        ('{"a": 1 // one\n}', 1, 9, "comments"),
        ('{"a": True}', 1, 7, "True"),
        ('{"a" 1}', 1, 6, "colon"),
        ("{a: 1}", 1, 2, '"a"'),
        ("[1 2]", 1, 4, "comma"),
        ("{} {}", 1, 4, "after the end"),
        ('"\\x"', 1, 2, "escape"),
        ('"\\uzzzz"', 1, 2, "escape"),
        ('"a\tb"', 1, 3, "escape"),
        ('{"a":\n  [1, {"b": tr', 2, 15, "object that begins at line 2, column 7"),
        ('["ab', 1, 2, "string that begins here"),
        ('"' + "[" * 200, 1, 1, "string that begins here"),
        ("-", 1, 2, "middle of a value"),
    ],
)
def test_each_refusal_has_its_place_and_its_reason(text: str, line: int, column: int, about: str) -> None:
    """A refusal points at what is wrong, and names it."""
    with pytest.raises(InvalidJson) as refused:
        parse(text)
    assert (refused.value.line, refused.value.column) == (line, column)
    assert about in refused.value.reason
    assert str(refused.value) == f"line {line}, column {column}: {refused.value.reason}"


def test_the_column_of_a_bad_byte_counts_characters() -> None:
    """Of bytes that are not UTF-8 the place is in characters, and the reason has the offset in bytes."""
    with pytest.raises(InvalidJson) as refused:
        parse('{"é":\n"é'.encode() + b'\xff"}')
    assert (refused.value.line, refused.value.column) == (2, 3)
    assert "byte 10, 0xff" in refused.value.reason


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_named(encoding: str) -> None:
    """A file that an editor saved as UTF-16 or UTF-32 is refused with the advice to save it as UTF-8."""
    with pytest.raises(InvalidJson, match="save it as UTF-8"):
        parse('{"duration": 5}'.encode(encoding))


@given(st.integers(1, 60), st.lists(st.sampled_from(["[", '{"a":']), min_size=1, max_size=61), st.text())
def test_the_depth_is_counted_outside_strings_alone(limit: int, opens: list[str], text: str) -> None:
    """Nesting is refused where it passes max_depth, at the bracket that does so, and not before."""
    string = json.dumps(text + "[{" * 70)
    closes = "".join("]" if each == "[" else "}" for each in reversed(opens))
    document = f"[{string},{'[],' * 70}{''.join(opens)}{string}{closes}]"
    if len(opens) + 1 <= limit:
        assert parse(document, max_depth=limit) == json.loads(document)
    else:
        with pytest.raises(InvalidJson, match=f"more than {limit} ") as refused:
            parse(document, max_depth=limit)
        if limit > 1:
            before = document[: refused.value.column - 1]
            assert before.endswith("".join(opens[: limit - 1]))


@pytest.mark.parametrize(
    "text",
    [
        '[{"a":' * 51 + "1" + "}]" * 51,
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '[{"a":' * 50_000 + "1" + "}]" * 50_000,
    ],
)
def test_no_depth_overflows_the_stack(text: str) -> None:
    """Many levels, up to 100,000, are refused in one line, closed or not."""
    with pytest.raises(InvalidJson, match="inside each other"):
        parse(text)


def test_a_depth_beyond_the_stack_is_refused_too() -> None:
    """A max_depth over what the interpreter can do lets no RecursionError out."""
    depth = 20_000
    with contextlib.suppress(InvalidJson):  # some interpreters can do that much
        parse("[" * depth + "]" * depth, max_depth=depth)


@pytest.mark.parametrize("literal", ["{}", "-{}", "0.{}", "{}.5", "{}e-5"])
def test_long_numbers_are_refused_whatever_python_would_allow(literal: str) -> None:
    """A number that is too long is refused by its length, under any limit that Python is set to."""
    limit = sys.get_int_max_str_digits()
    try:
        for allowed in (0, sys.int_info.str_digits_check_threshold):
            sys.set_int_max_str_digits(allowed)
            fits = literal.format("1" * 590)
            if math.isfinite(float(fits)) or fits.lstrip("-").isdigit():
                assert parse(fits) == json.loads(fits)
            with pytest.raises(InvalidJson, match="too l"):
                parse(f'["{"1" * 900}", {literal.format("1" * 700)}]')
    finally:
        sys.set_int_max_str_digits(limit)
