"""Encodings of exports: bytes → text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.directory.formats.encoding import decode
from tasks.errors import ExportRefused, SettingsError

LETTERS = st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\ufeff")
LATIN = st.characters(min_codepoint=1, max_codepoint=0x7F)


@given(st.text(LETTERS))
def test_utf8_decoded_with_and_without_bom(text: str) -> None:
    assert decode("a", text.encode(), "cp1252") == (text, "utf-8", ())
    assert decode("a", text.encode("utf-8-sig"), "cp1252") == (text, "utf-8", ())


@given(st.text(LETTERS), st.sampled_from([("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")]))
def test_utf16_detected_by_bom(text: str, encoding: tuple[str, bytes]) -> None:
    name, mark = encoding
    assert decode("a", mark + text.encode(name), "cp1252") == (text, name, ())


@given(st.text(LATIN, min_size=1), st.sampled_from(["utf-16-le", "utf-16-be"]))
@example("dn,Jörg Müller,Ωμέγα", "utf-16-le")
@example("userPrincipalName,Āda", "utf-16-be")
def test_utf16_without_bom_detected_by_zero_bytes(text: str, encoding: str) -> None:
    assert decode("a", text.encode(encoding), "cp1252") == (text, encoding, ())


@pytest.mark.parametrize("page", ["cp1252", "cp1251", "cp932", "latin-1"])
def test_other_bytes_decoded_by_code_page_with_warning(page: str) -> None:
    text = {"cp1251": "имя", "cp932": "名前"}.get(page, "Jörg")
    read = decode("a", text.encode(page), page)
    assert (read.text, read.encoding) == (text, page)
    assert page in read.warnings[0]


@pytest.mark.parametrize(
    ("content", "page", "place"),
    [
        (b"a\nb\nc\x81\xff\n", "cp1252", "line 3"),
        (b"\xef\xbb\xbfa\n\xff", "cp1252", "line 2"),
        (b"\xff\xfea\0\n\0a", "cp1252", "line 2"),
        (b"abcd\n\0", "cp1252", "line 2"),
        (b"a\n\xff", "idna", "line 2"),
    ],
)
def test_undecodable_bytes_refused_with_line(content: bytes, page: str, place: str) -> None:
    with pytest.raises(ExportRefused, match=f"^a, {place}"):
        decode("a", content, page)


@pytest.mark.parametrize("page", ["nonsense", "base64", "\x1b[31m"])
def test_unknown_code_page_is_settings_error(page: str) -> None:
    with pytest.raises(SettingsError, match="ATTACHMENT_ALERTS_ANSI_CODE_PAGE") as error:
        decode("a", b"\xff", page)
    assert str(error.value).isprintable()


def test_pure_ascii_distinguished_from_other_text() -> None:
    assert decode("a", b"a", "cp1252").pure_ascii
    assert not decode("a", "ä".encode(), "cp1252").pure_ascii


@given(st.binary())
def test_any_bytes_decoded_or_refused(content: bytes) -> None:
    try:
        assert "\0" not in decode("a", content, "cp1252").text
    except ExportRefused as refusal:
        assert str(refusal).isprintable()
