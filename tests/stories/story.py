"""Three days in the life of some alerts, told step by step; after each step the tables as text.

`python -m tests.stories.story` writes the expected files anew: read the difference before you commit it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from tasks.ingest.pull_session import begin
from tasks.settings import Settings
from tasks.store.connection import Transaction
from tasks.store.factory import open_store
from tasks.store.store import Store
from tasks.triage.allow_list import Entry, add
from tasks.triage.decision import Decision
from tasks.triage.decisions import decide
from tests.scans import HOUR, KEEP_ALL, START, load, rows, scan, source

EXPECTED = Path(__file__).parent / "three_days"
CLOCKS = (
    "tasks.ingest.load",
    "tasks.triage.decisions",
    "tasks.triage.allow_list",
    "tasks.ingest.coverage",
    "tasks.ingest.pull_session",
)

INVOICE = {"file_name": "Invoice.html", "file_sha256": "a1" * 32, "sender": "billing@evil.example"}
PLANS = {"file_name": "Plans.zip", "file_sha256": "b2" * 32, "sender": "site@partner.example"}
LETTER = {"file_name": "Letter.docm", "file_sha256": "c3" * 32, "sender": "news@good.example"}

TABLES = {
    "alert_groups": """
        SELECT group_id, priority, file_names[1] AS file, alert_count AS alerts, suppressed_count AS hidden,
            recipient_count AS recipients, exposure_count AS exposed, status, close_reason, assignee, reopened_at,
            reopened_by, previous_group_id AS previous, previous_close_reason, times_seen_before AS before, cleared_at
        FROM alert_groups ORDER BY first_detected_at, group_id""",
    "alerts": """
        SELECT detected_at, file_name, recipient, group_id, verdict, priority, status, close_reason, assignee,
            status_changed_at, raised_at, cleared_at
        FROM alerts ORDER BY detected_at, recipient""",
    "suppressed_alerts": """
        SELECT detected_at, file_name, recipient, group_id, status, reason, expires_at
        FROM suppressed_alerts ORDER BY detected_at""",
    "exposures": """
        SELECT detected_at, recipient, group_id, verdict, direction, also_alerted, first_alert_at
        FROM exposures ORDER BY detected_at""",
    "triage_log": """
        SELECT t."at", t."by", t.group_id, s.recipient, t.status, t.close_reason, t.assignee, t.comment
        FROM triage_log t JOIN scans s ON s.scan_id = t.alert_id ORDER BY t."at", s.detected_at""",
    "allow_list": "SELECT kind, value, reason, author, created_at, expires_at, active, hidden_count FROM allow_list",
    "group_aliases": "SELECT old_group_id, group_id, since FROM group_aliases ORDER BY old_group_id",
    "group_changes": """
        SELECT c."at", s.recipient, c.old_group_id, c.new_group_id
        FROM group_changes c JOIN scans s ON s.scan_id = c.alert_id ORDER BY c."at", s.detected_at""",
    "scan_changes": """
        SELECT c.seen_at, s.recipient, c.field, c.old_value, c.new_value
        FROM scan_changes c JOIN scans s USING (scan_id) ORDER BY c.seen_at, s.recipient, c.field""",
}


def hours(day: int, clock: float) -> float:
    """Hours since the story began: day 1 at 8.5 is half past eight of the first day."""
    return (day - 1) * 24 + clock


@contextmanager
def clock_at(hour: float) -> Iterator[float]:
    """The program's clock shows this hour."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return START + timedelta(hours=hour)

    with ExitStack() as stack:
        for module in CLOCKS:
            stack.enter_context(mock.patch(f"{module}.datetime", Stopped))
        yield hour


def mail(day: int, clock: float, who: str, verdict: str, of: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A scan of that hour, for one person; when it was fetched, the poll says."""
    return scan(hours(day, clock), verdict, **{"recipient": f"{who}@contoso.example", "message_id": who, **of, **more})


def told(home: Path) -> Iterator[tuple[str, str]]:
    """Title and tables of each step, in order."""
    store = open_store(Settings(home=home, **KEEP_ALL))
    for number, (title, hour, step) in enumerate(STEPS, start=1):
        with clock_at(hour):
            did = step(store, hour)
        text = f"{number}. Day {int(hour // 24) + 1}, {hour % 24:02.0f}:00: {title}\n   {did}\n"
        with store.transaction() as transaction:
            ids = dict(transaction.rows("SELECT group_id::VARCHAR, 'G' || created_no FROM internal.group_ids"))
            yield f"{number:02}", text + "".join(f"\n{name}\n{_table(transaction, name, ids)}" for name in TABLES)


def _table(transaction: Transaction, name: str, names: dict[str, str]) -> str:
    frame = transaction.frame(f"SELECT COLUMNS(*)::VARCHAR FROM (SELECT * FROM ({TABLES[name]}))")
    cells = [frame.columns, *([_cell(value, names) for value in row] for row in frame.rows())]
    if len(cells) == 1:
        return "  none\n"
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "".join(f"  {line.rstrip()}\n" for line in lines)


def _cell(value: str | None, names: dict[str, str]) -> str:
    """Groups by the order of their ids; moments as day and clock."""
    if value is None:
        return "-"
    if value.startswith(f"{START:%Y-%m}-") and value.endswith("+00"):
        return f"day {int(value[8:10])} {value[11:16]}"
    return names.get(value, value.removesuffix("@contoso.example"))


def _polled(*mails: dict[str, Any]) -> Callable[[Store, float], str]:
    """A poll that brings these."""

    def step(store: Store, hour: float) -> str:
        shown_again = begin(store, source(), START + hour * HOUR).shown_again
        read = [each | {"fetched_at": START + hour * HOUR} for each in mails]
        loaded = load(store, [read])
        return (
            f"{loaded.new} new, {loaded.changed} changed, {loaded.alerts} alerts, {loaded.suppressed} of them hidden, "
            f"{loaded.exposures} exposures found, {shown_again} shown again"
        )

    return step


def _decided(decision: Decision, file_name: str) -> Callable[[Store, float], str]:
    """A decision on every group of a file."""

    def step(store: Store, hour: float) -> str:
        sql = "SELECT group_id::VARCHAR FROM alert_groups WHERE file_names[1] = $name"
        groups = [row[0] for row in rows(store, sql, name=file_name)]
        decided = decide(store, decision, groups=groups)
        return f"{decided.alerts} alerts of {len(decided.groups)} groups"

    return step


def _allowed(store: Store, hour: float) -> str:
    ends = START + timedelta(hours=hours(3, 8))
    _, hidden = add(store, Entry("sender_domain", "good.example", "our newsletter", "ann", ends))
    return f"hides {hidden.alerts} alerts and {hidden.groups} groups as a whole"


STEPS: list[tuple[str, float, Callable[[Store, float], str]]] = [
    (
        "the first poll brings a campaign, a newsletter with macros, and plans that look harmless",
        hours(1, 9),
        _polled(
            mail(1, 7, "ann", "unsafe", LETTER),
            mail(1, 8, "bob", "malicious", INVOICE),
            mail(1, 8.25, "cid", "malicious", INVOICE, response="user release, none"),
            mail(1, 8.5, "dan", "timeout", INVOICE),
            mail(1, 8.5, "bob", "safe", PLANS, message_id="plans 1"),
            mail(1, 8.75, "eva", "safe", PLANS, message_id="plans 2"),
        ),
    ),
    (
        "zoe takes the campaign into work",
        hours(1, 10),
        _decided(Decision("in_progress", "zoe", assignee="zoe", comment="calling cid"), "Invoice.html"),
    ),
    ("ann closes the newsletter", hours(1, 11), _decided(Decision("closed", "ann", "benign"), "Letter.docm")),
    ("ann puts its domain on the allow-list, until day 3 at 8", hours(1, 12), _allowed),
    (
        "a re-check finds that the plans for bob were malicious: eva is exposed; dan's invoice is malicious, too",
        hours(1, 20),
        _polled(
            mail(1, 8.5, "bob", "malicious", PLANS, message_id="plans 1"),
            mail(1, 8.5, "dan", "malicious", INVOICE),
        ),
    ),
    (
        "zoe closes the campaign",
        hours(1, 21),
        _decided(Decision("closed", "zoe", "true_positive", comment="all three mails removed"), "Invoice.html"),
    ),
    (
        "the campaign goes on, more than a day later: another group. The next newsletter is hidden by the load",
        hours(2, 21),
        _polled(mail(2, 6.5, "eva", "unsafe", LETTER), mail(2, 20, "fay", "malicious", INVOICE)),
    ),
    (
        "a late row joins both groups of the campaign, and the closed one comes back",
        hours(3, 2),
        _polled(mail(1, 20.5, "gus", "malicious", INVOICE)),
    ),
    ("a poll that brings nothing, after the entry's expiry: the newsletter is back", hours(3, 9), _polled()),
    (
        "the verdict of the plans turns back: nobody is exposed any more, and the alert stays, cleared",
        hours(3, 10),
        _polled(mail(1, 8.5, "bob", "safe", PLANS, message_id="plans 1")),
    ),
    (
        "zoe closes the campaign again",
        hours(3, 11),
        _decided(Decision("closed", "zoe", "true_positive"), "Invoice.html"),
    ),
]


def renew() -> None:
    """Write the expected files anew."""
    with TemporaryDirectory() as home:
        for name, text in told(Path(home)):
            (EXPECTED / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    renew()
