"""The standing pages: how one connector fares, and which urgent groups are open. Pure, nothing of Prefect.

A page stays as it is when nobody writes it any more. So each says when it was written and from when on it is not to be
believed: a connector whose polling has died must not look well.
"""

import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from flows.artifacts.markdown_format import DASH, code, facts, link, moment, number, sentence, table
from flows.artifacts.run_summary import Outcome, Run, responses
from tasks.queries.run_overview import GroupList

GRACE = timedelta(minutes=15)  # for a poll that takes its time

MEANS = {
    "ok": "Polled, complete, and records keep coming.",
    "late": "Behind: the tables end more than three polling periods and 15 minutes ago.",
    "quiet": "Polled without errors, but nothing new came in 24 hours (from a directory: in three days).",
    "failing": "The last attempts failed, or a rejected record mentions a dangerous verdict.",
    "auth_failed": "Keys, permission or region are refused: run the connection test.",
    "off": "Polling is switched off.",
    "never_run": "Nothing was ever polled.",
}
UNKNOWN = "unknown"  # where the tables cannot be read
GONE = "⏹️"  # of a connector that is not saved under this name any more
SIGN = {"ok": "✅", "late": "⚠️", "quiet": "⚠️", "never_run": "⚠️", "off": "⏸️"}  # others: ❌


class Last(NamedTuple):
    """The run after which a page is written."""

    run: Run
    outcome: Outcome


def health_page(
    connector: str, health: dict[str, Any] | None, polling: timedelta, written_at: datetime, last: Last | None = None
) -> str:
    """How the connector fares; `health` is None where the tables could not be read."""
    state = health["state"] if health else UNKNOWN
    run = [("Last run", f"{last.run.trigger}, {last.outcome.word}, {moment(last.run.began_at)}")] if last else []
    parts = [
        heading(connector, state),
        MEANS.get(state, "Its tables could not be read: see the last run."),
        _until(state, polling, written_at),
        facts([*run, *_facts(health)]),
    ]
    failure = last.outcome.says if last and last.outcome.word != "completed" else ""
    said = {failure, (health or {}).get("last_error") or ""} - {""}
    parts += [sentence(text) for text in sorted(said)]
    return "\n\n".join(parts)


def heading(connector: str, state: str) -> str:
    """The first line of a health page: it tells the state that the page shows."""
    return f"## {SIGN.get(state, '❌')} {connector}: {state.replace('_', ' ')}"


def gone_page(connector: str, fate: str, says: str, written_at: datetime) -> str:
    """The last version of a page: its connector was removed, or renamed to another name."""
    return f"## {GONE} {connector}: {fate}\n\n{says}\n\nWritten {moment(written_at)}."


def is_health(connector: str, title: str) -> bool:
    """Whether a page with this first line tells the connector's state: others may have pages of such names, too."""
    return title in [heading(connector, state) for state in (*MEANS, UNKNOWN)]


def _until(state: str, polling: timedelta, written_at: datetime) -> str:
    if state == "off":
        return f"Written {moment(written_at)}."
    if state in ("late", "never_run"):
        return f"Written **{moment(written_at)}**. If no run is under way: is the schedule on, does the worker run?"
    due = written_at + polling
    return (
        f"Written **{moment(written_at)}**. The next poll is due by {moment(due)}. If it is later than "
        f"**{moment(due + GRACE)}** and this page is the newest, polling has stopped and the state above is no longer "
        "true: is the schedule on, does the worker run?"
    )


def _facts(health: dict[str, Any] | None) -> list[tuple[str, str]]:
    if health is None:
        return []
    age = health["directory_age_hours"]
    return [
        ("Tables complete up to", moment(health["watermark"])),
        ("Last success", moment(health["last_success_at"])),
        ("Youngest record", moment(health["last_record_at"])),
        ("Failures in a row", number(health["consecutive_failures"])),
        ("Gaps", number(health["gaps"])),
        ("Alerts in 24 h", number(health["alerts_24h"])),
        ("Rejects in 24 h", number(health["rejects_24h"])),
        ("Keys expire", moment(health["key_expires_at"])),
        ("Age of the directory", DASH if age is None else f"{age // 24} days, {age % 24} h"),
    ]


def _named(row: dict[str, Any]) -> str:
    """The beginning of the id, which every command takes, as a link to the details; the page is narrow."""
    short = row["group_id"][:8]
    details = link(short, row["detection_details_url"])
    return code(short) if details == DASH else details


def _made(urgent: GroupList, written_at: datetime) -> str:
    return f"Written {moment(written_at)} from revision {urgent.revision} of the tables"


def revision_of(page: str) -> int:
    """From which revision of the tables a page of open groups was made; 0 where there is none, or none is named."""
    found = re.search(r"^Written .* from revision (\d+) of the tables", page, re.MULTILINE)
    return int(found[1]) if found else 0


def urgent_page(urgent: GroupList, written_at: datetime) -> str:
    """The open groups of high priority, latest first."""
    if not urgent.rows:
        return f"## No open group of high priority\n\n{_made(urgent, written_at)}."
    more = urgent.found - len(urgent.rows)
    tenants = len({row["tenant"] for row in urgent.rows}) > 1
    titles = ["Last alert (UTC)", "What", "Response", "Alerts:", "Users:", "Devices:", "Group"]
    rows = [
        [
            f"{row['last_detected_at']:%m-%d %H:%M}",
            code(row["description"], 120),
            responses(row["responses"]),
            *(number(row[name]) for name in ("alert_count", "user_count", "device_count")),
            _named(row),
            *([code(row["tenant"])] if tenants else []),
        ]
        for row in urgent.rows
    ]
    return "\n\n".join(
        [
            f"## {urgent.found:,} open group{'' if urgent.found == 1 else 's'} of high priority",
            f"{_made(urgent, written_at)}. Latest first"
            + (f"; {more:,} more are in the relation `alert_groups`." if more else "."),
            table([*titles, *(["Tenant"] if tenants else [])], rows),
        ]
    )
