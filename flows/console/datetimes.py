"""Parse times and durations that people type."""

import re
from datetime import UTC, datetime, timedelta

from tasks.errors import OperatorError
from tasks.sanitize import plain

_AGO = re.compile(r"(\d{1,6})\s*(min|h|d|w)")
_UNIT = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


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
    ago = _AGO.fullmatch(text.strip())
    if ago is None:
        return parse_time(text)
    return max(now - int(ago[1]) * _UNIT[ago[2]], datetime(1970, 1, 1, tzinfo=UTC)) if int(ago[1]) < 10**5 else now


def parse_until(text: str, now: datetime) -> datetime:
    """A time, or a duration from now: 90min, 24h, 30d, 2w. Raises OperatorError."""
    ahead = _AGO.fullmatch(text.strip())
    if ahead is None:
        return parse_time(text)
    return min(now + min(int(ahead[1]), 10**4) * _UNIT[ahead[2]], datetime(9999, 1, 1, tzinfo=UTC))
