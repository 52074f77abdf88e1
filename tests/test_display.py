"""Claims about what is shown to a person: nothing that a terminal obeys, no key, and curl lines that do what was done."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_contract.display import curl, printable, shorten
from kling_contract.redaction import KEY_VARIABLE
from tests.support.calls import KEY

URL = "http://127.0.0.1:8080/a?b=c d&e='"
SHELL = """
curl() {
    printf '%s\\0' "$@"
    for last; do :; done
    if [ "$last" = @- ]; then cat; fi
}
"""
JSON = st.recursive(st.none() | st.integers() | st.text(max_size=80), lambda inner: st.lists(inner, max_size=3))
BODIES = st.binary(max_size=300) | st.dictionaries(st.text(max_size=9), JSON, max_size=3).map(
    lambda value: json.dumps(value, indent=1, ensure_ascii=False).encode()
)


def ran(line: str, key: str = KEY) -> tuple[list[str], bytes]:
    """Return the arguments that a shell gives to curl, and what it gets as its input."""
    command = ["sh", "-c", f"{SHELL}{line}"]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, KEY_VARIABLE: key})
    *words, data = done.stdout.split(b"\0") if b"@-\0" not in done.stdout else _with_input(done.stdout)
    return [word.decode() for word in words], data


def _with_input(output: bytes) -> list[bytes]:
    words, _, data = output.partition(b"@-\0")
    return [*words.split(b"\0")[:-1], b"@-", data]


@given(st.text(), st.sampled_from(["\x1b[2J", "\r", "\n", "\u202e", "\ud800", "\x7f", "\0", "\u2028"]), st.text())
def test_nothing_that_a_terminal_obeys_is_left(before: str, hostile: str, after: str) -> None:
    """Whatever a text holds, it is one line that hides nothing; a text that is harmless stays as it is."""
    shown = printable(before + hostile + after)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert shown.encode()


# A backslash before a key may be part of its spelling in JSON, and is masked with it.
@given(st.text(st.characters(exclude_characters="\\"), max_size=30), st.text(max_size=30), st.integers(1, 60))
def test_no_part_of_a_key_is_left_at_the_end(before: str, after: str, limit: int) -> None:
    """However a text is cut, no more than a letter or two of the key is left; a text that is short enough stays whole."""
    text = shorten(f"{before}{KEY}{after}", limit, key=KEY)
    assert len(text) <= limit
    assert KEY[:3] not in text
    whole = f"{before}***{after}"
    assert text == (whole if len(whole) <= limit else f"{whole[: limit - 1]}…")


@settings(max_examples=60)
@given(
    st.sampled_from(["GET", "POST", "$(exit 3)", "a'b"]),
    st.text(st.characters(exclude_categories=["C", "Z"]), max_size=9),
    st.sampled_from([f"Bearer {KEY}", KEY, "Bearer other-key", "$(exit 3)", 'a" "b', "`x` y", f'a"b {KEY}', ""]),
    BODIES,
)
def test_a_curl_line_sends_the_same_again(method: str, path: str, authorization: str, body: bytes) -> None:
    """A shell gives curl the method, URL, media type and body that were sent; the key it takes from the environment."""
    url = f"{URL}{path}"
    headers = {"Authorization": authorization, "Content-Type": f"text/{path}", "Cookie": "not repeated"}
    line = curl(method, url, headers, body, key=KEY)
    assert line.isprintable()
    assert KEY not in line
    words, data = ran(line)
    assert words[:5] == ["-i", "--path-as-is", "-X", method, url]
    sent = words[6]
    assert words[5:9] == ["-H", sent, "-H", f"content-type: text/{path}"]
    if authorization in (f"Bearer {KEY}", KEY):
        assert sent == f"Authorization: {authorization}"
    assert "not repeated" not in line
    if not body:
        assert words[9:] == []
    elif words[-1] == "@-":
        assert data == body
    else:
        assert words[9] == "--data-binary"
        assert words[10].encode() == body or json.loads(words[10]) == json.loads(body)


def test_without_a_known_key_none_is_shown() -> None:
    """Where nobody says what the key is, whatever was in the header is taken for it."""
    line = curl("GET", "http://a/", {"authorization": "Bearer 0123456789abc"}, b"")
    assert "0123456789abc" not in line
    assert ran(line, "k")[0] == ["-i", "--path-as-is", "-X", "GET", "http://a/", "-H", "Authorization: Bearer k"]


@pytest.mark.parametrize("spelled", [KEY, KEY[1:], KEY.swapcase(), json.dumps(KEY)])
@pytest.mark.parametrize("around", [b"", b"\xff\0", b"a" * 3000, b'{"a": "'])
def test_no_body_shows_the_key(spelled: str, around: bytes) -> None:
    """The key, and what the checks make of it, is not in the line: not in a body that is encoded, nor in one that is cut."""
    body = around + spelled.encode() + around
    line = curl("POST", f"http://a/{spelled}", {}, body, key=KEY)
    assert KEY[1:] not in line
    assert KEY[1:].swapcase() not in line
    if line.startswith("echo "):
        assert KEY[1:].encode() not in base64.b64decode(line.split()[1])


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (json.dumps({"image_url": "A" * 2**20, "prompt": "short"}).encode(), '"short"'),
        (json.dumps(["A" * 100] * 10**5).encode(), "@payload  # 10,400,000 bytes"),
        (b"\x00\xff" * 2**19, "@payload  # 1,048,576 bytes"),
        (b"{" * 2**20, "@payload"),
    ],
)
def test_a_large_body_makes_a_short_line(body: bytes, shown: str) -> None:
    """A body of a megabyte is cut if it is JSON with long texts, and is otherwise to be given as a file."""
    line = curl("POST", "http://a/", {}, body)
    assert shown in line
    assert len(line) < 3000


@given(st.lists(st.text(min_size=1, max_size=200), min_size=40, max_size=60))
def test_what_is_cut_is_still_json(texts: list[str]) -> None:
    """The texts of a large body that are cut say how long they were; the others stay."""
    body = json.dumps({"long": "A" * 3000, "all": texts[:3]}).encode()
    words, _ = ran(curl("POST", "http://a/", {}, body))
    found: Any = json.loads(words[-1])
    assert "3,000 characters" in found["long"]
    assert [cut for cut, text in zip(found["all"], texts[:3], strict=True) if len(text) <= 60 and cut != text] == []
