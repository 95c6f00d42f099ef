"""Bytes of an export → text (reference/directory-exports.md, 4.1): nothing is guessed where the bytes can tell."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import NamedTuple

from tasks.errors import ExportRefused, SettingsError
from tasks.sanitize import plain

_BOMS = ((BOM_UTF8, "utf-8"), (BOM_UTF16_LE, "utf-16-le"), (BOM_UTF16_BE, "utf-16-be"))
_SAMPLE = 4096  # bytes that tell UTF-16 without a byte-order mark
_UTF16_SHARE = 0.4  # at least so many high bytes are zero: headers are Latin, names may be of any script
NUL = "\0"
_RARE = 10  # … and ten times as many as low bytes, which are zero in letters such as Ā


class DecodedText(NamedTuple):
    """What the bytes say."""

    text: str
    encoding: str
    warnings: tuple[str, ...] = ()

    @property
    def pure_ascii(self) -> bool:
        """Windows PowerShell 5.1 writes ASCII unless told otherwise, and `?` for every other letter."""
        return self.text.isascii()


def decode(name: str, content: bytes, code_page: str) -> DecodedText:
    """The text of the file `name`: byte-order mark, zero bytes of UTF-16, strict UTF-8, the site's ANSI code page.

    Raises ExportRefused with the line for bytes that are none of it, SettingsError for an unknown code page.
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
    """Latin letters are every second byte zero; text in UTF-8 or a code page has none."""
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
            f"{plain(name)}, {_position(before)}: invalid {encoding.upper()} in a file that begins as such. It is damaged or "
            "cut short: export it again."
        ) from None


def _position(before: str) -> str:
    """Line and column of what follows this text."""
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
            f"{plain(name)}, {_position(text[: text.index(NUL)])}: the file holds zero bytes: it is no text. Export it "
            "as CSV, JSON or LDIF."
        )
    return DecodedText(text, encoding, warnings)
