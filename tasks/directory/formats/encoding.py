"""Bytes of an export → text, without guessing where the bytes are unambiguous."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import NamedTuple

from tasks.errors import ExportRefused, SettingsError
from tasks.sanitize import plain

_BOMS = ((BOM_UTF8, "utf-8"), (BOM_UTF16_LE, "utf-16-le"), (BOM_UTF16_BE, "utf-16-be"))
_SAMPLE = 4096  # bytes in which UTF-16 without a byte-order mark is detected
_UTF16_SHARE = 0.4  # minimum share of zero high bytes: headers are Latin, names may be in any script
NUL = "\0"
_RARE = 10  # factor to zero low bytes, which occur in letters such as Ā


class DecodedText(NamedTuple):
    text: str
    encoding: str
    warnings: tuple[str, ...] = ()

    @property
    def pure_ascii(self) -> bool:
        """Windows PowerShell 5.1 writes ASCII by default, with `?` for every other letter."""
        return self.text.isascii()


def decode(name: str, content: bytes, code_page: str) -> DecodedText:
    """By byte-order mark, zero bytes of UTF-16, strict UTF-8, else the site's ANSI code page.

    Raises ExportRefused with line and column if none of them fits, SettingsError for an unknown code page.
    """
    for bom, encoding in _BOMS:
        if content.startswith(bom):
            return _check_text(name, _decode_strict(name, content[len(bom) :], encoding), encoding)
    if utf16 := _utf16_without_bom(content):
        return _check_text(name, _decode_strict(name, content, utf16), utf16)
    try:
        return _check_text(name, content.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return _decode_ansi(name, content, code_page)


def _utf16_without_bom(content: bytes) -> str | None:
    """In UTF-16 every second byte of Latin text is zero; UTF-8 and code pages have no zero bytes."""
    sample = content[:_SAMPLE]
    half = len(sample) // 2
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    threshold = _UTF16_SHARE * half
    if half and odd >= threshold and even * _RARE < odd:
        return "utf-16-le"
    return "utf-16-be" if half and even >= threshold and odd * _RARE < even else None


def _decode_strict(name: str, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as cause:
        before = content[: cause.start].decode(encoding, errors="replace")
        raise ExportRefused(
            f"{plain(name)}, {_position(before)}: invalid {encoding.upper()}. The file is damaged or cut short: "
            "export it again."
        ) from None


def _position(before: str) -> str:
    """Line and column after this text."""
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _decode_ansi(name: str, content: bytes, code_page: str) -> DecodedText:
    try:
        text = content.decode(code_page)
    except LookupError:
        raise SettingsError(
            f"Unknown encoding in the setting ATTACHMENT_ALERTS_ANSI_CODE_PAGE: {plain(code_page)}. Use a name such as "
            "cp1252."
        ) from None
    except UnicodeError as cause:
        before = content[: cause.start] if isinstance(cause, UnicodeDecodeError) else b""
        raise ExportRefused(
            f"{plain(name)}, {_position(before.decode('latin-1'))}: the text is neither UTF-8 nor "
            f"{plain(code_page)}. Export it as UTF-8, or set ATTACHMENT_ALERTS_ANSI_CODE_PAGE to the code page of the "
            "exporting Windows."
        ) from None
    warning = (
        f"The file is not UTF-8 and was read as {code_page} (setting ATTACHMENT_ALERTS_ANSI_CODE_PAGE). "
        "If letters are wrong, export it as UTF-8."
    )
    return _check_text(name, text, code_page, (warning,))


def _check_text(name: str, text: str, encoding: str, warnings: tuple[str, ...] = ()) -> DecodedText:
    text = text.removeprefix("\ufeff")
    if NUL in text:
        raise ExportRefused(
            f"{plain(name)}, {_position(text[: text.index(NUL)])}: the file has zero bytes and is not text. Export it "
            "as CSV, JSON or LDIF."
        )
    return DecodedText(text, encoding, warnings)
