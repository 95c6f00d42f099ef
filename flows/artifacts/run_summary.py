"""The page and the table of groups of a poll or backfill, as Markdown and rows, without Prefect."""

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
    message: str


class Run(NamedTuple):
    """The run that a page is about."""

    connector: str
    trigger: str
    began_at: datetime
    window: tuple[Interval, ...] = ()
    notes: tuple[str, ...] = ()
    """which parts of the requested time are not fetched"""

    @property
    def name(self) -> str:
        """The connector's name as safe Markdown; an invalid name was typed by a person."""
        return self.connector if NAME.fullmatch(self.connector) else code(self.connector)


def summary_page(run: Run, outcome: Outcome, stats: RunStats, after: Overview | None) -> str:
    """All counts of a run; `after` is None if the tables could not be read."""
    parts = [
        f"## {run.name}: {run.trigger} {outcome.word}",
        _time_range(run),
        *(f"{note[0].upper()}{note[1:]}." for note in run.notes),
        *([sentence(outcome.message)] if outcome.word != "completed" else []),
        facts(_counts(stats)),
    ]
    if stats.reasons:
        parts += ["### Rejected records", _reasons(stats)]
    words = [*sorted(stats.unseen), *(f"field: {name}" for name in sorted(stats.leftover))]
    if words:
        parts += ["### Unrecognised values", ", ".join(map(code, words[:REASONS])) + _more(len(words), REASONS)]
    if after and after.gaps:
        parts += ["### Gaps in coverage", _gaps(after)]
    if after and after.health and (after.health["directory_age_hours"] or 0) > OLD_DIRECTORY:
        days = after.health["directory_age_hours"] // 24
        parts.append(f"**The directory is {days} days old.** People added since then are missing. Import it again.")
    return "\n\n".join(parts)


def group_rows(groups: GroupList, opened: set[str]) -> list[dict[str, Any]]:
    """Rows of a table artifact; cells are safe as plain text and as Markdown, because Prefect's two UIs differ."""
    return [
        {
            "priority": row["priority"],
            "group": "new" if row["group_id"].replace("-", "") in opened else "changed",
            "description": code(row["description"], 120),
            "responses": responses(row["responses"]),
            "alerts": row["alert_count"],
            "users": DASH if row["user_count"] is None else row["user_count"],  # unknown without a directory
            "devices": DASH if row["device_count"] is None else row["device_count"],
            "details": address(row["detection_details_url"]) or DASH,
            "group id": row["group_id"],
        }
        for row in groups.rows
    ]


def groups_title(groups: GroupList, stats: RunStats) -> str:
    """The title of the table of groups, with the number of groups it leaves out."""
    more = groups.found - len(groups.rows)
    count = f"{'more than ' if len(stats.groups) >= MAX_GROUP_IDS else ''}{groups.found:,}"
    title = f"New and changed alert groups: {count}, most urgent first."
    return f"{title} {more:,} more are in the relation `alert_groups`." if more else title


def responses(counts: list[dict[str, Any]] | None) -> str:
    """The most frequent responses in the service's words, with the number of alerts."""
    shown = [f"{code(row['response'] or 'none reported', 60)} ({row['count']:,})" for row in (counts or [])[:3]]
    return ", ".join(shown) + _more(len(counts or []), 3) or DASH


def _time_range(run: Run) -> str:
    if not run.window:
        return f"Started {moment(run.began_at)}."
    fetched = sum((interval.end - interval.start for interval in run.window), timedelta())
    return (
        f"Requested time: {moment(run.window[0].start)} to {moment(run.window[-1].end)} "
        f"({format_duration(fetched)} in total). Started {moment(run.began_at)}."
    )


def _counts(stats: RunStats) -> list[tuple[str, str]]:
    late_by = f", by up to {format_duration(stats.late_by)}" if stats.late else ""
    slices = f"{number(stats.slices)} loaded, {number(stats.failed)} failed, {number(stats.pages)} pages"
    return [
        ("Received", number(stats.received)),
        ("Accepted", number(stats.accepted)),
        ("… new", number(stats.new)),
        ("… changed", number(stats.changed)),
        ("… unchanged", number(stats.duplicates)),
        (f"… {NOT_STORED}", number(stats.expired)),
        ("Rejected", number(stats.rejected)),
        ("Low priority, no alert", number(stats.low)),
        ("**Alerts**, new or raised", f"**{number(stats.alerts)}**"),
        ("… high", number(stats.high)),
        ("… medium", number(stats.alerts - stats.high)),
        ("… hidden by the allow-list", number(stats.suppressed)),
        ("Exposures found", number(stats.exposures)),
        ("Visible again after an expiry", number(stats.shown_again)),
        ("New groups", number(len(stats.opened))),
        ("Changed groups", number(len(stats.groups - stats.opened))),
        ("Late, found by the daily re-check", f"{number(stats.late)}{late_by}"),
        ("Outside the requested time", number(stats.outside)),
        ("Rate-limited requests", number(stats.refusals)),
        ("Slices", slices),
        ("Newest record", moment(stats.newest_at)),
    ]


def _reasons(stats: RunStats) -> str:
    rows = [(code(reason, 200), number(count)) for reason, count in stats.reasons.most_common(REASONS)]
    return table(("Reason", "Records:"), rows) + _below(len(stats.reasons), REASONS)


def _gaps(after: Overview) -> str:
    rows = [(moment(gap.start), moment(gap.end), format_duration(gap.end - gap.start)) for gap in after.gaps]
    found = after.health["gaps"] if after.health else len(rows)
    return table(("From", "To", "Length"), rows) + _below(found, GAPS)


def _more(found: int, shown: int) -> str:
    return f" and {found - shown:,} more" if found > shown else ""


def _below(found: int, shown: int) -> str:
    return f"\n\n{_more(found, shown).strip()}" if found > shown else ""
