"""What an import of people and devices shows on its run's page: a table of its files."""

import logging
from typing import Any

import httpx
from prefect.artifacts import create_table_artifact

from flows.artifacts.markdown_format import DASH, code, sentence

log = logging.getLogger("attachment_alerts.directory")

LISTED = 200
STATES = ("refused", "imported", "unchanged")
"""In this order: of what was refused somebody has to do something."""


def show(files: list[dict[str, Any]]) -> None:
    """Leave the table on the page of the run under way; where nothing was there to import, there is none."""
    if not files:
        return
    try:
        create_table_artifact(table=rows(files), description=title(files))
    except httpx.HTTPError as refused:
        log.warning("Prefect did not take the table of this import (%s)", type(refused).__name__)


def rows(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a table artifact. One UI shows its cells as plain text, the other one as Markdown.

    What somebody has to do something about comes first: the page has room for four columns, the others are scrolled to.
    """
    ordered = sorted(files, key=lambda each: STATES.index(each["state"]))
    any_refused = any(each["refusal"] for each in files)
    return [
        {
            "file": code(each["file"], 200),
            "state": each["state"],
            **({"refused because": _said([each["refusal"]] if each["refusal"] else [])} if any_refused else {}),
            "kind": each["family"] or DASH,
            **{count: each[count] for count in ("people", "devices", "addresses", "rejected")},
            "rejected because": _said(each["reasons"]),
            "warnings": _said(each["warnings"]),
        }
        for each in ordered[:LISTED]
    ]


def title(files: list[dict[str, Any]]) -> str:
    """How many files there are, and what became of them."""
    states = [each["state"] for each in files]
    counted = ", ".join(f"{states.count(state):,} {state}" for state in STATES if state in states)
    more = f" Shown are the first {LISTED}." if len(files) > LISTED else ""
    return f"{len(files):,} file{'' if len(files) == 1 else 's'}: {counted}.{more}"


def _said(texts: list[str]) -> str:
    return sentence(" ".join(texts))
