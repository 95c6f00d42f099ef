"""Alert groups as a terminal table, in a wide and a narrow form."""

from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from flows.layout import plain_table
from flows.lookups import Totals
from flows.terminal import PRIORITY, moment, number, out, several, shown, zone_name
from flows.triage_tables import STATUS

WIDE = 155  # columns from which on every fact has a column of its own
SHORT_ID = 8
DISPOSITION = {"released": "bold red", "no_action": "red", "unknown": "yellow", "delayed": "yellow"}

COUNTS = {
    "Alerts": "alert_count",
    "Recipients": "recipient_count",
    "People": "user_count",
    "Devices": "device_count",
    "Exposed": "exposure_count",
}

# A vendor's MIME types are as long as a line; these are what people call the files.
FILE_TYPES = {
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/octet-stream": "binary",
}


class Described(NamedTuple):
    """A group's description in its parts."""

    kind: str
    file_type: str
    file_name: str


def described(group: dict[str, Any]) -> Described:
    """The description taken apart: it is sub-classification, file type and file name, as far as they are known."""
    kind = group["sub_classification"] or ""
    rest = group["description"].removeprefix(kind).removeprefix(" · ")
    file_type, dot, file_name = rest.partition(" · ")
    if not dot and "/" not in file_type:
        file_type, file_name = "", rest
    return Described(kind, FILE_TYPES.get(file_type, file_type.rpartition("/")[2].removeprefix("x-")), file_name)


def groups_table(groups: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    """Most urgent first, as given; fits the console in use."""
    return _wide(groups, zone) if out.width >= WIDE else _narrow(groups, zone)


def _wide(groups: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    table = plain_table()
    table.add_column("Group", no_wrap=True)
    table.add_column("Priority", no_wrap=True)
    table.add_column("File", ratio=1, overflow="ellipsis", no_wrap=True)
    table.add_column("Description", min_width=27, overflow="ellipsis", no_wrap=True)
    table.add_column("Response", overflow="ellipsis", no_wrap=True)
    counts = COUNTS if knows_people(groups) else {title: COUNTS[title] for title in ("Alerts", "Recipients", "Exposed")}
    for title in counts:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column(f"First → last ({zone_name(zone)})", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    for each in groups:
        parts = described(each)
        table.add_row(
            _id(each),
            priority(each),
            shown(parts.file_name),
            _kind(parts),
            response(each, " · "),
            *(number(each[name]) for name in counts.values()),
            span(each, zone),
            _status(each),
        )
    return table


def knows_people(groups: list[dict[str, Any]]) -> bool:
    """Whether a directory was imported."""
    return any(each["user_count"] is not None for each in groups)


def _narrow(groups: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    table = plain_table()
    table.add_column("Group\nPriority", no_wrap=True)
    table.add_column("File\nDescription", ratio=1, overflow="ellipsis", no_wrap=True)
    table.add_column("Response\n", overflow="ellipsis", no_wrap=True)
    table.add_column("Alerts\nExposed", justify="right", no_wrap=True)
    people = knows_people(groups)
    table.add_column("Recipients\nPeople" if people else "Recip-\nients", justify="right", no_wrap=True)
    table.add_column(f"First detected\nLast ({zone_name(zone)})", no_wrap=True)
    table.add_column("Status\n", no_wrap=True)
    for each in groups:
        parts = described(each)
        first, last = (moment(each[f"{edge}_detected_at"], zone) for edge in ("first", "last"))
        table.add_row(
            _lines(_id(each), priority(each)),
            _lines(shown(parts.file_name), _kind(parts)),
            response(each, "\n"),
            _lines(number(each["alert_count"]), number(each["exposure_count"])),
            _lines(number(each["recipient_count"]), *([number(each["user_count"])] if people else [])),
            first if first == last else _lines(first, last),
            _status(each),
        )
    return table


def footer(totals: Totals, groups: list[dict[str, Any]], zone: ZoneInfo, *, chosen: bool) -> Text:
    """How much there is beside the groups that the table shows, and how fresh it is."""
    everything, listed = sum(totals.groups.values()), len(groups)
    says = several(everything, "group")
    line = Text.assemble("\n", (f"{listed:,} of {says}" if chosen or listed < everything else says, "bold"))
    for name, count in totals.groups.items():
        line.append(" · ", "dim").append(f"{count:,} {name}", PRIORITY.get(name, ""))
    if totals.closed:
        hint = "" if any(each["status"] == "closed" for each in groups) else " (--status all)"
        line.append(f" · {totals.closed:,} closed{hint}", "dim")
    if totals.suppressed:
        line.append(f" · {several(totals.suppressed, 'alert')} hidden by the allow-list", "dim")
    line.append(f" · {totals.hidden:,} scans hidden as low", "dim")
    return line.append(f" · published {_clock(totals.published_at, zone)}", "dim")


def _clock(value: datetime | None, zone: ZoneInfo) -> str:
    return "never" if value is None else f"{value.astimezone(zone):%Y-%m-%d %H:%M} {zone_name(zone)}"


def span(group: dict[str, Any], zone: ZoneInfo) -> Text:
    """First and last detection, without saying the same twice."""
    first, last = (group[f"{edge}_detected_at"].astimezone(zone) for edge in ("first", "last"))
    text = moment(first, zone)
    if f"{first:%F %H:%M}" == f"{last:%F %H:%M}":
        return text
    same = "%H:%M" if first.date() == last.date() else "%m-%d %H:%M" if first.year == last.year else "%F %H:%M"
    return text.append(f" → {last.strftime(same)}")


def _lines(*texts: Text) -> Text:
    return Text("\n").join(texts)


def _id(group: dict[str, Any]) -> Text:
    return Text(group["group_id"][:SHORT_ID], style="cyan")


def priority(group: dict[str, Any]) -> Text:
    cleared = " (cleared)" if group["cleared_at"] else ""
    return Text(f"{group['priority']}{cleared}", style=PRIORITY.get(group["priority"], ""))


def _kind(parts: Described) -> Text:
    return shown(f"{parts.kind} · {parts.file_type}" if parts.file_type else parts.kind, "dim")


def response(group: dict[str, Any], between: str) -> Text:
    worst, released, alerts = group["worst_disposition"], group["released_count"], group["alert_count"]
    if worst == "released" and released < alerts:
        return Text(f"released {released:,} of {alerts:,}", style=DISPOSITION[worst])
    text = Text(worst.replace("_", " "), style=DISPOSITION.get(worst, "green"))
    if released and worst != "released":
        text.append(f"{between}{released:,} released", style=DISPOSITION["released"])
    return text


def _status(group: dict[str, Any]) -> Text:
    """What a person decided; below it who works on it, or that it has come back and nobody does."""
    status = Text(group["status"].replace("_", " "), style=STATUS[group["status"]])
    if group["status"] == "new" and group["reopened_at"]:
        return _lines(status, Text("re-opened", style="yellow"))
    return _lines(status, shown(group["assignee"], "dim", limit=20)) if group["assignee"] else status
