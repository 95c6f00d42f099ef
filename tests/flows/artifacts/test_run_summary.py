"""Artifacts of a run in the Prefect UI: its counts, its groups, the health of its connector, the open groups."""

import json
import threading
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from typing import Any

import pytest
from prefect.artifacts import update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact, State
from prefect.client.schemas.sorting import ArtifactSort

from flows.artifacts.dashboard_writer import URGENT
from flows.artifacts.markdown_format import sentence
from flows.artifacts.publish import WATCH
from flows.runs import slice_stages
from tests.flows.conftest import MakeSite
from tests.flows.site import CONNECTOR_ID, hours, noon, scan

pytestmark = pytest.mark.server

HOUR = timedelta(hours=1)
HOSTILE = "a|b`](javascript:x)<img src=x onerror=alert(1)>\u202efdp.exe\n# head"


def artifacts(state: State[Any]) -> dict[str, Artifact]:
    """The artifacts of this run by key, or by type if they have none."""
    run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=run, sort=ArtifactSort.CREATED_DESC)
    named = {artifact.key or str(artifact.type): artifact for artifact in found}
    assert len(named) == len(found)
    return named


def text(artifact: Artifact) -> str:
    return str(artifact.data)


def latest(key: str) -> str:
    """The newest version of a dashboard."""
    with get_client(sync_client=True) as client:
        (found,) = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC, limit=1
        )
    return text(found)


def row(page: str, name: str) -> str:
    """The value of a name in a table of two columns."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
    return line.split("|")[2].strip()


def test_poll_writes_summary_groups_and_dashboards(make_site: MakeSite) -> None:
    records = [
        *(scan(noon() - 2 * HOUR, number, fileName=HOSTILE, subject="Secret subject") for number in range(3)),
        scan(noon() - 3 * HOUR, 7, "timeout", fileHash="cd" * 32, actionTriggered="hold, <b>beam</b>"),
        *(scan(noon() - 3 * HOUR, f"safe{number}", "safe", fileHash="ef" * 32) for number in range(4)),
        *(scan(noon() - 4 * HOUR, f"bad{number}", "safe", fileName=["an", "array"]) for number in range(2)),
    ]
    site = make_site(records)
    found = artifacts(site.poll())
    assert found.keys() >= {"markdown", "table", f"health-{site.name}", URGENT}

    page = text(found["markdown"])
    assert page.startswith(f"## {site.name}: poll completed\n\nRequested time: ")
    counts = {name: row(page, name) for name in ("Received", "Accepted", "Rejected", "… new", "… high", "… medium")}
    assert counts == dict(zip(counts, ("10", "8", "2", "8", "3", "1"), strict=True))
    assert row(page, "New groups") == "2"
    assert "| `fileName is an array` | 2 |" in page
    assert "`action: <b>beam</b>`" in page

    first, second = json.loads(text(found["table"]))
    assert (first["priority"], first["group"], first["alerts"], first["users"]) == ("high", "new", 3, "-")
    assert first["description"] == (
        r"`Malicious attachment · application/msword · a\x7cb\x60](javascript:x)<img src=x onerror=alert(1)>"
        r"\u202efdp.exe\x0a# head`"
    )
    assert second["responses"] == "`hold, <b>beam</b>` (1)"
    assert site.query("SELECT group_id::VARCHAR FROM alert_groups ORDER BY priority_rank") == [
        (first["group id"],), (second["group id"],),
    ]  # fmt: skip
    assert first["details"].startswith("https://")
    assert found["table"].description == "New and changed alert groups: 2, most urgent first."

    health = text(found[f"health-{site.name}"])
    assert health.startswith(f"## ✅ {site.name}: ok")
    assert row(health, "Last run").startswith("poll, completed, ")
    urgent = text(found[URGENT])
    assert "open group" in urgent
    assert f"[{first['group id'][:8]}]({first['details']})" in urgent
    for shown in (page, text(found["table"]), health, urgent):
        assert "Secret" not in shown
        assert "contoso.example" not in shown

    # The same records again: no table. One more alert of the first group: it is listed as changed.
    assert "table" not in artifacts(site.poll())
    site.world.add([scan(noon() - HOUR / 2, 9)])
    (changed,) = json.loads(text(artifacts(site.poll())["table"]))
    assert (changed["group"], changed["alerts"], changed["group id"]) == ("changed", 4, first["group id"])


def test_run_without_records_updates_the_health_page(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(hours(noon(), 3), 1)
    key = f"health-{site.name}"
    site.faults.inject("418", times=None)
    state = site.poll()
    assert "❌" in (health := latest(key))
    assert "auth failed" in health
    assert sentence(state.message or "") in health
    assert row(text(artifacts(state)["markdown"]), "Slices").startswith("0 loaded, ")

    site.faults.clear()
    monkeypatch.setattr("flows.runs.pull.POLL_PATIENCE", 1.0)
    other = site.store.account(CONNECTOR_ID, threading.Event())
    other.acquire(None)
    state = site.poll()
    other.release()
    assert state.name == "Skipped"
    assert row(latest(key), "Last run").startswith("poll, skipped, ")
    assert "❌" in latest(key)

    with monkeypatch.context() as patch:
        patch.setattr(slice_stages, "load", interrupted(slice_stages.load))
        assert site.poll().is_cancelled()
    assert row(latest(key), "Last run").startswith("poll, stopped, ")

    assert site.poll().is_completed()
    assert "✅" in latest(key)
    assert "The next poll is due by" in latest(key)


def interrupted(stage: Any) -> Any:
    """Ctrl-C instead of a stage."""

    @wraps(stage)
    def interrupt(*given: Any) -> None:
        raise KeyboardInterrupt

    return interrupt


def test_unknown_connector_has_no_health_page(make_site: MakeSite) -> None:
    site = replace(make_site(), name="nobody")
    found = artifacts(site.poll())
    assert found.keys() == {"markdown"}
    assert "No connector is saved as 'nobody'" in text(found["markdown"])


def test_backfill_shows_its_progress(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(hours(noon(), 6))
    monkeypatch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "2")
    seen: list[str] = []

    def observed(*given: Any, **named: Any) -> Any:
        seen.append(named["description"])
        return update_progress_artifact(*given, **named)

    monkeypatch.setattr("flows.artifacts.publish.update_progress_artifact", observed)
    watched: list[tuple[int, int]] = []
    WATCH.set(lambda *done: watched.append(done))
    state = site.backfill(noon() - 6 * HOUR, noon() - 2 * HOUR)
    assert watched == [(1, 2), (2, 2)]
    assert seen == [f"{site.name} backfill: {done} of 2 slices done" for done in (1, 2)]
    assert artifacts(state)["progress"].data == 100
    state = site.backfill(noon() - 8 * HOUR, noon() - 2 * HOUR)
    page = text(artifacts(state)["markdown"])
    assert "4 h" in page  # of the window are stored already
    assert "progress" not in artifacts(state)
