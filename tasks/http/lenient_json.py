"""Decodes JSON that is not strict, as services and exports produce it: lone surrogates, control characters, NaN, huge
numbers, values nested more deeply than a decoder can follow.

A name that was truncated in the middle of a character must not stop every pull.
"""

import json
import re
from typing import Any

import msgspec

NOT_STRICT = (msgspec.DecodeError, UnicodeError, RecursionError)

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_LONGEST_INTEGER = 18  # digits that fit every integer type
_DEEPEST = 100  # levels: no service nests more than ten
_TOO_DEEP = '"(nested too deeply)"'
_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else digits


_DECODER = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=str, parse_constant=str)


def decode(content: bytes) -> object | None:
    """The value; None if it is not JSON at all."""
    try:
        value: object = msgspec.json.decode(make_strict(content))
    except (ValueError, RecursionError):
        return None
    return value


def make_strict(content: bytes) -> bytes:
    """The same value as strict JSON; the content itself if it is strict. Raises ValueError, RecursionError."""
    try:
        msgspec.json.decode(content)
    except NOT_STRICT:
        return _strict(_decode_any(content.decode("utf-8-sig", errors="replace")))
    return content


def make_shallow(content: bytes) -> bytes:
    """The same JSON with a text in place of values that are nested too deeply."""
    return _without_deep_values(content.decode("utf-8-sig", errors="replace")).encode()


def decode_next(text: str, start: int) -> tuple[Any, int]:
    """The document that begins at `start`, and its end. Raises json.JSONDecodeError, ValueError, RecursionError."""
    value, end = _DECODER.raw_decode(text, start)
    return msgspec.json.decode(_strict(value)), end


def _decode_any(text: str) -> object:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        return _DECODER.decode(_without_deep_values(text))


def _without_deep_values(text: str) -> str:
    parts = []
    depth = copied = 0
    for token in _TEXT_OR_BRACKET.finditer(text):
        character = token[0]
        if character in ("[", "{"):
            depth += 1
            if depth == _DEEPEST:
                parts += [text[copied : token.start()], _TOO_DEEP]
        elif character in ("]", "}"):
            if depth == _DEEPEST:
                copied = token.end()
            depth -= 1
    return "".join([*parts, text[copied:]])


def _strict(value: object) -> bytes:
    return _HALF_CHARACTER.sub("\ufffd", json.dumps(value, ensure_ascii=False)).encode()
