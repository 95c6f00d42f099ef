"""Faults of the service through the flow: the state of the run, and nothing lost. `test_faults.py` has all kinds."""

from datetime import timedelta

import pytest
from pydantic import SecretStr

from tests.flows.conftest import MakeSite
from tests.flows.site import Site, change, hours, noon

pytestmark = pytest.mark.server

HOURS = 3


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """One record in each of some hours."""
    return make_site(hours(noon(), HOURS))


def backfilled(site: Site) -> int:
    """Number of new records in a backfill that completes."""
    state = site.backfill(noon() - timedelta(hours=HOURS), noon())
    assert state.is_completed()
    new: int = state.result()["new"]
    return new


@pytest.mark.parametrize("fault", ["500", "cut", "html-200", "fail-200"])
def test_fault_of_some_slices_fails_the_run_and_keeps_the_others(
    fault: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "1")
    monkeypatch.setenv("ATTACHMENT_ALERTS_FETCH_CONCURRENCY", "1")
    site.faults.inject(fault, times=None, after=2)
    state = site.backfill(noon() - timedelta(hours=HOURS), noon())
    counts = state.result(raise_on_failure=False).counts
    assert state.is_failed()
    assert counts["failed"] + counts["slices"] == HOURS
    assert 0 < counts["failed"] < HOURS
    assert counts["errors"][0] in (state.message or "")
    site.faults.clear()
    assert backfilled(site) == counts["failed"]
    assert site.query("SELECT count(*) FROM scans") == [(HOURS,)]


@pytest.mark.parametrize("fault", ["403", "token-unverified"])
def test_refused_keys_fail_the_run_with_their_own_sentence(fault: str, site: Site) -> None:
    site.faults.inject(fault, times=None)
    state = site.poll()
    assert state.is_failed()
    assert site.query("SELECT DISTINCT state, error FROM windows") == [("failed", state.message)]
    assert site.health()[::2] == ("auth_failed", state.message)
    site.faults.clear()
    assert site.poll().is_completed()


def test_wrong_secret_fails_the_run_until_it_is_corrected(site: Site) -> None:
    right = site.simulator.accounts[0].keys[1]["client_secret"]
    change(site.name, client_secret=SecretStr("wrong-secret"))
    state = site.poll()
    assert state.is_failed()
    assert "wrong-secret" not in (state.message or "")
    assert site.health()[0] == "auth_failed"
    change(site.name, client_secret=SecretStr(right))
    assert site.poll().result()["new"] == HOURS
    assert site.health()[0] == "ok"


def test_fault_that_passes_is_no_failure(site: Site) -> None:
    site.faults.inject("429", seconds=1)
    assert site.poll().result()["refusals"] == 1
    assert site.query("SELECT count(*) FROM scans") == [(HOURS,)]
