"""Alert groups on a terminal, wide and narrow: what each cell says; no store, no API."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self
from zoneinfo import ZoneInfo

import pytest

from flows.cli.views import groups as group_table
from flows.cli.views.groups import Described, described, footer, groups_table, response, span
from flows.console import terminal
from tasks.queries.lookups import Totals
from tests.flows.cli.printing import console_of, printed

ZONE = ZoneInfo("UTC")
FIRST = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
GROUP: dict[str, Any] = {
    "group_id": "b04cd3c7-2111-0a22-00f5-2fa671933a17", "priority": "high", "cleared_at": None,
    "sub_classification": "Malicious attachment", "description": "Malicious attachment · application/msword · bill.doc",
    "worst_disposition": "held", "released_count": 0, "alert_count": 1_234, "recipient_count": 20, "user_count": 19,
    "device_count": 7, "exposure_count": 3, "first_detected_at": FIRST, "last_detected_at": FIRST,
    "status": "new", "reopened_at": None, "assignee": None, "tenant": "default",
}  # fmt: skip


class That(datetime):
    """The clock of that year, which short dates leave out."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls(2026, 12, 31, tzinfo=tz)


def shown(width: int, *groups: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The table's lines, each as its cells."""
    console = console_of(width)
    monkeypatch.setattr(group_table, "out", console)
    monkeypatch.setattr(terminal, "datetime", That)
    text = printed(console, groups_table(list(groups), ZONE))
    lines = [line.rstrip() for line in text.splitlines() if line.strip(" ─")]
    assert max(map(len, lines)) <= width
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_wide_every_fact_has_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    titles, cells = shown(200, GROUP, monkeypatch=monkeypatch)
    assert titles == [
        "Group", "Priority", "File", "Description", "Response", "Alerts", "Recipients", "People", "Devices", "Exposed",
        "First → last (UTC)", "Status",
    ]  # fmt: skip
    assert cells == [
        "b04cd3c7", "high", "bill.doc", "Malicious attachment · doc", "held", "1,234", "20", "19", "7", "3",
        "2026-03-01 09:05", "new",
    ]  # fmt: skip


def test_without_a_directory_nobody_counts_people(monkeypatch: pytest.MonkeyPatch) -> None:
    titles, _ = shown(200, GROUP | {"user_count": None, "device_count": None}, monkeypatch=monkeypatch)
    assert not {"People", "Devices"} & set(titles)
    narrow = shown(80, GROUP | {"user_count": None, "device_count": None}, monkeypatch=monkeypatch)
    assert "Recip." in narrow[0]
    assert not {"People", "Devices"} & {*narrow[0], *narrow[1]}


@pytest.mark.parametrize("width", [80, 110, 200])
def test_groups_of_several_tenants_say_whose_they_are(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(width, GROUP, GROUP | {"tenant": "emea-west"}, monkeypatch=monkeypatch)
    assert [name in {cell for line in lines for cell in line} for name in ("Tenant", "default", "emea-west")] == [
        True
    ] * 3


def test_narrow_a_group_has_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    later = GROUP | {"last_detected_at": FIRST + timedelta(hours=2), "reopened_at": FIRST}
    assert shown(110, later, monkeypatch=monkeypatch)[2:] == [
        ["b04cd3c7", "bill.doc", "held", "1,234", "20", "7", "03-01 09:05", "new"],
        ["high", "Malicious attachment · doc", "3", "19", "03-01 11:05", "re-opened"],
    ]


def test_narrow_a_file_name_keeps_20_columns_and_every_count_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    worst = GROUP | {
        "description": "Malicious attachment · application/zip · Delivery note 2026-03 of the 4th.zip",
        "last_detected_at": FIRST.replace(year=2025), "status": "in_progress", "assignee": "zoe",
        "worst_disposition": "released", "released_count": 4, "alert_count": 25, "priority": "medium", "cleared_at": 1,
    }  # fmt: skip
    lines = shown(80, GROUP | {"alert_count": 25, "status": "in_progress"}, monkeypatch=monkeypatch)
    assert lines[:2] == [
        ["Group", "File", "Response", "Alerts", "Recip.", "Exposed", "Last (UTC)"],
        ["Priority", "Description", "People", "Devices", "Status"],
    ]
    assert lines[3:] == [["high", "Malicious attachment", "19", "7", "in progress"], ["doc"]]
    assert shown(90, worst, monkeypatch=monkeypatch)[2:] == [
        ["b04cd3c7", "Delivery note 2026-03 of the 4…", "released", "25", "20", "3", "2025-03-01"],
        ["medium", "Malicious attachment", "4 of 25", "19", "7", "09:05"],
        ["(cleared)", "zip", "in progress"],
        ["zoe"],
    ]


@pytest.mark.parametrize("width", [80, 85, 100])
def test_whoever_has_a_long_name_cuts_no_count_and_no_heading(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    long = GROUP | {
        "description": f"Malicious attachment · application/{'x' * 99} · {'a name ' * 20}.zip", "status": "in_progress",
        "assignee": "anna.schmidt@contoso.example", "worst_disposition": "no_action", "alert_count": 12_345,
    }  # fmt: skip
    cleared = GROUP | {"priority": "medium", "cleared_at": 1, "reopened_at": FIRST}
    lines = shown(width, long, cleared, monkeypatch=monkeypatch)
    cells = {cell for line in lines for cell in line}
    assert {cell[:6] for cell in cells if "…" in cell} <= {"a name", "Malici", "xxxxxx", "anna.s"}
    assert {"Alerts", "Recip.", "Exposed", "no action", "12,345", "1,234", "in progress", "re-opened"} <= cells


@pytest.mark.parametrize(
    ("description", "parts"),
    [
        ("Bad · application/x-zip · a.zip", Described("Bad", "zip", "a.zip")),
        ("Bad · application/octet-stream", Described("Bad", "binary", "")),
        ("Bad · a · b.doc", Described("Bad", "a", "b.doc")),
        ("Bad · report.pdf", Described("Bad", "", "report.pdf")),
        ("Bad", Described("Bad", "", "")),
    ],
)
def test_a_description_is_taken_apart(description: str, parts: Described) -> None:
    assert described({"sub_classification": "Bad", "description": description}) == parts


@pytest.mark.parametrize(
    ("worst", "released", "said"),
    [
        ("no_action", 0, "no action"), ("released", 1_234, "released"), ("released", 2, "released 2 of 1,234"),
        ("no_action", 2, "no action · 2 released"),
    ],
)  # fmt: skip
def test_the_worst_response_and_how_many_were_released(worst: str, released: int, said: str) -> None:
    group = GROUP | {"worst_disposition": worst, "released_count": released}
    assert response(group).plain == said
    assert response(group, below=True).plain.split() == said.replace(" ·", "").split()


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (FIRST + timedelta(seconds=30), "2026-03-01 09:05"),
        (FIRST + timedelta(hours=1), "2026-03-01 09:05 → 10:05"),
        (FIRST + timedelta(days=1), "2026-03-01 09:05 → 03-02 09:05"),
        (FIRST + timedelta(days=365), "2026-03-01 09:05 → 2027-03-01 09:05"),
    ],
)
def test_a_span_says_nothing_twice(last: datetime, said: str) -> None:
    assert span(GROUP | {"last_detected_at": last}, ZONE).plain == said


def test_below_stands_what_the_table_does_not_show() -> None:
    totals = Totals({"high": 1_000, "medium": 5}, 12_345, FIRST, closed=3, suppressed=1)
    assert footer(totals, [GROUP], ZONE, chosen=False).plain == (
        "\n1 of 1,005 groups · 1,000 high · 5 medium · 3 closed (--status all) · 1 alert hidden by the allow-list"
        " · 12,345 scans hidden as low · published 2026-03-01 09:05 UTC"
    )
    alone = footer(Totals({"high": 1}, 0, None), [GROUP], ZONE, chosen=False).plain
    assert alone == "\n1 group · 1 high · 0 scans hidden as low · published never"
