"""One alert group on the terminal."""

from typing import Any
from zoneinfo import ZoneInfo

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.group_table import SHORT_ID, described, priority, response, span
from flows.layout import facts, heading, plain_table
from flows.lookups import Page
from flows.terminal import moment, out, several, shown, zone_name
from flows.triage_tables import decisions_table, reopened_text, status_text

ROOMY = 130  # columns from which on subjects have their place


def group_page(page: Page, zone: ZoneInfo) -> RenderableType:
    """Facts, indicators, recipients, alerts and exposures of one group."""
    group = page.group
    parts: list[RenderableType] = [_title(group), facts(_facts(group, zone)), heading("Key indicators")]
    parts.append(facts([(each["kind"], shown(each["value"])) for each in group["key_indicators"]]))
    if group["recipients"]:
        parts += [heading("Recipients", _listed(group["recipients"], group["recipient_count"]))]
        parts.append(Columns([shown(f"  {address}") for address in group["recipients"]], padding=(0, 2)))
    for title, name in (("People", "user"), ("Devices", "device")):
        if group[f"{name}s"]:
            parts += [heading(title, _listed(group[f"{name}s"], group[f"{name}_count"]))]
            parts.append(Columns([shown(f"  {each}") for each in group[f"{name}s"]], padding=(0, 2)))
    if page.decisions:
        parts += [heading("Decisions"), decisions_table(page.decisions, zone)]
    parts += [heading("Alerts", _listed(page.alerts, group["alert_count"])), _alerts(page.alerts, zone)]
    if page.exposures:
        people = f"{several(group['exposure_count'], 'recipient')} of this file without an alert"
        parts += [heading("Exposures", people), _exposures(page.exposures, zone)]
    return Group(*parts)


def _title(group: dict[str, Any]) -> Text:
    what = described(group)
    name = shown(what.file_name or "unnamed file", "bold")
    kind = shown(" · ".join(part for part in (what.kind, what.file_type) if part))
    return Text.assemble(name, "\n", priority(group), " · ", kind, " · ", status_text(group), "\n")


def _facts(group: dict[str, Any], zone: ZoneInfo) -> list[tuple[str, Text]]:
    said = " · ".join(f"{each['response'] or 'nothing'} ({each['count']:,})" for each in group["responses"])
    counts = [several(group[f"{what}_count"], what) for what in ("alert", "recipient")]
    if group["user_count"] is not None:
        unmatched = group["unmatched_count"]
        counts += [several(group["user_count"], "person"), several(group["device_count"], "device")]
        counts += [f"{several(unmatched, 'recipient')} nobody knows"] if unmatched else []
    rows = [
        ("group", Text(group["group_id"], style="cyan")),
        ("detected", span(group, zone).append(f" {zone_name(zone)}")),
        ("response", Text.assemble(response(group, " · "), ("   ", ""), shown(said, "dim"))),
        ("verdicts", shown(", ".join(group["verdicts"] or []))),
        ("counts", Text(" · ".join([*counts, f"{group['exposure_count']:,} exposed"]))),
        *_said(group, zone),
        ("seen before", _before(group)),
        ("connectors", shown(f"{', '.join(group['connectors'] or [])} ({group['product']})")),
        ("link", shown(group["detection_details_url"], limit=1000)),
    ]
    if group["cleared_at"]:
        rows.insert(2, ("cleared", moment(group["cleared_at"], zone)))
    return rows


def _said(group: dict[str, Any], zone: ZoneInfo) -> list[tuple[str, Text]]:
    """What people decided, where they did."""
    rows = []
    if group["assignee"]:
        rows.append(("assignee", shown(group["assignee"])))
    if group["reopened_at"]:
        rows.append(("re-opened", reopened_text(group, zone)))
    if group["suppressed_count"]:
        rows.append(
            ("suppressed", Text(f"{several(group['suppressed_count'], 'more alert')} hidden by the allow-list"))
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


def _alerts(alerts: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    roomy = out.width >= ROOMY
    table = plain_table()
    table.add_column(f"Detected ({zone_name(zone)})", no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Response", overflow="ellipsis", no_wrap=True)
    for title in ("Recipient", "Sender", *(("Subject",) if roomy else ())):
        table.add_column(title, ratio=1, overflow="ellipsis", no_wrap=True)
    for each in alerts:
        subject = [shown(each["subject"])] if roomy else []
        people = [shown(each[name]) for name in ("recipient", "sender")]
        verdict = shown(each["verdict"], "strike" if each["cleared_at"] else "")
        table.add_row(moment(each["detected_at"], zone), verdict, shown(each["response"]), *people, *subject)
    return table


def _exposures(exposures: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    table = plain_table()
    table.add_column(f"Scanned ({zone_name(zone)})", no_wrap=True)
    table.add_column("Verdict then", no_wrap=True)
    table.add_column("Response", no_wrap=True)
    table.add_column("Recipient", ratio=1, overflow="ellipsis", no_wrap=True)
    machines = any(each["devices"] for each in exposures)
    if machines:
        table.add_column("Devices", overflow="ellipsis", no_wrap=True)
    table.add_column("Scanned when", no_wrap=True)
    for each in exposures:
        when = f"{each['direction']} the first alert" + (", also alerted" if each["also_alerted"] else "")
        disposition = each["disposition"].replace("_", " ")
        devices = [shown(", ".join(each["devices"]))] if machines else []
        cells = [shown(each["verdict"]), Text(disposition), shown(each["recipient"]), *devices, Text(when)]
        table.add_row(moment(each["detected_at"], zone), *cells)
    return table
