"""Where rows are in an export, for messages."""

from collections.abc import Sequence

from tasks.directory.model import Parsed

MAX_LISTED_ROWS = 5


def listed_rows(family: str, rows: Sequence[int]) -> str:
    """`lines 3, 7`, or `records 3, 7` of JSON; at most some of them."""
    unit = "record" if "JSON" in family or "Graph" in family else "line"
    listed = ", ".join(map(str, rows[:MAX_LISTED_ROWS]))
    more = f" and {len(rows) - MAX_LISTED_ROWS} more" if len(rows) > MAX_LISTED_ROWS else ""
    return f"{unit}{'s' if len(rows) > 1 else ''} {listed}{more}"


def reject_reasons(parsed: Parsed) -> list[str]:
    """Why rows were rejected and where they are, never their content."""
    rejects = parsed.rejects.group_by("reason", maintain_order=True).agg("row")
    return [f"{reason} ({listed_rows(parsed.family, rows)})" for reason, rows in rejects.rows()]
