"""Claims about keys: in whichever spelling a key recurs, it is masked, and nothing else is."""

from __future__ import annotations

import json
import string
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kling_contract.redaction import LONGEST_SPELLING, MASK, MIN_KEY_LENGTH, Key, holds_key, mask, mask_bytes, redacted

CHARACTERS = string.ascii_letters + string.digits + string.punctuation
# The beginning keeps a key from being a word of the text around it.
KEYS = st.text(CHARACTERS + "é中😀", min_size=MIN_KEY_LENGTH, max_size=40).map("sk~".__add__)
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON beyond ASCII": lambda key: json.dumps(key, ensure_ascii=False)[1:-1],
    "JSON in JSON": lambda key: json.dumps(json.dumps(key))[3:-3],
    "JSON in JSON in JSON": lambda key: json.dumps(json.dumps(json.dumps(key)))[7:-7],
    "only \\u": lambda key: "".join(f"\\u{code:04X}" for code in memoryview(key.encode("utf-16-le")).cast("H")),
    "Python": lambda key: repr(key)[1:-1],
    "a path": quote,
    "a query": quote_plus,
    "a part of a path": lambda key: quote(key, safe=""),
    "only %": lambda key: "".join(f"%{byte:02x}" for byte in key.encode()),
    "a path in a path": lambda key: quote(quote(key, safe="")),
}


@settings(max_examples=400)
@given(
    KEYS, st.sampled_from(sorted(SPELLINGS)), st.sampled_from(["", "a ", '"', "%", "\n"]), st.text(" a.", max_size=3)
)
@example("sk~00000u", "only \\u", "", "")
@example("sk~00000\\", "only \\u", "", "")
@example("sk~00000%", "only %", "", "")
def test_a_key_is_masked_in_every_spelling(key: str, spelling: str, before: str, after: str) -> None:
    """Text and bytes are alike: the key is found, and replaced by the mask; the text around it stays."""
    spelled = SPELLINGS[spelling](key)
    text = f"{before}{spelled}{after}"
    assert mask(text, key) == f"{before}{MASK}{after}"
    assert mask_bytes(text.encode(), key) == f"{before}{MASK}{after}".encode()
    assert holds_key(text.encode(), key)
    assert len(spelled.encode()) <= LONGEST_SPELLING * len(key)


@given(KEYS, st.binary(max_size=40), st.binary(max_size=40))
def test_bytes_that_are_not_text_stay_as_they_are(key: str, before: bytes, after: bytes) -> None:
    """A body that is no UTF-8 keeps its bytes; only the key goes."""
    before = before.replace(b"\\", b"").replace(b"%", b"")
    after = after.replace(b"\\", b"").replace(b"%", b"")
    assert mask_bytes(before + key.encode() + after, key) == before + MASK.encode() + after
    assert mask_bytes(before + after, key) == before + after


@given(st.text(CHARACTERS, min_size=1, max_size=MIN_KEY_LENGTH - 1), st.sampled_from(["", "%", "\\"]))
def test_a_short_key_is_not_looked_for(key: str, before: str) -> None:
    """A key of fewer than 8 characters stays where it is: it may be a word of an honest message."""
    text = f"{before}{key}"
    assert mask(text, key) == redacted(text, key) == Key(key).hidden_in(text) == text
    assert mask_bytes(text.encode(), key) == text.encode()
    assert not holds_key(text.encode(), key)


@given(st.lists(KEYS, min_size=1, max_size=3), st.data())
def test_a_key_within_a_key_leaves_no_rest(keys: list[str], data: st.DataObject) -> None:
    """Of two keys of which one begins the other, both are masked whole, whatever their order."""
    keys = data.draw(st.permutations([*keys, *(f"{key}-and-more" for key in keys)]))
    assert mask(" ".join(keys), *keys) == " ".join([MASK] * len(keys))


def test_the_wrong_keys_of_the_checks_are_masked_too() -> None:
    """The keys that the checks derive from the right one, to be refused, would tell it as well."""
    key = "sk-ABCdef123"
    assert redacted(f"{key} {key[1:]} {key.swapcase()}", key) == f"{MASK} {MASK} {MASK}"


@pytest.mark.parametrize("key", ["\\" * 30 + "x", "\\a" * 15, "%" * 30 + "x", "a" * 30 + "b"])
def test_masking_takes_no_exponential_time(key: str) -> None:
    """A key made to be slow to search for is not."""
    began = time.perf_counter()
    for character in "\\%a":
        assert mask(character * 3000, key) == character * 3000
    assert time.perf_counter() - began < 5
