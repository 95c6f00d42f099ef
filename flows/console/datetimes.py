"""Parse times and durations that people type."""

import re
from datetime import UTC, datetime, timedelta

from tasks.errors import OperatorError
from tasks.sanitize import plain

_DURATION = re.compile(r"(\d{1,9})\s*(min|h|d|w)")
_UNIT = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def parse_time(text: str) -> datetime:
    """Times without a zone are UTC. Raises OperatorError."""
    try:
        typed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise OperatorError(
            f"Invalid time '{plain(text)}'. Use 2026-03-01, 2026-03-01T10:00 or 2026-03-01T10:00+01:00; times "
            "without a zone are UTC."
        ) from None
    return typed if typed.tzinfo else typed.replace(tzinfo=UTC)


def parse_since(text: str, now: datetime) -> datetime:
    """A time, or a duration before now: 90min, 24h, 7d, 2w. Raises OperatorError."""
    return _parse_relative(text, now, -1)


def parse_until(text: str, now: datetime) -> datetime:
    """A time, or a duration from now: 90min, 24h, 30d, 2w. Raises OperatorError."""
    return _parse_relative(text, now, 1)


def _parse_relative(text: str, now: datetime, direction: int) -> datetime:
    duration = _DURATION.fullmatch(text.strip())
    if duration is None:
        return parse_time(text)
    try:
        moment = now + direction * int(duration[1]) * _UNIT[duration[2]]
    except OverflowError:
        moment = None
    if moment is None or not _EARLIEST <= moment <= _LATEST:
        raise OperatorError(f"The duration '{plain(text)}' is too long. Use a shorter one.")
    return moment
