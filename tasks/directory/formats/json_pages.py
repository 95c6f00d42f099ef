"""Text of a JSON export → its records, from any envelope.

One page (`{"value": […]}`), an array of pages, a plain array, one object, JSON Lines, or concatenated documents.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

import msgspec

from tasks.errors import ExportRefused
from tasks.http.lenient_json import NOT_STRICT, decode_next
from tasks.sanitize import plain

Record = dict[str, Any]


class Page(NamedTuple):
    context: str
    """the part of `@odata.context` after `$metadata#`, or empty"""
    records: list[object]
    more: bool
    """whether it has a link to a next page"""


def read_pages(text: str, name: str) -> list[Page]:
    """Records outside any envelope form a page of their own.

    Raises ExportRefused for invalid JSON, with line and column, and for an error response of the service.
    """
    pages: list[Page] = []
    records: list[object] = []
    for document in _documents(text.removeprefix("\ufeff"), name):
        for value in document if isinstance(document, list) else [document]:
            page = _page(value, name)
            if page is None:
                records.append(value)
            else:
                pages.append(page)
    return [*pages, Page("", records, more=False)] if records else pages


def _documents(text: str, name: str) -> list[Any]:
    for parts in ([text], [line for line in text.split("\n") if line.strip()]):
        try:
            return [msgspec.json.decode(part) for part in parts]
        except NOT_STRICT:
            continue
    return list(_decode_documents(text, name))


def _decode_documents(text: str, name: str) -> Iterator[Any]:
    """Documents of several lines each, and JSON that is not strict."""
    at = 0
    while rest := re.compile(r"\S").search(text, at):
        try:
            value, at = decode_next(text, rest.start())
            yield value
        except json.JSONDecodeError as wrong:
            _raise_invalid(text, name, wrong.pos, wrong.msg)
        except (ValueError, RecursionError):
            _raise_invalid(text, name, rest.start(), "nested too deeply or a number too long")


def _raise_invalid(text: str, name: str, position: int, why: str) -> NoReturn:
    line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
    raise ExportRefused(
        f"{plain(name)}, line {line}, column {column}: not JSON ({why}). The file is damaged or cut short; "
        "export it again."
    )


def _page(value: object, name: str) -> Page | None:
    """`value` as an envelope; None if it is a record or anything else."""
    if not isinstance(value, dict):
        return None
    if isinstance(error := value.get("error"), dict):
        code, message = (plain(str(error.get(part) or "none")) for part in ("code", "message"))
        raise ExportRefused(
            f"{plain(name)} is an error response of the service (code {code}: {message}). "
            "Repeat the request and save the response with the data."
        )
    records = value.get("value", value.get("values"))  # the latter in Intune's reports
    if not isinstance(records, list):
        return None
    _, _, context = str(value.get("@odata.context") or "").partition("#")
    return Page(context, records, more=bool(value.get("@odata.nextLink")))
