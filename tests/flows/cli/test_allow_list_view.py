"""The tables of decisions and of the allow-list, as narrow as they get."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from flows.cli.views import allow_list
from flows.cli.views.allow_list import decisions_table, entries_table
from tests.flows.cli.printing import console_of, printed

ZONE = ZoneInfo("UTC")
AT = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
LONG = "anna.schmidt@a.subsidiary.that.has.a.long.name.example"
COMMENT = "Seen before: the invoices of this vendor are what they say, " + "https://wiki.example/" + "x" * 60


@pytest.fixture(params=[80, 120, 200])
def console(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Console:
    console = console_of(request.param)
    monkeypatch.setattr(allow_list, "out", console)
    return console


def test_a_decision_is_whole_and_so_is_its_comment(console: Console) -> None:
    said = {"status": "closed", "close_reason": "false_positive", "assignee": LONG, "comment": COMMENT}
    text = printed(console, decisions_table([{"at": AT, "by": LONG, "alerts": 12_345, **said}], ZONE))
    for whole in ("Decided (UTC)", "2026-03-01 09:05", "closed as false positive", "Alerts", "12,345", LONG[:11]):
        assert whole in text
    heading, *lines = text.replace("─", " ").split("\n")
    assert "".join(line[heading.index("Comment") :] for line in lines).replace(" ", "") == COMMENT.replace(" ", "")


def test_an_entry_is_whole_but_for_long_names(console: Console) -> None:
    entry = {"entry_id": "0123abcd" * 4, "kind": "sender_domain", "value": LONG, "hidden_count": 12_345}
    until = {"active": False, "ended_at": AT, "expires_at": None}
    text = printed(
        console, entries_table([{**entry, **until, "reason": COMMENT, "author": LONG, "tenant": LONG}], ZONE)
    )
    for whole in ("0123abcd", "sender domain", "12,345", "ended 2026-03-01 09:05", LONG[:23], COMMENT[:23]):
        assert whole in text
