"""Alert groups as a terminal table that folds with the width."""

from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from flows.cli.views.allow_list import STATUS
from flows.console.tables import Fact, Form, broken, folded
from flows.console.terminal import PRIORITY, moment, number, out, short_moment, shown, zone_name
from tasks.formatting import several
from tasks.queries.lookups import Totals

SHORT_ID = 8
FILE, NARROW = 24, 20  # columns that a name may be cut to
KIND = 30  # columns that a description may be cut to: with the file type, unless a sender made up a long one
ASSIGNEE = 10
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
    several_tenants = len({each["tenant"] for each in groups}) > 1
    return folded(groups, _forms(zone, people=knows_people(groups), tenants=several_tenants), out.width)


def knows_people(groups: list[dict[str, Any]]) -> bool:
    """Whether a directory was imported."""
    return any(each["user_count"] is not None for each in groups)


def _forms(zone: ZoneInfo, *, people: bool, tenants: bool) -> list[Form]:
    """A line for each group; two lines; two or three narrow ones, which tell when it was last detected, not first."""
    name, urgency = Fact("Group", _id), Fact("Priority", priority)
    whose = (Fact("Tenant", lambda each: shown(each["tenant"], "dim"), least=ASSIGNEE),) if tenants else ()
    status = Fact("Status", _status), Fact("", _standing, least=ASSIGNEE)
    file, kind = Fact("File", _file, least=FILE), Fact("Description", _kind, least=KIND)
    said, said_below = Fact("Response", response), Fact("Response", lambda each: response(each, below=True))
    alerts, recipients, exposed = (_count(title) for title in ("Alerts", "Recipients", "Exposed"))
    persons, devices = (((_count(title),) if people else ()) for title in ("People", "Devices"))
    detected = Fact(f"First → last ({zone_name(zone)})", lambda each: span(each, zone))
    first = Fact("First", lambda each: short_moment(each["first_detected_at"], zone))
    last = Fact(f"Last ({zone_name(zone)})", lambda each: short_moment(each["last_detected_at"], zone))
    later = last._replace(says=lambda each: Text() if last.says(each) == first.says(each) else last.says(each))
    counts = alerts, recipients, *persons, *devices, exposed
    below, alone = kind._replace(says=lambda each: _kind(each, "\n"), least=NARROW), broken(last, 11)

    def narrow(kind: Fact, last: Fact) -> Form:
        return [
            (name, broken(urgency, 9), *whose), (file._replace(least=NARROW), kind), (broken(said_below, 9),),
            (alerts,), (recipients._replace(title="Recip."), *persons), (exposed, *devices), (last, *status),
        ]  # fmt: skip

    return [
        [*((each,) for each in (name, *whose, urgency, file, kind, said, *counts, detected)), status],
        [
            (name, broken(urgency, 9), *whose), (file, kind), (broken(said_below, 15),), (alerts, exposed),
            (recipients, *persons), devices, (first, later), status,
        ],
        narrow(kind, last),
        narrow(below, alone),
    ]  # fmt: skip


def _count(title: str) -> Fact:
    return Fact(title, lambda each: number(each[COUNTS[title]]), right=True)


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


def _id(group: dict[str, Any]) -> Text:
    return Text(group["group_id"][:SHORT_ID], style="cyan")


def priority(group: dict[str, Any]) -> Text:
    cleared = " (cleared)" if group["cleared_at"] else ""
    return Text(f"{group['priority']}{cleared}", style=PRIORITY.get(group["priority"], ""))


def _file(group: dict[str, Any]) -> Text:
    return shown(described(group).file_name)


def _kind(group: dict[str, Any], between: str = " · ") -> Text:
    parts = described(group)
    kind = shown(parts.kind, "dim")
    return Text(between, style="dim").join([kind, shown(parts.file_type, "dim")]) if parts.file_type else kind


def response(group: dict[str, Any], *, below: bool = False) -> Text:
    """The worst disposition, and how many were released: in one line, or in a second one below."""
    worst, released, alerts = group["worst_disposition"], group["released_count"], group["alert_count"]
    gap, between = ("\n", "\n") if below else (" ", " · ")
    if worst == "released" and released < alerts:
        return Text(f"released{gap}{released:,} of {alerts:,}", style=DISPOSITION[worst])
    text = Text(worst.replace("_", " "), style=DISPOSITION.get(worst, "green"))
    if released and worst != "released":
        text.append(f"{between}{released:,} released", style=DISPOSITION["released"])
    return text


def _status(group: dict[str, Any]) -> Text:
    return Text(group["status"].replace("_", " "), style=STATUS[group["status"]])


def _standing(group: dict[str, Any]) -> Text:
    """Who works on it, or that it has come back and nobody does."""
    if group["status"] == "new" and group["reopened_at"]:
        return Text("re-opened", style="yellow")
    return shown(group["assignee"], "dim") if group["assignee"] else Text()
