"""Directory exports through the real flow; a live pull from a loopback Graph."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from flows.directory import directory_import
from flows.runs import directory_run
from tasks.saved_connectors import remove, save_connector
from tasks.settings import DEFAULTS, Settings
from tasks.store.factory import open_store
from tests.entra.asking import connector_of, group, guid, user
from tests.entra.graph import Graph, serve
from tests.flows.cli.command import Command
from tests.flows.site import change

pytestmark = pytest.mark.server

EXPORTS = DEFAULTS / "demo"


@pytest.fixture
def command(prefect_api: None, home: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def ask(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with open_store(Settings(home=home)).reader() as reader:
        return reader.rows(sql)


def health(home: Path) -> tuple[Any, ...]:
    (found,) = ask(home, "SELECT state, consecutive_failures, last_error FROM connector_health")
    return found


def latest(key: str) -> str:
    """The newest version of an artifact."""
    with_key = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        (page,) = client.read_artifacts(artifact_filter=with_key, sort=ArtifactSort.CREATED_DESC, limit=1)
    return str(page.data)


def test_flow_with_unusable_drop_folder_failed(prefect_api: None, home: Path) -> None:
    (home / "drop").write_text("a file in place of the folder")
    state = directory_import(return_state=True)
    assert state.is_failed()
    assert state.result(raise_on_failure=False).counts == {"files": []}


def test_flow_with_refused_file_failed_and_run_page_lists_the_files(
    prefect_api: None, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(EXPORTS / "graph-users.json", folder)
    (folder / "a`|b.csv").write_text("colour,size\nred,3\n")
    state = directory_import([str(folder)], return_state=True)
    assert state.is_failed()
    run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        (page,) = client.read_artifacts(artifact_filter=run)
    refused, imported = json.loads(str(page.data))
    assert (refused["file"], refused["state"]) == (r"`in/a\x60\x7cb.csv`", "refused")
    assert "in/a" in refused["refused because"]
    assert (imported["file"], imported["kind"]) == ("`in/graph-users.json`", "Microsoft Graph users")
    counts = ask(home, "SELECT people, devices, addresses, rejected FROM directory_imports")
    assert [tuple(imported[name] for name in ("people", "devices", "addresses", "rejected"))] == counts
    assert imported["refused because"] == "-"


def test_live_pull_imported_and_missing_permission_removes_nobody(command: Command, home: Path) -> None:
    with serve(Graph(users=[user(1), user(2), user(3)], groups=[group(7)], members={guid(7, 1): [user(2)]})) as graph:
        save_connector("corp", connector_of(graph))
        try:
            first = command("poll", "corp")
            assert first.status == 0, first.err
            assert ask(home, "SELECT kind, count(*) FROM directory_users GROUP BY ALL ORDER BY ALL") == [
                ("group", 1), ("person", 3)
            ]  # fmt: skip
            assert health(home) == ("ok", 0, None)
            graph.sign_in_error = 7000222
            expired = command("poll", "corp")
            assert (expired.status, "attachment-alerts connectors rotate corp" in expired.err) == (1, True)
            assert health(home)[:2] == ("auth_failed", 1)
            graph.sign_in_error = None
            graph.roles.discard("GroupMember.Read.All")
            again = json.loads(command("poll", "corp", "--json").out)
            assert "GroupMember.Read.All" in " ".join(again["files"][0]["warnings"])
            assert ask(home, "SELECT count(*) FROM directory_users WHERE gone_at IS NULL") == [(4,)]
            graph.users = [user(1)]
            assert health(home) == ("ok", 0, None)
            cut_short = command("poll", "corp")
            assert (cut_short.status, "67%" in cut_short.err) == (1, True)
            assert health(home)[:2] == ("failing", 1)
            with open_store(Settings(home=home)).transaction() as stored:
                kinds = stored.rows('SELECT kind FROM internal.notices WHERE sent_at IS NOT NULL ORDER BY "at"')
            assert kinds == [("connector_lost",), ("connector_back",), ("connector_lost",)]
            page = latest("health-corp")
            assert "corp: failing" in page
            assert "67%" in page
            backfill = command("backfill", "corp", "--from", "2026-03-01", "--to", "2026-03-02")
            assert backfill.status == 1
        finally:
            remove("corp")


def test_live_pull_interrupted_or_of_another_tenant_failed(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(connector: str) -> list[Any]:
        raise KeyboardInterrupt

    with serve(Graph(users=[user(1)])) as graph:
        save_connector("corp", connector_of(graph))
        try:
            with monkeypatch.context() as patch:
                patch.setattr(directory_run.fetch, "fn", interrupted)
                stopped = command("poll", "corp")
            assert (stopped.status, "The same command starts again." in stopped.err) == (130, True), stopped.err
            assert command("poll", "corp").status == 0
            change("corp", tenant="other")
            refused = command("poll", "corp")
            assert (refused.status, "'default'" in refused.err) == (1, True), refused.err
            assert health(home)[:2] == ("failing", 1)
            assert ask(home, "SELECT DISTINCT tenant FROM windows") == [("default",)]
        finally:
            remove("corp")
