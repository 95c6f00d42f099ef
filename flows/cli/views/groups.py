"""The page of `alerts`."""

from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from flows.cli.views.allow_list import STATUS
from flows.console.tables import SHORT_ID, ColumnSet, Fact, responsive_table
from flows.console.terminal import PRIORITY, moment, number, out, short_moment, shown, zone_name
from tasks.formatting import format_count
from tasks.queries.lookups import Totals

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
    """The parts of the description, which is sub-classification, file type and file name as far as they are known."""
    kind = group["sub_classification"] or ""
    rest = group["description"].removeprefix(kind).removeprefix(" · ")
    file_type, dot, file_name = rest.partition(" · ")
    if not dot and "/" not in file_type:
        file_type, file_name = "", rest
    return Described(kind, FILE_TYPES.get(file_type, file_type.rpartition("/")[2].removeprefix("x-")), file_name)


def groups_table(groups: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    """Two lines for each group; on a narrow terminal one, with what matters most."""
    tenant = Fact("Tenant", lambda row: shown(row["tenant"], "dim"), wraps=True)
    whose = (tenant,) if len({row["tenant"] for row in groups}) > 1 else ()
    people, devices = ((_count("People"),), (_count("Devices"),)) if knows_people(groups) else ((), ())
    name, urgency, file = Fact("Group", _id), Fact("Priority", priority), Fact("File", _file, wraps=True)
    alerts, recipients = _count("Alerts"), _count("Recipients")
    status = Fact("Status", _status)
    wide: ColumnSet = [
        (name, urgency, *whose),
        (file, Fact("Description", _kind, wraps=True)),
        (Fact("Response", response_lines),),
        (alerts, _count("Exposed")),
        (recipients, *people),
        devices,
        (Fact("First", lambda row: short_moment(row["first_detected_at"], zone)), _last(zone)),
        (status, Fact("", _assignee, wraps=True)),
    ]
    narrow: ColumnSet = [(name, *whose), (urgency,), (file,), (Fact("Response", response_lines),), (alerts,), (status,)]
    return responsive_table(groups, wide, narrow, out.width)


def _last(zone: ZoneInfo) -> Fact:
    """Empty where it would repeat the first detection."""

    def cell(group: dict[str, Any]) -> Text:
        first, last = (short_moment(group[f"{edge}_detected_at"], zone) for edge in ("first", "last"))
        return Text() if last == first else last

    return Fact(f"Last ({zone_name(zone)})", cell)


def knows_people(groups: list[dict[str, Any]]) -> bool:
    """Whether a directory was imported."""
    return any(row["user_count"] is not None for row in groups)


def _count(title: str) -> Fact:
    return Fact(title, lambda row: number(row[COUNTS[title]]), right=True)


def footer(totals: Totals, groups: list[dict[str, Any]], zone: ZoneInfo, *, chosen: bool) -> Text:
    """Totals of all groups, listed or not, and when the tables were published."""
    everything, listed = sum(totals.groups.values()), len(groups)
    total = format_count(everything, "group")
    line = Text.assemble("\n", (f"{listed:,} of {total}" if chosen or listed < everything else total, "bold"))
    for name, count in totals.groups.items():
        line.append(" · ", "dim").append(f"{count:,} {name}", PRIORITY.get(name, ""))
    if totals.closed:
        hint = "" if any(row["status"] == "closed" for row in groups) else " (--status all)"
        line.append(f" · {totals.closed:,} closed{hint}", "dim")
    if totals.suppressed:
        line.append(f" · {format_count(totals.suppressed, 'alert')} hidden by the allow-list", "dim")
    line.append(f" · {totals.hidden:,} scans hidden as low", "dim")
    return line.append(f" · published {_clock(totals.published_at, zone)}", "dim")


def _clock(value: datetime | None, zone: ZoneInfo) -> str:
    return "never" if value is None else f"{value.astimezone(zone):%Y-%m-%d %H:%M} {zone_name(zone)}"


def span(group: dict[str, Any], zone: ZoneInfo) -> Text:
    """First and last detection; what both have in common is not repeated."""
    first, last = (group[f"{edge}_detected_at"].astimezone(zone) for edge in ("first", "last"))
    text = moment(first, zone)
    if f"{first:%F %H:%M}" == f"{last:%F %H:%M}":
        return text
    same = "%H:%M" if first.date() == last.date() else "%m-%d %H:%M" if first.year == last.year else "%F %H:%M"
    return text.append(f" → {last.strftime(same)}")


def _id(group: dict[str, Any]) -> Text:
    return Text(group["group_id"][:SHORT_ID], style="cyan")


def priority(group: dict[str, Any]) -> Text:
    cleared = " (cleared)" if group["cleared_at"] else ""
    return Text(f"{group['priority']}{cleared}", style=PRIORITY.get(group["priority"], ""))


def _file(group: dict[str, Any]) -> Text:
    return shown(described(group).file_name)


def _kind(group: dict[str, Any]) -> Text:
    parts = described(group)
    kind = shown(parts.kind, "dim")
    return Text(" · ", style="dim").join([kind, shown(parts.file_type, "dim")]) if parts.file_type else kind


def response(group: dict[str, Any]) -> Text:
    """The worst disposition and how many were released, in one line."""
    return Text(" " if group["worst_disposition"] == "released" else " · ").join(_responses(group))


def response_lines(group: dict[str, Any]) -> Text:
    """The same, with the number in a line of its own."""
    return Text("\n").join(_responses(group))


def _responses(group: dict[str, Any]) -> list[Text]:
    worst, released, alerts = group["worst_disposition"], group["released_count"], group["alert_count"]
    parts = [Text(worst.replace("_", " "), style=DISPOSITION.get(worst, "green"))]
    if released and released < alerts:
        number_released = f"{released:,} of {alerts:,}" if worst == "released" else f"{released:,} released"
        parts.append(Text(number_released, style=DISPOSITION["released"]))
    return parts


def _status(group: dict[str, Any]) -> Text:
    return Text(group["status"].replace("_", " "), style=STATUS[group["status"]])


def _assignee(group: dict[str, Any]) -> Text:
    """Who works on it, or that it was re-opened and nobody does."""
    if group["status"] == "new" and group["reopened_at"]:
        return Text("re-opened", style="yellow")
    return shown(group["assignee"], "dim") if group["assignee"] else Text()
