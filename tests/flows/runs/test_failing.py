"""Failures on this machine that fail a run, and failures that must not."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock

from flows.artifacts import publish
from flows.mimecast import mimecast_backfill as backfill
from flows.regroup import regroup
from flows.replay import replay
from flows.retention import retention
from tasks.store import embedded
from tests.flows.artifacts.test_run_summary import artifacts as left_by
from tests.flows.artifacts.test_run_summary import latest, text
from tests.flows.conftest import MakeSite
from tests.flows.site import hours, noon

pytestmark = pytest.mark.server

HOUR = timedelta(hours=1)


def test_poll_with_invalid_setting_fails_before_any_request(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site()
    monkeypatch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "many")
    state = site.poll()
    assert state.is_failed()
    assert "ATTACHMENT_ALERTS_SLICE_HOURS" in (state.message or "")
    assert not site.simulator.requests


def test_poll_into_unwritable_home_fails_with_its_path(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = make_site()
    (tmp_path / "file").touch()
    monkeypatch.setenv("ATTACHMENT_ALERTS_HOME", str(tmp_path / "file" / "home"))
    state = site.poll()
    assert state.is_failed()
    assert "file/home" in (state.message or "")
    assert "Not a directory" in (state.message or "")


def test_poll_fails_while_another_process_holds_the_store(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(hours(noon(), 2))
    assert site.poll().is_completed()
    monkeypatch.setattr(embedded, "LOCK_PATIENCE", 2.5)
    with FileLock(site.home / "store.lock"):
        state = site.poll()
    assert "store.duckdb" in (state.message or "")
    assert "unknown" in (health := latest(f"health-{site.name}"))
    assert "store.duckdb" in health
    assert site.poll().is_completed()


def test_poll_succeeds_if_prefect_rejects_its_artifacts(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(hours(noon(), 2))

    def refused(*given: Any, **named: Any) -> Any:
        raise httpx.ConnectError("no")

    monkeypatch.setattr(publish, "create_table_artifact", refused)
    assert site.poll().result()["new"] == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any("ConnectError" in warning for warning in warnings), warnings


def test_backfill_with_invalid_start_fails_before_any_request(make_site: MakeSite) -> None:
    site = make_site()
    given: Any = "soon"
    state: Any = backfill(site.name, given, noon(), return_state=True)
    assert state.is_failed()
    assert "start" in state.message
    assert not site.simulator.requests


def test_poll_of_invalid_name_fails_and_its_artifact_is_safe(make_site: MakeSite) -> None:
    state = replace(make_site(), name="No | such\x1b name").poll()
    assert state.is_failed()
    page = text(left_by(state)["markdown"])
    assert "\x1b" not in page
    assert page.startswith(r"## `No \x7c such\x1b name`: poll failed")


@pytest.mark.parametrize("flow", [retention, regroup, replay], ids=lambda flow: flow.name)
def test_maintenance_in_a_home_that_cannot_be_used(
    flow: Any, prefect_api: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "store.duckdb").touch()
    (tmp_path / "store.lock").mkdir()
    monkeypatch.setenv("ATTACHMENT_ALERTS_HOME", str(tmp_path))
    state: Any = flow(apply=True, return_state=True)
    assert state.is_failed()
    assert "Is a directory" in state.message
