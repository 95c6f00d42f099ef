"""Tables of analysts' decisions: the allow-list, and the triage history of a group."""

from typing import Any
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from flows.console.tables import SHORT_ID, Fact, responsive_table
from flows.console.terminal import moment, number, out, shown, zone_name

STATUS = {"new": "bold", "in_progress": "cyan", "closed": "dim"}


def entries_table(entries: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    """One line for each entry of the allow-list, two or three on a narrow terminal."""
    entry = Fact("Entry", _short_id)
    kind = Fact("Kind", lambda row: Text(row["kind"].replace("_", " ")))
    value = Fact("Value", lambda row: shown(row["value"]), wraps=True)
    hides = Fact("Hides", lambda row: number(row["hidden_count"]), right=True)
    until = Fact(f"Until ({zone_name(zone)})", lambda row: _until(row, zone))
    reason = Fact("Reason", lambda row: shown(row["reason"]), wraps=True)
    author = Fact("Author", lambda row: shown(row["author"]), wraps=True)
    tenant = Fact("Tenant", lambda row: shown(row["tenant"]), wraps=True)
    wide = [(fact,) for fact in (entry, kind, value, hides, until, reason, author, tenant)]
    narrow = [(entry, kind), (value, reason), (hides,), (until, author, tenant)]
    return responsive_table(entries, wide, narrow, out.width)


def _short_id(entry: dict[str, Any]) -> Text:
    return Text(entry["entry_id"][:SHORT_ID], style="cyan" if entry["active"] else "dim")


def _until(entry: dict[str, Any], zone: ZoneInfo) -> Text:
    if entry["active"] and entry["expires_at"] is None:
        return Text("never", style="dim")
    ends = moment(entry["ended_at"] or entry["expires_at"], zone)
    return ends if entry["active"] else Text.assemble(("ended ", "dim"), ends)


def status_text(group: dict[str, Any]) -> Text:
    """Status, close reason and assignee of a group or alert in one line."""
    text = _decision(group)
    if group["assignee"]:
        text.append(" · ", "dim").append_text(shown(group["assignee"], limit=60))
    return text


def _decision(group: dict[str, Any]) -> Text:
    text = Text(group["status"].replace("_", " "), style=STATUS[group["status"]])
    return text.append(f" as {group['close_reason'].replace('_', ' ')}") if group["close_reason"] else text


def reopened_text(group: dict[str, Any], zone: ZoneInfo) -> Text:
    """When and why a closed group came back."""
    why = group["reopened_by"].replace("_", " ")
    return moment(group["reopened_at"], zone).append(f" {zone_name(zone)}, by {why}")


def decisions_table(decisions: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    """One line for each decision, two on a narrow terminal; comments are never cut."""
    decided = Fact(f"Decided ({zone_name(zone)})", lambda row: moment(row["at"], zone))
    by = Fact("By", lambda row: shown(row["by"]), wraps=True)
    decision = Fact("Decision", _decision)
    assignee = Fact("Assignee", lambda row: shown(row["assignee"]), wraps=True)
    alerts = Fact("Alerts", lambda row: number(row["alerts"]), right=True)
    comment = Fact("Comment", lambda row: shown(row["comment"], limit=4000), wraps=True)
    wide = [(fact,) for fact in (decided, by, decision, assignee, alerts, comment)]
    narrow = [(decided, by), (decision, assignee), (alerts,), (comment,)]
    return responsive_table(decisions, wide, narrow, out.width)
