"""Formats counts, periods and durations for the terminal, logs and pages."""

from datetime import datetime, timedelta

from tasks.sanitize import plain

PLURALS = {"address": "addresses", "entry": "entries", "person": "people"}
MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds


def format_count(count: int, thing: str) -> str:
    """1 alert, 2 alerts"""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {PLURALS.get(thing, thing + 's')}"


def system_error(error: OSError) -> str:
    """For example `No space left on device: '/data/store.duckdb'.` and what to do."""
    reason = error.strerror or str(error)
    if error.filename:
        reason += f": {str(error.filename)!r}"
    return f"{plain(reason, 500)}. Check the path, its permissions and the free disk space, then try again."


def format_period(start: datetime, end: datetime) -> str:
    """Start and end of a period; the date of the end only if it differs."""
    same = f"{start:%F}" == f"{end:%F}"
    return f"{start:%F %H:%M} to {end.strftime('%H:%M' if same else '%F %H:%M')}"


def format_duration(span: timedelta) -> str:
    """A duration in its two largest units: 2 d 3 h, 15 min."""
    seconds = max(round(span.total_seconds()), 0)
    if seconds < MINUTE:
        return f"{seconds} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE} min"
    (large, unit), (small, part) = ((DAY, "d"), (HOUR, "h")) if seconds >= DAY else ((HOUR, "h"), (MINUTE, "min"))
    whole, rest = divmod(seconds, large)
    return f"{whole} {unit}" + (f" {rest // small} {part}" if rest >= small else "")


def format_interval(length: timedelta) -> str:
    """A polling interval in words."""
    return "day" if length == timedelta(days=1) else f"{length.total_seconds() / 60:.0f} min"
