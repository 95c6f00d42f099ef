"""The page of `group`."""

from typing import Any
from zoneinfo import ZoneInfo

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.cli.views.allow_list import decisions_table, reopened_text, status_text
from flows.cli.views.groups import described, priority, response, span
from flows.console.tables import INDENT, SHORT_ID, Fact, facts, heading, responsive_table
from flows.console.terminal import moment, out, shown, zone_name
from tasks.formatting import format_count
from tasks.queries.lookups import GroupDetails


def group_page(page: GroupDetails, zone: ZoneInfo) -> RenderableType:
    """Facts, indicators, recipients, alerts and exposures of one group."""
    group = page.group
    parts: list[RenderableType] = [_title(group), facts(_facts(group, zone)), heading("Key indicators")]
    parts.append(facts([(row["kind"], shown(row["value"])) for row in group["key_indicators"]]))
    if group["recipients"]:
        parts += [heading("Recipients", _listed(group["recipients"], group["recipient_count"]))]
        parts.append(Columns([shown(f"{INDENT}{address}") for address in group["recipients"]], padding=(0, 2)))
    for title, name in (("People", "user"), ("Devices", "device")):
        if group[f"{name}s"]:
            parts += [heading(title, _listed(group[f"{name}s"], group[f"{name}_count"]))]
            parts.append(Columns([shown(f"{INDENT}{value}") for value in group[f"{name}s"]], padding=(0, 2)))
    if page.decisions:
        parts += [heading("Decisions"), decisions_table(page.decisions, zone)]
    parts += [heading("Alerts", _listed(page.alerts, group["alert_count"])), alerts_table(page.alerts, zone)]
    if page.exposures:
        people = f"{format_count(group['exposure_count'], 'recipient')} of this file without an alert"
        parts += [heading("Exposures", people), exposures_table(page.exposures, zone)]
    return Group(*parts)


def _title(group: dict[str, Any]) -> Text:
    what = described(group)
    name = shown(what.file_name or "unnamed file", "bold")
    kind = shown(" · ".join(part for part in (what.kind, what.file_type) if part))
    return Text.assemble(name, "\n", priority(group), " · ", kind, " · ", status_text(group), "\n")


def _facts(group: dict[str, Any], zone: ZoneInfo) -> list[tuple[str, Text]]:
    responses = " · ".join(f"{_quoted(row['response'])} ({row['count']:,})" for row in group["responses"])
    counts = [format_count(group[f"{what}_count"], what) for what in ("alert", "recipient")]
    if group["user_count"] is not None:
        unmatched = group["unmatched_count"]
        counts += [format_count(group["user_count"], "person"), format_count(group["device_count"], "device")]
        counts += [f"{format_count(unmatched, 'recipient')} not in the directory"] if unmatched else []
    rows = [
        ("group", Text(group["group_id"], style="cyan")),
        ("tenant", shown(group["tenant"])),
        ("detected", span(group, zone).append(f" {zone_name(zone)}")),
        ("response", Text.assemble(response(group), ("   ", ""), shown(responses, "dim"))),
        ("verdicts", shown(", ".join(group["verdicts"] or []))),
        ("counts", Text(" · ".join([*counts, f"{group['exposure_count']:,} exposed"]))),
        *_triage(group, zone),
        ("seen before", _before(group)),
        ("connectors", shown(f"{', '.join(group['connectors'] or [])} ({group['product']})")),
        ("link", shown(group["detection_details_url"], limit=1000)),
    ]
    if group["cleared_at"]:
        rows.insert(2, ("cleared", moment(group["cleared_at"], zone)))
    return rows


def _quoted(response: str | None) -> str:
    """Quoted, because a response may contain commas."""
    return f'"{response}"' if response else "nothing"


def _triage(group: dict[str, Any], zone: ZoneInfo) -> list[tuple[str, Text]]:
    """Assignee, re-opening and suppression, where there are any."""
    rows = []
    if group["assignee"]:
        rows.append(("assignee", shown(group["assignee"])))
    if group["reopened_at"]:
        rows.append(("re-opened", reopened_text(group, zone)))
    if group["suppressed_count"]:
        rows.append(
            ("suppressed", Text(f"{format_count(group['suppressed_count'], 'more alert')} hidden by the allow-list"))
        )
    return rows


def _before(group: dict[str, Any]) -> Text:
    times = group["times_seen_before"]
    if not times:
        return Text("no", style="dim")
    text = Text("once" if times == 1 else f"{times:,} times")
    text.append(", the last time as ").append(group["previous_group_id"][:SHORT_ID], style="cyan")
    if group["previous_close_reason"]:
        text.append(f", closed as {group['previous_close_reason'].replace('_', ' ')}")
    return text


def _listed(rows: list[Any], count: int) -> str:
    return f"{count:,}" if len(rows) >= count else f"{len(rows):,} of {count:,}"


def alerts_table(alerts: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    """One line for each alert, two on a narrow terminal."""
    detected = Fact(f"Detected ({zone_name(zone)})", lambda row: moment(row["detected_at"], zone))
    verdict = Fact("Verdict", lambda row: shown(row["verdict"], "strike" if row["cleared_at"] else ""), wraps=True)
    recipient, sender = _text("Recipient", "recipient"), _text("Sender", "sender")
    response, subject = _text("Response", "response"), _text("Subject", "subject")
    wide = [(fact,) for fact in (detected, verdict, response, recipient, sender, subject)]
    narrow = [(detected, verdict), (recipient, sender), (response, subject)]
    return responsive_table(alerts, wide, narrow, out.width)


def exposures_table(exposures: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    """One line for each exposure, two on a narrow terminal."""
    scanned = Fact(f"Scanned ({zone_name(zone)})", lambda row: moment(row["detected_at"], zone))
    verdict, recipient = _text("Verdict then", "verdict"), _text("Recipient", "recipient")
    done = Fact("Response", lambda row: Text(row["disposition"].replace("_", " ")))
    devices = Fact("Devices", lambda row: shown(", ".join(row["devices"])), wraps=True)
    device_columns = (devices,) if any(row["devices"] for row in exposures) else ()
    when = Fact("Scanned when", _when)
    wide = [(fact,) for fact in (scanned, verdict, done, recipient, *device_columns, when)]
    narrow = [(scanned, verdict), (recipient, *device_columns), (done, when)]
    return responsive_table(exposures, wide, narrow, out.width)


def _when(exposure: dict[str, Any]) -> Text:
    also = "\nalso alerted" if exposure["also_alerted"] else ""
    return Text(f"{exposure['direction']} the first alert{also}")


def _text(title: str, name: str) -> Fact:
    return Fact(title, lambda row: shown(row[name]), wraps=True)
