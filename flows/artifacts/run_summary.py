"""What the page of a poll or backfill says, as Markdown and rows: pure, nothing of Prefect."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from flows.artifacts.markdown_format import DASH, address, code, facts, moment, number, sentence, table
from tasks.connectors.names import NAME
from tasks.formatting import format_duration
from tasks.ingest.run_stats import MAX_GROUP_IDS, NOT_STORED, OLD_DIRECTORY, RunStats
from tasks.queries.run_overview import GAPS, GroupList, Overview
from tasks.window import Interval

REASONS = 20


class Outcome(NamedTuple):
    """How a run ended."""

    word: str
    """completed, failed, skipped, stopped"""
    says: str


class Run(NamedTuple):
    """Which run the page is about."""

    connector: str
    trigger: str
    began_at: datetime
    window: tuple[Interval, ...] = ()
    notes: tuple[str, ...] = ()
    """what of the time asked for is not fetched"""

    @property
    def name(self) -> str:
        """The connector's name as a heading shows it; a name that cannot be one was typed by somebody."""
        return self.connector if NAME.fullmatch(self.connector) else code(self.connector)


def summary_page(run: Run, outcome: Outcome, summary: RunStats, after: Overview | None) -> str:
    """Everything in figures; `after` is None where the tables could not be read."""
    parts = [
        f"## {run.name}: {run.trigger} {outcome.word}",
        _when(run),
        *(f"{note[0].upper()}{note[1:]}." for note in run.notes),
        *([sentence(outcome.says)] if outcome.word != "completed" else []),
        facts(_counts(summary)),
    ]
    if summary.reasons:
        parts += ["### Rejected records", _reasons(summary)]
    words = [*sorted(summary.unseen), *(f"field: {name}" for name in sorted(summary.leftover))]
    if words:
        parts += ["### Never seen before", ", ".join(map(code, words[:REASONS])) + _more(len(words), REASONS)]
    if after and after.gaps:
        parts += ["### Time that is still missing", _gaps(after)]
    if after and after.health and (after.health["directory_age_hours"] or 0) > OLD_DIRECTORY:
        days = after.health["directory_age_hours"] // 24
        parts.append(f"**The directory is {days} days old.** People who came since are not known: import it again.")
    return "\n\n".join(parts)


def group_rows(listed: GroupList, opened: set[str]) -> list[dict[str, Any]]:
    """Rows of a table artifact. One UI shows its cells as plain text, the other one as Markdown."""
    return [
        {
            "priority": row["priority"],
            "group": "new" if row["group_id"].replace("-", "") in opened else "changed",
            "description": code(row["description"], 120),
            "responses": responses(row["responses"]),
            "alerts": row["alert_count"],
            "users": DASH if row["user_count"] is None else row["user_count"],  # without a directory nobody knows
            "devices": DASH if row["device_count"] is None else row["device_count"],
            "details": address(row["detection_details_url"]) or DASH,
            "group id": row["group_id"],
        }
        for row in listed.rows
    ]


def groups_title(listed: GroupList, summary: RunStats) -> str:
    """What the table of groups is, and what is left out of it."""
    more = listed.found - len(listed.rows)
    counted = f"{'more than ' if len(summary.groups) >= MAX_GROUP_IDS else ''}{listed.found:,}"
    title = f"New and changed alert groups: {counted}, most urgent first."
    return f"{title} {more:,} more are in the relation `alert_groups`." if more else title


def responses(listed: list[dict[str, Any]] | None) -> str:
    """What was done, in the service's words, with how many alerts each."""
    several = [f"{code(each['response'] or 'none told', 60)} ({each['count']:,})" for each in (listed or [])[:3]]
    return ", ".join(several) + _more(len(listed or []), 3) or DASH


def _when(run: Run) -> str:
    if not run.window:
        return f"Began {moment(run.began_at)}."
    fetched = sum((each.end - each.start for each in run.window), timedelta())
    return (
        f"Time asked for: {moment(run.window[0].start)} to {moment(run.window[-1].end)} "
        f"({format_duration(fetched)} in all). Began {moment(run.began_at)}."
    )


def _counts(summary: RunStats) -> list[tuple[str, str]]:
    slices = f"{number(summary.slices)} loaded, {number(summary.failed)} failed, {number(summary.pages)} pages"
    rows = [
        ("Received", number(summary.received)),
        ("Accepted", number(summary.accepted)),
        ("… new", number(summary.new)),
        ("… changed", number(summary.changed)),
        ("… known already", number(summary.duplicates)),
        (f"… {NOT_STORED}", number(summary.expired)),
        ("Rejected", number(summary.rejected)),
        ("Low: kept, no alert", number(summary.low)),
        ("**Alerts**, new or more urgent", f"**{number(summary.alerts)}**"),
        ("… high", number(summary.high)),
        ("… medium", number(summary.alerts - summary.high)),
        ("… hidden by the allow-list", number(summary.suppressed)),
        ("Exposures found", number(summary.exposures)),
        ("Shown again after an expiry", number(summary.shown_again)),
        ("Groups, new", number(len(summary.opened))),
        ("Groups, changed", number(len(summary.groups - summary.opened))),
        ("Found late, by the daily re-check", f"{number(summary.late)}{_by(summary.late_by) if summary.late else ''}"),
        ("Outside the time asked for", number(summary.outside)),
        ("Requests refused for the quota", number(summary.refusals)),
        ("Slices", slices),
        ("Youngest record", moment(summary.newest_at)),
    ]
    return rows


def _by(longest: timedelta) -> str:
    return f", by up to {format_duration(longest)}"


def _reasons(summary: RunStats) -> str:
    rows = [(code(reason, 200), number(count)) for reason, count in summary.reasons.most_common(REASONS)]
    return table(("Reason", "Records:"), rows) + _below(len(summary.reasons), REASONS)


def _gaps(after: Overview) -> str:
    rows = [(moment(gap.start), moment(gap.end), format_duration(gap.end - gap.start)) for gap in after.gaps]
    found = after.health["gaps"] if after.health else len(rows)
    return table(("From", "To", "Length"), rows) + _below(found, GAPS)


def _more(found: int, shown: int) -> str:
    return f" and {found - shown:,} more" if found > shown else ""


def _below(found: int, shown: int) -> str:
    return f"\n\n{_more(found, shown).strip()}" if found > shown else ""
