"""What strangers wrote stays text in Markdown: read back by a parser that knows tables, links and HTML."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from flows.artifacts.markdown_format import DASH, address, code, link, sentence, table

READER = MarkdownIt("commonmark").enable("table")
HOSTILE = st.text(st.sampled_from("`|\\[]()<>&!*_~#:/@.\"' \n\r\t\u202e\u200bax1") | st.characters(), max_size=120)


def cells(markdown: str) -> list[list[Token]]:
    """What is inside each cell of the body of the only thing in it, a table."""
    tokens = READER.parse(markdown)
    assert (tokens[0].type, tokens[-1].type) == ("table_open", "table_close")
    body = tokens[next(place for place, token in enumerate(tokens) if token.type == "tbody_open") :]
    return [token.children or [] for token in body if token.type == "inline"]


@given(HOSTILE)
@example("a|b")
@example("`` ` ``")
@example("\\|`")
@example("[x](javascript:alert(1))<img src=x onerror=alert(1)>")
@example("https://evil.example www.evil.example boss@evil.example")
@example("line\n| --- |\n# head\u202e")
def test_anybodys_text_is_one_code_span_in_one_cell(text: str) -> None:
    shown = code(text)
    for markdown in (table(("a", "b"), [(shown, "ours")]), table(("a", "b"), [("ours", shown), (shown, shown)])):
        for found in cells(markdown):
            if found and found[0].content not in ("ours", DASH):
                (span,) = found
                assert span.type == "code_inline"
                assert span.content.strip() == shown[1:-1].strip()
                assert span.content.isprintable()
        assert len(cells(markdown)) in (2, 4)
    assert [token.type for token in READER.parse(f"Before {sentence(text)} after")] == [
        "paragraph_open", "inline", "paragraph_close",
    ]  # fmt: skip


@given(HOSTILE)
def test_an_address_stays_within_its_link(text: str) -> None:
    _, inline, _ = READER.parse(f"{link('details', f'https://console.example/{text}')} end")
    kinds = [token.type for token in inline.children or []]
    assert kinds == ["link_open", "text", "link_close", "text"]


@pytest.mark.parametrize("url", [None, "", "javascript:alert(1)", "data:text/html,x", "/path", "https://", "ftp://a.b"])
def test_no_link_to_anything_but_the_web(url: Any) -> None:
    assert address(url) is None
    assert link("details", url) == DASH


def test_text_is_as_it_was_where_it_is_harmless() -> None:
    assert code("invoice (2).pdf <b>") == "`invoice (2).pdf <b>`"
    assert code("x" * 200) == f"`{'x' * 79}…`"
    assert [code(nothing) for nothing in (None, "", " ")] == [DASH] * 3
    assert address("https://a.example/x?m=%3Cid%40b%3E&d=2026-01-01#f") == (
        "https://a.example/x?m=%3Cid%40b%3E&d=2026-01-01#f"
    )
