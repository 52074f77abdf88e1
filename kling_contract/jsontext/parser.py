"""A strict JSON parser: the value of a text, or what is wrong with it and where.

It is stricter than `json.loads`, which accepts NaN, 1e999, repeated names and half surrogate pairs, and fails on deep nesting
and long integers. It takes linear time; what costs more than a scan is done only after something was found to be wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import isinf
from typing import Any, NoReturn

from kling_contract.errors import InvalidJson
from kling_contract.jsontext.location import SPACES, STRING, line_and_column

__all__ = ["parse"]

# In characters. It is below every limit that Python can be set to, so that the result is the same everywhere.
_LONGEST_NUMBER = 600
_BLANK = " \t\n\r"

# A string that is not closed matches to the end of the text: to try again at each quote would take quadratic time.
_QUOTED = rf'(?:{STRING}|".*+)'
_BRACKET = r"(?P<opens>[\[{])|(?P<closes>[\]}])"
_BRACKETS = re.compile(rf"{_QUOTED}|{_BRACKET}", re.DOTALL)
_NAMES = re.compile(rf"(?P<name>{STRING}){SPACES}:|{_QUOTED}|{_BRACKET}", re.DOTALL)
_LONG = rf"(?<![\d.eE+-])-?\d[\d.eE+-]{{{_LONGEST_NUMBER},}}+"
_PAIRED = re.compile(r"[^\\]*+(?:\\(?:[^u]|u(?![dD][89a-fA-F])|u[dD][89abAB]..\\u[dD][c-fC-F]..)[^\\]*+)*+", re.DOTALL)
_STEPS = {"opens": 1, "closes": -1, None: 0}
_STRINGS = re.compile(_QUOTED, re.DOTALL)
_ALIKE = bytes.maketrans(b"{}", b"[]")
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


def parse(data: bytes | str, *, max_depth: int = 100) -> Any:
    """Return the value of a JSON text. Raise InvalidJson if it breaks RFC 8259, or if JSON parsers disagree about it.

    Besides bad syntax these are refused: a byte order mark, invalid UTF-8, NaN and the infinities, numbers too large for a
    float or longer than 600 characters, a name that is twice in an object, half a surrogate pair, and more than `max_depth`
    arrays and objects inside each other.
    """
    text = _decode(data)
    if _many(text, "[", max_depth // 2) or _many(text, "{", max_depth // 2):
        _check_depth(text, max_depth)
    try:
        value = _DECODER.decode(text)
    except _Refused as refused:
        _fail(text, *refused.explain(text))
    except json.JSONDecodeError as error:
        _fail(text, *_explain(text, error))
    except RecursionError:
        _fail(text, 0, "arrays and objects are nested more deeply than the interpreter's stack allows")
    if "\\" in text and (paired := _PAIRED.match(text)) and (end := paired.end()) < len(text):
        _fail(text, end, f"{text[end : end + 6]} is half of a surrogate pair, which is not a character")
    return value


def _decode(data: bytes | str) -> str:
    if isinstance(data, str):
        text = data
        try:
            text.isascii() or text.encode()
        except UnicodeEncodeError as error:
            _fail(text, error.start, f"{text[error.start]!a} is half of a surrogate pair, which is not a character")
    elif 0 in data[:2] or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        _fail("", 0, "the text is not UTF-8, but looks like UTF-16 or UTF-32; save it as UTF-8")
    else:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            good = data[: error.start].decode()
            _fail(good, len(good), f"byte {error.start}, 0x{data[error.start]:02x}, is not UTF-8")
    if text.startswith("\ufeff"):
        _fail(text, 0, "the text begins with a byte order mark; save it as UTF-8 without one")
    return text


def _fail(text: str, offset: int, reason: str) -> NoReturn:
    line, column = line_and_column(text, offset)
    raise InvalidJson(reason, line=line, column=column) from None


# These run inside the decoder, and refuse what it would accept.


class _Refused(Exception):
    def __init__(self, explain: Callable[[str], tuple[int, str]]) -> None:
        self.explain = explain


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused(_repeated)
    return value


def _integer(literal: str) -> int:
    if len(literal) > _LONGEST_NUMBER:
        raise _long(literal)
    return int(literal)


def _real(literal: str) -> float:
    if len(literal) > _LONGEST_NUMBER:
        raise _long(literal)
    value = float(literal)
    if isinf(value):
        raise _Refused(
            lambda text: (
                _first(text, rf"(?<![\d.-]){re.escape(literal)}"),
                f"{literal:.40} is too large for a number",
            )
        )
    return value


def _constant(literal: str) -> NoReturn:
    raise _Refused(lambda text: (_first(text, re.escape(literal)), f"{literal} is not a number in JSON"))


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant)


def _long(literal: str) -> _Refused:
    size = f"a number of {len(literal):,} characters is too long; {_LONGEST_NUMBER} are the most"
    return _Refused(lambda text: (_first(text, _LONG), size))


def _first(text: str, pattern: str) -> int:
    tokens = re.finditer(rf"{_QUOTED}|({pattern})", text, re.DOTALL)
    return next((token.start() for token in tokens if token[1]), 0)


def _repeated(text: str) -> tuple[int, str]:
    inside: list[set[str]] = []
    for token in _NAMES.finditer(text):
        if token.lastgroup == "opens":
            inside.append(set())
        elif token.lastgroup == "closes":
            inside.pop()
        elif token.lastgroup == "name":
            name = json.loads(token["name"])
            if name in inside[-1]:
                return token.start(), f"the name {_quoted(name)} stands twice in the same object"
            inside[-1].add(name)
    raise AssertionError("the decoder saw a name twice")


def _many(text: str, bracket: str, limit: int) -> bool:
    at = -1
    for _ in range(limit + 1):
        at = text.find(bracket, at + 1)
        if at < 0:
            return False
    return True


def _check_depth(text: str, max_depth: int) -> None:
    brackets = _STRINGS.sub("", text).encode().translate(_ALIKE, _OTHERS)
    for _ in range(max_depth):  # each round takes away what is innermost
        whole, brackets = brackets, brackets.replace(b"[]", b"")
        if len(brackets) == len(whole):  # nothing, or the text is broken: how far into it can a reader get?
            break
    if brackets.count(b"[") <= (0 if b"[]" in brackets else max_depth):
        return
    depth = 0
    for token in _BRACKETS.finditer(text):
        depth += _STEPS[token.lastgroup]
        if depth > max_depth:
            _fail(text, token.start(), f"more than {max_depth} arrays and objects are inside each other")


def _explain(text: str, error: json.JSONDecodeError) -> tuple[int, str]:
    """Return the offset of an error and the reason, in words and at a place that are the same on every version of Python."""
    message, at = error.msg, error.pos
    if message.startswith("Unterminated"):
        return at, "the text ends in the middle of the string that begins here"
    if "control character" in message:
        return at, f"{text[at]!a} in a string has to be written as an escape"
    if "escape" in message:
        at = text.rfind("\\", 0, at + 1)
        written = text[at : at + (6 if text.startswith("\\u", at) else 2)]
        return at, f"{written!a} is not an escape sequence of JSON"
    if message.startswith("Illegal trailing comma"):
        return at, "this comma has nothing after it"
    at += len(text[at:]) - len(text[at:].lstrip(_BLANK))
    rest = text[at : at + 20]
    if not text[:at].strip(_BLANK) and not rest:
        return at, "the text is empty"
    if message.startswith("Extra data"):
        return at, f"{_word(rest)} stands after the end of the value"
    if not rest or any(literal.startswith(rest) for literal in ("true", "false", "null", "-")):
        return len(text), _unfinished(text)
    before = text[:at].rstrip(_BLANK)
    if rest[0] in "]}" and before.endswith(","):
        return len(before) - 1, "this comma has nothing after it"
    if rest[0] == "#" or rest.startswith(("//", "/*")):
        return at, "JSON has no comments"
    if rest[0] == "'":
        return at, "names and strings stand in double quotes"
    belongs = {
        "Expecting property name": "a name in double quotes",
        "Expecting ':'": "a colon",
        "Expecting ','": "a comma or a closing bracket",
    }
    expected = next((what for start, what in belongs.items() if message.startswith(start)), "a value")
    return at, f"{_word(rest)} stands where {expected} belongs"


def _unfinished(text: str) -> str:
    open_at: list[int] = []
    for token in _BRACKETS.finditer(text):
        if token.lastgroup == "opens":
            open_at.append(token.start())
        elif token.lastgroup == "closes":
            open_at.pop()
    if not open_at:
        return "the text ends in the middle of a value"
    line, column = line_and_column(text, open_at[-1])
    kind = "object" if text[open_at[-1]] == "{" else "array"
    return f"the text ends in the middle of the {kind} that begins at line {line}, column {column}"


def _word(rest: str) -> str:
    word = re.match(r"[\w.+-]+|.", rest, re.DOTALL)
    return _quoted(word[0] if word else rest)


def _quoted(text: str) -> str:
    shown = text if len(text) <= 40 else text[:39] + "…"
    return json.dumps(shown, ensure_ascii=False).encode(errors="backslashreplace").decode()
