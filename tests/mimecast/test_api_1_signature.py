from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest

from tasks.mimecast.api_1_signature import SignedRequests, mimecast_date, sign

SECRET_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
PATH = "/api/ttp/attachment/get-logs"
URL = "https://host.mimecast.com"


def test_signature_equals_the_published_vector() -> None:
    signature = sign(
        SECRET_KEY,
        "Tue, 24 Nov 2015 12:50:11 UTC",
        "11111111-2222-4333-8444-555555555555",
        PATH,
        "00000000-1111-2222-3333-444444444444",
    )
    assert signature == "K1Fb3rKr97rLM5DgVDsMKio7FQM="


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2015, 11, 24, 12, 50, 11, tzinfo=UTC), "Tue, 24 Nov 2015 12:50:11 UTC"),
        (datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))), "Sat, 28 Feb 2026 22:30:00 UTC"),
        (datetime(2026, 1, 4, tzinfo=UTC), "Sun, 04 Jan 2026 00:00:00 UTC"),
    ],
)
def test_date_is_english_utc_with_two_digits(moment: datetime, text: str) -> None:
    assert mimecast_date(moment) == text


def test_each_request_has_its_own_signature_over_the_path_alone() -> None:
    auth = SignedRequests("app-id", "app-key", "access", SECRET_KEY)
    first, second = (next(auth.auth_flow(httpx.Request("POST", f"{URL}{PATH}?x=1"))) for _ in range(2))
    assert first.headers["x-mc-req-id"] != second.headers["x-mc-req-id"]
    assert first.headers["x-mc-app-id"] == "app-id"
    expected = sign(SECRET_KEY, first.headers["x-mc-date"], first.headers["x-mc-req-id"], PATH, "app-key")
    assert first.headers["Authorization"] == f"MC access:{expected}"
