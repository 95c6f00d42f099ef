"""The tables of a group's page, as narrow as they get."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from flows.cli.views import group
from flows.cli.views.group import ADDRESS, alerts_table, exposures_table
from tests.flows.cli.printing import console_of, printed

ZONE = ZoneInfo("UTC")
LONG = "anna.schmidt@a.subsidiary.that.has.a.long.name.example"
SCAN: dict[str, Any] = {"detected_at": datetime(2026, 3, 1, 9, 5, tzinfo=UTC), "recipient": LONG}


@pytest.fixture(params=[80, 100, 130])
def console(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Console:
    console = console_of(request.param)
    monkeypatch.setattr(group, "out", console)
    return console


def test_addresses_and_subjects_keep_30_columns(console: Console) -> None:
    said = {"verdict": "malicious", "cleared_at": None, "response": "Message held", "sender": f"b{LONG}"}
    text = printed(console, alerts_table([SCAN | said | {"subject": f"Invoice of {LONG}"}], ZONE))
    assert LONG[: ADDRESS - 1] in text
    assert f"b{LONG}"[: ADDRESS - 1] in text
    assert ("Subject" not in text) or f"Invoice of {LONG}"[: ADDRESS - 1] in text
    assert ("Subject" in text) == (console.width != 130)  # nothing else is left out to stay in one line


def test_an_exposure_of_somebody_who_also_had_an_alert_says_so(console: Console) -> None:
    said = {"verdict": "safe", "disposition": "no_action", "direction": "before", "also_alerted": True}
    text = printed(console, exposures_table([SCAN | said | {"devices": ["LAPTOP-0123456789", "DESKTOP-1"]}], ZONE))
    for whole in ("before the first alert", "also alerted", "no action", LONG[: ADDRESS - 1]):
        assert whole in text
