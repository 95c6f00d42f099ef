"""The dashboards as Markdown, without Prefect: the health of a connector, and the open groups of high priority.

A page is only written at the end of a run. So each contains the time when it was written, and the health page also the
time when the next one is overdue: a connector whose polling has stopped must not look healthy.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from flows.artifacts.markdown_format import DASH, code, facts, link, moment, number, sentence, table
from flows.artifacts.run_summary import Outcome, Run, responses
from tasks.formatting import format_count
from tasks.queries.run_overview import GroupList

GRACE = timedelta(minutes=15)  # for a slow poll

STATES = {
    "ok": "Complete, and records are arriving.",
    "late": "Behind by more than three polling intervals and 15 minutes.",
    "quiet": "Polled without errors, but no new record in 24 hours (for a directory: no change in three days).",
    "failing": "The last attempts failed, or a rejected record contains a dangerous verdict.",
    "auth_failed": "The service refuses the keys, the permission or the region. Run the connection test.",
    "off": "Polling is switched off.",
    "never_run": "Not polled yet.",
}
UNKNOWN = "unknown"  # the tables could not be read
ICONS = {"ok": "✅", "late": "⚠️", "quiet": "⚠️", "never_run": "⚠️", "off": "⏸️"}  # others: ❌


class LastRun(NamedTuple):
    """The run after which a page is written."""

    run: Run
    outcome: Outcome


def health_page(
    connector: str, health: dict[str, Any] | None, polling: timedelta, written_at: datetime, last: LastRun
) -> str:
    """`health`: row of `connector_health`; None if the tables could not be read."""
    state = health["state"] if health else UNKNOWN
    run = ("Last run", f"{last.run.trigger}, {last.outcome.word}, {moment(last.run.began_at)}")
    parts = [
        f"## {ICONS.get(state, '❌')} {connector}: {state.replace('_', ' ')}",
        STATES.get(state, "The tables could not be read. See the last run."),
        _validity(state, polling, written_at),
        facts([run, *_facts(health)]),
    ]
    failure = last.outcome.message if last.outcome.word != "completed" else ""
    errors = {failure, (health or {}).get("last_error") or ""} - {""}
    parts += [sentence(text) for text in sorted(errors)]
    return "\n\n".join(parts)


def _validity(state: str, polling: timedelta, written_at: datetime) -> str:
    if state == "off":
        return f"Written {moment(written_at)}."
    if state in ("late", "never_run"):
        return f"Written **{moment(written_at)}**. If no run is active, check the schedule and the worker."
    due = written_at + polling
    return (
        f"Written **{moment(written_at)}**. The next poll is due by {moment(due)}. If it is later than "
        f"**{moment(due + GRACE)}** and this page is the newest, polling has stopped and the state above is no longer "
        "true. Check the schedule and the worker."
    )


def _facts(health: dict[str, Any] | None) -> list[tuple[str, str]]:
    if health is None:
        return []
    age = health["directory_age_hours"]
    return [
        ("Complete until", moment(health["watermark"])),
        ("Last success", moment(health["last_success_at"])),
        ("Newest record", moment(health["last_record_at"])),
        ("Consecutive failures", number(health["consecutive_failures"])),
        ("Gaps", number(health["gaps"])),
        ("Alerts, last 24 h", number(health["alerts_24h"])),
        ("Rejects, last 24 h", number(health["rejects_24h"])),
        ("Keys expire", moment(health["key_expires_at"])),
        ("Directory age", DASH if age is None else f"{age // 24} days, {age % 24} h"),
    ]


def _group_link(row: dict[str, Any]) -> str:
    """The first digits of the ID, which every command accepts, as a link to the details; the page is narrow."""
    short = row["group_id"][:8]
    details = link(short, row["detection_details_url"])
    return code(short) if details == DASH else details


def urgent_page(groups: GroupList, written_at: datetime) -> str:
    """The open groups of high priority, latest first."""
    if not groups.rows:
        return f"## No open group of high priority\n\nWritten {moment(written_at)}."
    more = groups.found - len(groups.rows)
    tenants = len({row["tenant"] for row in groups.rows}) > 1
    titles = ["Last alert (UTC)", "Description", "Responses", "Alerts:", "Users:", "Devices:", "Group ID"]
    rows = [
        [
            f"{row['last_detected_at']:%m-%d %H:%M}",
            code(row["description"], 120),
            responses(row["responses"]),
            *(number(row[name]) for name in ("alert_count", "user_count", "device_count")),
            _group_link(row),
            *([code(row["tenant"])] if tenants else []),
        ]
        for row in groups.rows
    ]
    return "\n\n".join(
        [
            f"## {format_count(groups.found, 'open group')} of high priority",
            f"Written {moment(written_at)}. Latest first"
            + (f"; {more:,} more are in the relation `alert_groups`." if more else "."),
            table([*titles, *(["Tenant"] if tenants else [])], rows),
        ]
    )
