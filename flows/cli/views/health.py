"""The page of `health`."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from flows.console.tables import Fact, responsive_table
from flows.console.terminal import moment, number, out, short_moment, shown, zone_name
from tasks.formatting import format_count, format_duration
from tasks.ingest.run_stats import OLD_DIRECTORY

STATE = {"ok": "green", "off": "dim", "late": "yellow", "quiet": "yellow", "never_run": "yellow"}  # others: red


def health_table(rows: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    """One line for each connector, two on a narrow terminal."""
    name = Fact("Connector", lambda row: shown(row["connector"]), wraps=True)
    state = Fact("State", lambda row: state_text(row["state"]))
    lag = Fact("Behind", lambda row: behind(row["lag_seconds"]), right=True)
    success = Fact(f"Last success\n({zone_name(zone)})", lambda row: moment(row["last_success_at"], zone))
    record = Fact("Newest record", lambda row: moment(row["last_record_at"], zone))
    shortly = Fact(f"Last success ({zone_name(zone)})", lambda row: short_moment(row["last_success_at"], zone))
    newest = Fact("Newest record", lambda row: short_moment(row["last_record_at"], zone))
    alerts, rejects = _count("Alerts\n24 h", "alerts_24h"), _count("Rejects\n24 h", "rejects_24h")
    gaps, failures = _count("Gaps", "gaps"), _count("Failures\nin a row", "consecutive_failures")
    expiry = Fact("Keys expire", lambda row: moment(row["key_expires_at"], zone, "%Y-%m-%d"))
    wide = [(fact,) for fact in (name, state, lag, success, record, alerts, rejects, gaps, failures, expiry)]
    narrow = [
        (name, state), (lag, gaps), (shortly, newest), (alerts._replace(title="Alerts 24 h"),
        rejects._replace(title="Rejects 24 h")), (expiry, failures._replace(title="Failures", right=False)),
    ]  # fmt: skip
    return responsive_table(rows, wide, narrow, out.width)


def _count(title: str, name: str) -> Fact:
    return Fact(title, lambda row: number(row[name]), right=True)


def state_text(state: str | None) -> Text:
    """A connector's state in words and in its colour."""
    return shown(state and state.replace("_", " "), STATE.get(state or "", "bold red"))


def health_errors(rows: list[dict[str, Any]]) -> list[Text]:
    """A line for each failing or switched-off connector, outdated directory, and tenant with waiting messages."""
    off = [row["connector"] for row in rows if row["state"] == "off"]
    errors = [(row["connector"], row["last_error"]) for row in rows if row["last_error"]]
    ages = {row["tenant"]: row["directory_age_hours"] or 0 for row in rows}
    waiting = {row["tenant"]: row["messages_waiting"] for row in rows}
    return [
        *(_warning(shown(name, "bold"), "  is not polled: its schedule is switched off.") for name in off),
        *(
            Text.assemble(("✘ ", "bold red"), shown(name, "bold"), "  ", shown(error, limit=1000))
            for name, error in errors
        ),
        *(
            _warning("directory of ", shown(tenant, "bold"), "  ", old_directory(hours // 24))
            for tenant, hours in ages.items()
            if hours > OLD_DIRECTORY
        ),
        *(
            _warning(
                shown(tenant, "bold"),
                f"  {format_count(count, 'message')} could not be sent yet. Look at the relation waiting_messages.",
            )
            for tenant, count in waiting.items()
            if count
        ),
    ]


def _warning(*parts: Text | str) -> Text:
    return Text.assemble(("! ", "bold yellow"), *parts)


def old_directory(days: int) -> Text:
    """The consequence of an outdated directory."""
    return Text(f"{days} days old: people and devices added since are missing. Import it again.", "yellow")


def behind(seconds: int | None) -> Text:
    """How long ago, in the two largest units."""
    if seconds is None:
        return Text("-", style="dim")
    return Text(format_duration(timedelta(seconds=seconds)))
