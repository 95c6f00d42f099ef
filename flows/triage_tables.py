"""What people decided, on the terminal: the allow-list, and the decisions on a group."""

from typing import Any
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from flows.layout import plain_table
from flows.terminal import moment, number, shown, zone_name

SHORT_ID = 8
STATUS = {"new": "bold", "in_progress": "cyan", "closed": "dim"}


def entries_table(entries: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    """One line per entry of the allow-list, as given."""
    table = plain_table()
    table.add_column("Entry", no_wrap=True)
    table.add_column("Kind", no_wrap=True)
    table.add_column("Value", ratio=2, overflow="ellipsis", no_wrap=True)
    table.add_column("Hides", justify="right", no_wrap=True)
    table.add_column(f"Until ({zone_name(zone)})", no_wrap=True)
    table.add_column("Reason", ratio=2, overflow="ellipsis", no_wrap=True)
    table.add_column("Author", overflow="ellipsis", no_wrap=True)
    table.add_column("Tenant", overflow="ellipsis", no_wrap=True)
    for each in entries:
        ends = moment(each["ended_at"] or each["expires_at"], zone)
        until = Text("never", style="dim") if each["active"] and each["expires_at"] is None else ends
        table.add_row(
            Text(each["entry_id"][:SHORT_ID], style="cyan" if each["active"] else "dim"),
            Text(each["kind"].replace("_", " ")),
            shown(each["value"]),
            number(each["hidden_count"]),
            until if each["active"] else Text.assemble(("ended ", "dim"), until),
            shown(each["reason"]),
            shown(each["author"]),
            shown(each["tenant"]),
        )
    return table


def status_text(group: dict[str, Any]) -> Text:
    """Status, close reason and assignee of a group or alert in one line."""
    text = Text(group["status"].replace("_", " "), style=STATUS[group["status"]])
    if group["close_reason"]:
        text.append(f" as {group['close_reason'].replace('_', ' ')}")
    if group["assignee"]:
        text.append(" · ", "dim").append_text(shown(group["assignee"], limit=60))
    return text


def reopened_text(group: dict[str, Any], zone: ZoneInfo) -> Text:
    """When and why a closed group came back."""
    why = group["reopened_by"].replace("_", " ")
    return moment(group["reopened_at"], zone).append(f" {zone_name(zone)}, by {why}")


def decisions_table(decisions: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    """One line per decision, latest first as given."""
    table = plain_table()
    table.add_column(f"Decided ({zone_name(zone)})", no_wrap=True)
    table.add_column("By", overflow="ellipsis", no_wrap=True)
    table.add_column("Decision", no_wrap=True)
    table.add_column("Alerts", justify="right", no_wrap=True)
    table.add_column("Comment", ratio=1, overflow="fold")
    for each in decisions:
        table.add_row(
            moment(each["at"], zone),
            shown(each["by"]),
            status_text(each),
            number(each["alerts"]),
            shown(each["comment"], limit=4000),
        )
    return table
