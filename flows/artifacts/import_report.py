"""The page of a directory import: a table of its files."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from prefect.artifacts import create_table_artifact

from flows.artifacts.markdown_format import DASH, code, sentence
from tasks.formatting import format_count

log = logging.getLogger("attachment_alerts.directory")

MAX_FILES = 200
STATES = ("refused", "imported", "unchanged")
"""in the order of the table: refused files need action"""


def publish(files: Sequence[Mapping[str, Any]]) -> None:
    """`files`: FileReports. Nothing is published for no files."""
    if not files:
        return
    try:
        create_table_artifact(table=rows(files), description=title(files))
    except httpx.HTTPError as error:
        log.warning("Prefect did not store the table of this import (%s)", type(error).__name__)


def rows(files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Cells are safe as plain text and as Markdown: Prefect's two UIs differ.

    The first four columns are visible without scrolling, so they hold what needs action.
    """
    ordered = sorted(files, key=lambda file: STATES.index(file["state"]))
    any_refused = any(file["refusal"] for file in files)
    return [
        {
            "file": code(file["file"], 200),
            "state": file["state"],
            **({"refused because": _joined([file["refusal"]] if file["refusal"] else [])} if any_refused else {}),
            "kind": file["family"] or DASH,
            **{count: file[count] for count in ("people", "groups", "devices", "addresses", "rejected")},
            "rejected because": _joined(file["reasons"]),
            "warnings": _joined(file["warnings"]),
        }
        for file in ordered[:MAX_FILES]
    ]


def title(files: Sequence[Mapping[str, Any]]) -> str:
    states = [file["state"] for file in files]
    counted = ", ".join(f"{states.count(state):,} {state}" for state in STATES if state in states)
    more = f" The first {MAX_FILES} are shown." if len(files) > MAX_FILES else ""
    return f"{format_count(len(files), 'file')}: {counted}.{more}"


def _joined(texts: Sequence[str]) -> str:
    return sentence(" ".join(texts))
