"""The maintenance flows: without `apply` they only count, with it they change the store and send their notices."""

from pathlib import Path

import pytest

from flows.regroup import regroup
from flows.replay import replay
from flows.retention import retention
from tasks.settings import DEFAULTS
from tests.scans import begun, load, rows, scan


@pytest.mark.server
def test_flows_count_without_apply_and_change_the_store_with_it(prefect_api: None, home: Path) -> None:
    store = begun(home)
    load(store, [[scan(0), scan(20), scan(41, "safe")]])
    store.publish()
    for apply, groups in ((False, 1), (True, 2)):
        state = regroup(gap_hours=10, apply=apply, return_state=True)
        assert state.is_completed(), state.message
        assert (state.result()["applied"], state.result()["groups_after"]) == (apply, 2)
        assert rows(store, "SELECT count(*) FROM alert_groups") == [(groups,)]
    pending = "SELECT count(*) FROM internal.notices WHERE cause = 'regroup' AND sent_at IS NULL"
    assert rows(store, pending) == [(0,)]
    maps = (DEFAULTS / "priorities.csv").read_text()
    (home / "priorities.csv").write_text(maps.replace("safe,low,Safe attachment", "safe,medium,Not safe here"))
    state = replay(["priorities"], apply=True, return_state=True)
    assert state.is_completed() and state.result()["alerts_raised"] == 1, state.message
    state = retention(return_state=True)
    assert state.is_completed() and state.result()["applied"] is False, state.message
    (home / "priorities.csv").write_text("verdict\n")
    assert replay(return_state=True).is_failed()
