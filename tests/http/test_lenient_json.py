"""JSON that is not strict is read as far as it can be, and nothing else changes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.http.lenient_json import decode, decode_next, make_strict

HALF = "\ud83d"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"name": "\\ud83d"}', {"name": "\ufffd"}),
        (b'{"name": "a\xffb"}', {"name": "a\ufffdb"}),
        (b'{"name": "a\nb\x00"}', {"name": "a\nb\x00"}),
        (b'\xef\xbb\xbf{"name": NaN, "status": 200}', {"name": "NaN", "status": 200}),
        (b'{"name": "\x01", "size": 1.5}', {"name": "\x01", "size": "1.5"}),
        (b'{"name": "\x01", "size": ' + b"9" * 5_000 + b"}", {"name": "\x01", "size": "9" * 5_000}),
        (b'{"name": 1} {"name": 2}', None),
        (b'{"name": ', None),
        (b"<html>", None),
        (b"", None),
        (b"[" * 100_000, None),
    ],
)
def test_values_of_json_that_is_not_strict(content: bytes, value: Any) -> None:
    assert decode(content) == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_strict_json_stays_as_it_is(value: Any) -> None:
    content = msgspec.json.encode(value)
    assert make_strict(content) is content
    assert decode(content) == json.loads(content)


def test_documents_one_after_the_other_are_read_from_where_each_begins() -> None:
    text = f'{{"name": "{HALF}"}} [1]'
    first, end = decode_next(text, 0)
    assert (first, text[end:]) == ({"name": "\ufffd"}, " [1]")
    assert decode_next(text, end + 1) == ([1], len(text))
