"""What each command prints, from made-up rows: `python -m tests.flows.cli.views` writes the golden files again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

from rich.console import Console, Group, RenderableType

from flows.cli.views import allow_list, group, groups, health, maintenance
from tasks.queries.lookups import GroupDetails, Totals
from tests.flows.cli.printing import console_of, printed

GOLDEN = Path(__file__).with_name("golden")
NARROW, WIDE = 80, 130
ZONE = ZoneInfo("Europe/Berlin")
FIRST = datetime(2025, 3, 1, 9, 5, tzinfo=UTC)  # of another year, so that short dates have theirs
PERSON = "anna.schmidt@a.subsidiary.that.has.a.long.name.example"
COMMENT = "Seen before: the invoices of this vendor are genuine, see https://wiki.example/" + "x" * 60

ORDINARY: dict[str, Any] = {
    "group_id": "b04cd3c7-2111-0a22-00f5-2fa671933a17", "priority": "high", "cleared_at": None,
    "sub_classification": "Malicious attachment", "description": "Malicious attachment · application/msword · bill.doc",
    "worst_disposition": "held", "released_count": 0, "alert_count": 1_234, "recipient_count": 20, "user_count": 19,
    "device_count": 7, "exposure_count": 3, "first_detected_at": FIRST, "last_detected_at": FIRST, "product": "example",
    "status": "new", "close_reason": None, "reopened_at": FIRST, "reopened_by": "new_alert", "assignee": None,
    "tenant": "default", "unmatched_count": 1, "responses": [{"response": "hold, none", "count": 1_234}],
    "verdicts": ["malicious"], "times_seen_before": 2, "previous_group_id": "d0fb63d8-0000-4000-8000-000000000001",
    "previous_close_reason": "false_positive", "connectors": ["acme"], "detection_details_url": None,
    "suppressed_count": 1, "key_indicators": [{"kind": "file hash", "value": "ab" * 32}],
    "recipients": [PERSON, "bo@contoso.example"], "users": ["Anna Schmidt"], "devices": ["LAPTOP-0123456789"],
}  # fmt: skip
LONG = ORDINARY | {
    "group_id": "ffe01234-2111-0a22-00f5-2fa671933a17", "priority": "medium", "cleared_at": FIRST,
    "description": f"Malicious attachment · application/{'x' * 40} · {'a long name ' * 6}.zip", "status": "in_progress",
    "assignee": PERSON, "worst_disposition": "released", "released_count": 4, "last_detected_at": FIRST + timedelta(2),
    "tenant": "emea-west",
}  # fmt: skip
ALERT = {
    "detected_at": FIRST, "verdict": "malicious", "cleared_at": None, "response": "Message held", "recipient": PERSON,
    "sender": f"b{PERSON}", "subject": "Invoice of last month, second reminder",
}  # fmt: skip
EXPOSURE = {
    "detected_at": FIRST, "verdict": "safe", "disposition": "no_action", "recipient": PERSON, "direction": "before",
    "also_alerted": True, "devices": ["LAPTOP-0123456789", "DESKTOP-1"],
}  # fmt: skip
DECISION = {
    "at": FIRST, "by": PERSON, "alerts": 12_345, "status": "closed", "close_reason": "false_positive",
    "assignee": PERSON, "comment": COMMENT,
}  # fmt: skip
ENTRY = {
    "entry_id": "0123abcd" * 4, "kind": "sender_domain", "value": PERSON, "hidden_count": 12_345, "active": False,
    "ended_at": FIRST, "expires_at": None, "reason": COMMENT, "author": PERSON, "tenant": "default",
}  # fmt: skip
HEALTH = {
    "connector": "acme", "state": "auth_failed", "lag_seconds": 7_260, "last_success_at": FIRST,
    "last_record_at": FIRST, "alerts_24h": 1_234, "rejects_24h": 0, "gaps": 1, "messages_waiting": 2,
    "consecutive_failures": 12, "key_expires_at": None, "last_error": "The keys are refused.", "tenant": "default",
    "directory_age_hours": 24 * 40,
}  # fmt: skip
SPLIT = {
    "group_id": "d0fb63d8" * 4, "file_name": "quarterly report of the purchasing department.docx", "alerts": 12_345,
    "parts": 8, "largest": [{"group_id": f"{part}c7ad000" * 4, "alerts": 1_234} for part in range(5)],
}  # fmt: skip
REGROUP = {
    "group_by": "hash+response", "group_gap_hours": 24, "group_span_hours": 168, "unlike_settings": ["group_by"],
    "groups_before": 1, "groups_after": 8, "alerts": 12_345, "alerts_moved": 9, "groups_split": 1, "groups_joined": 0,
    "split": [SPLIT], "joined": [],
}  # fmt: skip
REPLAY = {
    "what": ["priorities"], "scans_changed": 12_345, "alerts_raised": 3, "alerts_cleared": 0, "rejects_accepted": 1,
    "rejects_left": 2, "changes_not_told": 4, "changes": [{
        "what": "priorities", "said": "timeout", "old": "medium (No verdict (timeout), no-verdict-timeout)",
        "new": "high (No verdict (timeout), no-verdict-timeout)", "count": 12_345, "example": "d0fb63d8" * 4,
    }],
}  # fmt: skip
TOTALS = Totals({"high": 1_000, "medium": 5}, 12_345, FIRST, closed=3, suppressed=1)


def _alerts() -> RenderableType:
    listed = [ORDINARY, LONG]
    return Group(groups.groups_table(listed, ZONE), groups.footer(TOTALS, listed, ZONE, chosen=False))


def _alerts_without_directory() -> RenderableType:
    return groups.groups_table([ORDINARY | {"user_count": None, "device_count": None}], ZONE)


def _group() -> RenderableType:
    return group.group_page(GroupDetails(LONG, None, [ALERT], [EXPOSURE], [DECISION]), ZONE)


PAGES: dict[str, Callable[[], RenderableType]] = {
    "alerts": _alerts,
    "alerts-without-directory": _alerts_without_directory,
    "group": _group,
    "allow-list": lambda: allow_list.entries_table([ENTRY], ZONE),
    "health": lambda: Group(health.health_table([HEALTH], ZONE), *health.health_errors([HEALTH])),
    "regroup": lambda: maintenance.regroup_page(REGROUP),
    "replay": lambda: maintenance.replay_page(REPLAY),
    "retention": lambda: maintenance.retention_page({"removed": {"low scans": 1_234, "rejects": 0}}),
}


def page(name: str) -> str:
    """The page on a narrow and on a wide terminal."""
    return "\n".join(f"{'=' * width}\n{_printed(name, width)}" for width in (NARROW, WIDE))


def _printed(name: str, width: int) -> str:
    console = console_of(width)
    with _on(console):
        text = printed(console, PAGES[name]())
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@contextmanager
def _on(console: Console) -> Iterator[None]:
    """The views print on this console."""
    views = (allow_list, group, groups, health, maintenance)
    patches = [mock.patch.object(view, "out", console) for view in views if hasattr(view, "out")]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for each in PAGES:
        (GOLDEN / f"{each}.txt").write_text(page(each), encoding="utf-8")
