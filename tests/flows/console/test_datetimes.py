from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from flows.console.datetimes import parse_since, parse_time, parse_until
from tasks.errors import OperatorError

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90min", datetime(2026, 3, 15, 10, 30, tzinfo=UTC)),
        ("24h", datetime(2026, 3, 14, 12, tzinfo=UTC)),
        (" 7 d ", datetime(2026, 3, 8, 12, tzinfo=UTC)),
        ("2w", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("0h", NOW),
        ("100000min", datetime(2026, 1, 5, 1, 20, tzinfo=UTC)),
        ("100000h", datetime(2014, 10, 17, 20, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_since_is_a_duration_before_now_or_a_time(text: str, moment: datetime) -> None:
    assert parse_since(text, NOW) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90d", datetime(2026, 6, 13, 12, tzinfo=UTC)),
        ("20000h", datetime(2028, 6, 25, 20, tzinfo=UTC)),
        ("2026-04-01T10:00+01:00", datetime(2026, 4, 1, 9, tzinfo=UTC)),
    ],
)
def test_until_is_a_duration_from_now_or_a_time(text: str, moment: datetime) -> None:
    assert parse_until(text, NOW) == moment


@pytest.mark.parametrize("parse", [parse_since, parse_until])
@pytest.mark.parametrize("text", ["999999w", "999999999w", "9999999d"])
def test_duration_beyond_the_calendar_is_an_error(parse: Callable[[str, datetime], datetime], text: str) -> None:
    with pytest.raises(OperatorError):
        parse(text, NOW)


@pytest.mark.parametrize("text", ["", "soon", "24", "h", "-5d", "1.5h", "2026-13-01"])
def test_text_that_is_no_time_is_an_error(text: str) -> None:
    for parse in (parse_since, parse_until):
        with pytest.raises(OperatorError):
            parse(text, NOW)
    with pytest.raises(OperatorError):
        parse_time(text)
