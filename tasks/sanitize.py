"""Makes untrusted text safe to show.

File names, subjects, senders and a service's own messages come from outside. Whatever of them reaches a terminal, a log
line or the text of an error goes through `plain` first. Escaping for a format (HTML, Markdown, a spreadsheet, rich's
markup) is added where that format is written.
"""

LIMIT = 200  # characters; longer than any usual file name
ELLIPSIS = "…"


def plain(text: str, limit: int = LIMIT) -> str:
    r"""The text on one line, with control, bidi and invisible characters escaped; at most `limit` characters.

    Control characters, escape sequences, line ends, bidirectional overrides, zero-width and other invisible
    characters and unusual blanks become visible escapes such as `\x1b`; printable characters stay as they are.
    """
    shown = [_visible(character) for character in text[:limit]]
    if len(text) <= limit and sum(map(len, shown)) <= limit:
        return "".join(shown)
    while shown and sum(map(len, shown)) > limit - len(ELLIPSIS):
        shown.pop()
    return "".join(shown) + ELLIPSIS[:limit]


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
