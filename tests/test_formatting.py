"""What moments and lengths look like where they could be misread."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.formatting import format_duration, format_period

DAY = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "says"),
    [
        (1.5, "2026-10-01 00:00 to 01:30"),
        (24, "2026-10-01 00:00 to 2026-10-02 00:00"),
        (24 * 365, "2026-10-01 00:00 to 2027-10-01 00:00"),
    ],
)
def test_period_of_whole_days_has_both_dates(hours: float, says: str) -> None:
    assert format_period(DAY, DAY + timedelta(hours=hours)) == says


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (-5, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (4 * 3600 + 61, "4 h 1 min"),
        (2 * 86400, "2 d"),
        (2 * 86400 + 3 * 3600 + 59, "2 d 3 h"),
    ],
)
def test_duration_has_at_most_two_units(seconds: float, says: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == says
