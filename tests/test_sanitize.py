from hypothesis import given
from hypothesis import strategies as st

from tasks.sanitize import LIMIT, plain


def test_control_characters_become_visible() -> None:
    assert plain("\x1b[31mred\x1b[0m") == r"\x1b[31mred\x1b[0m"
    assert plain("two\r\nlines\tand \x00") == r"two\x0d\x0alines\x09and \x00"


def test_invisible_characters_become_visible() -> None:
    assert plain("invoice\u202efdp.exe") == r"invoice\u202efdp.exe"
    assert plain("pay\u200bpal \U000e0041\u2028") == r"pay\u200bpal \U000e0041\u2028"


def test_honest_text_stays() -> None:
    honest = "Angebot für Müller & Söhne, 東京 (v0.3).pptx 🎉"
    assert plain(honest) == honest


def test_long_text_is_cut_and_says_so() -> None:
    assert plain("x" * 500) == "x" * (LIMIT - 1) + "…"
    assert plain("\x1b" * 10, limit=9) == r"\x1b\x1b…"


@given(st.text(st.characters(), max_size=400), st.integers(1, 300))
def test_any_text_comes_out_printable_and_short(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert shown.isprintable()  # half characters are not, so it can be encoded as well
    assert len(shown) <= limit


@given(st.text(st.characters(), max_size=100))
def test_escaping_twice_changes_nothing(text: str) -> None:
    assert plain(plain(text, 5_000), 5_000) == plain(text, 5_000)
