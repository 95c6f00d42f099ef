"""What regroup and replay would change, as narrow as they get: ids and counts are whole."""

import pytest
from rich.console import Console

from flows.cli.views import maintenance
from flows.cli.views.maintenance import regroup_page, replay_page
from tests.flows.cli.printing import console_of, printed

NAME = "quarterly report of the purchasing department.docx"
PARTS = [{"group_id": f"{part}c7ad000" * 4, "alerts": 1_234} for part in range(5)]


@pytest.fixture(params=[80, 100, 200])
def console(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Console:
    console = console_of(request.param)
    monkeypatch.setattr(maintenance, "out", console)
    return console


def test_groups_that_split_are_whole_and_so_are_their_parts(console: Console) -> None:
    group = {"group_id": "d0fb63d8" * 4, "file_name": NAME, "alerts": 12_345, "parts": 8, "largest": PARTS}
    rules = {"group_by": "hash+response", "group_gap_hours": 24, "group_span_hours": 168, "unlike_settings": []}
    counts = {"groups_before": 1, "groups_after": 8, "alerts": 12_345, "alerts_moved": 9, "groups_split": 1}
    text = printed(console, regroup_page({**rules, **counts, "split": [group], "joined": []}))
    for whole in ("Group", "d0fb63d8", "Alerts", "12,345", NAME[:23], "Into (alerts)", "and 3 more"):
        assert whole in text
    for part in PARTS:
        assert f"{part['group_id'][:8]}\N{NO-BREAK SPACE}(1,234)" in text


def test_changes_break_between_words(console: Console) -> None:
    was = "medium (No verdict (timeout), no-verdict-timeout)"
    change = {"what": "priorities", "said": "timeout", "old": was, "new": was.replace("medium", "high")}
    counts = dict.fromkeys(("scans_changed", "alerts_raised", "alerts_cleared", "rejects_accepted", "rejects_left"), 0)
    changes = [{**change, "count": 12_345, "example": "d0fb63d8" * 4}]
    text = printed(console, replay_page({"what": ["priorities"], **counts, "changes": changes, "changes_not_told": 0}))
    for whole in ("priorities", "no-verdict-timeout)", "12,345", "d0fb63d8"):
        assert whole in text
    assert text.count("no-verdict-timeout)") == 2
