"""IDs and ID prefixes as people type them, of groups (also of ended ones) and alerts."""

import polars as pl

from tasks.errors import TriageRefused
from tasks.sanitize import plain
from tasks.store.connection import Transaction

CANDIDATES = 5  # listed if an ID prefix matches several
GROUPS = """
    SELECT i.group_id AS known, i.current_group_id AS id FROM internal.group_ids i
    SEMI JOIN internal.groups g ON i.current_group_id = g.group_id
"""
ALERTS = "SELECT scan_id AS known, scan_id AS id FROM internal.alert_scans"


def resolve_groups(transaction: Transaction, asked: list[str]) -> pl.DataFrame:
    """asked, id (32 hex digits) of the present group of each ID. Raises TriageRefused."""
    return _resolve(transaction, asked, "group", GROUPS)


def resolve_alerts(transaction: Transaction, asked: list[str]) -> pl.DataFrame:
    """asked, id (32 hex digits) of each alert. Raises TriageRefused."""
    return _resolve(transaction, asked, "alert", ALERTS)


def prefix_digits(asked: str) -> str:
    """The hex digits of an ID or ID prefix."""
    return asked.strip().lower().replace("-", "")


def _resolve(transaction: Transaction, asked: list[str], kind: str, source: str) -> pl.DataFrame:
    digits = [prefix_digits(text) for text in asked]
    schema = {"asked": pl.String, "digits": pl.String}
    typed = pl.DataFrame({"asked": asked, "digits": digits}, schema=schema).with_row_index("place")
    if typed.is_empty():
        return typed.select("asked", id="digits")
    found = transaction.frame(
        f"""
        WITH ids AS (
            SELECT replace(known::VARCHAR, '-', '') AS known, replace(id::VARCHAR, '-', '') AS id FROM ({source})
        )
        SELECT t.asked, list(DISTINCT k.id ORDER BY k.id) AS ids
        FROM typed t LEFT JOIN ids k ON t.digits <> '' AND starts_with(k.known, t.digits)
        GROUP BY t.asked, t.place ORDER BY t.place
        """,
        typed=typed,
    )
    found = found.with_columns(ids=pl.col("ids").list.drop_nulls())
    wrong = found.filter(pl.col("ids").list.len() != 1)
    if not wrong.is_empty():
        first = wrong.row(0, named=True)
        raise _refusal(kind, first["asked"], first["ids"])
    return found.select("asked", id=pl.col("ids").list.first()).unique("id", keep="first", maintain_order=True)


def _refusal(kind: str, asked: str, ids: list[str]) -> TriageRefused:
    if not ids:
        return TriageRefused(
            f"No {kind} has an ID that begins with '{plain(asked)}'. Groups are listed by `attachment-alerts alerts`, "
            "alerts by the relation `alerts`. Nothing was changed."
        )
    return TriageRefused(ambiguous_prefix_message(asked, f"{kind}s", ids))


def ambiguous_prefix_message(asked: str, kinds: str, ids: list[str]) -> str:
    """`kinds`: what the IDs belong to, in the plural."""
    some = ", ".join(ids[:CANDIDATES])
    more = f" and {len(ids) - CANDIDATES} more" if len(ids) > CANDIDATES else ""
    return f"The ID prefix '{plain(asked)}' matches {len(ids)} {kinds}: {some}{more}. Use more characters."
