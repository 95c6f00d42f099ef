"""Directory exports through the real flow, the command and the drop folder; a live pull from a loopback Graph."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.directory import directory_import
from tasks.connectors import remove, save_connector
from tasks.database import Store
from tasks.directory import drop
from tasks.settings import DEFAULTS, Settings
from tests.entra.asking import connector_of, group, guid, user
from tests.entra.graph import Graph, serve
from tests.flows.command import Command

EXPORTS = DEFAULTS / "demo"


@pytest.fixture
def command(prefect_api: None, home: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def ask(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with Store(Settings(home=home)).reader() as reader:
        return reader.rows(sql)


def files(result: Any) -> dict[str, str]:
    """State by file name."""
    counts = getattr(result, "counts", result)
    return {each["file"]: each["state"] for each in counts["files"]}


def test_the_command_names_what_each_file_was(command: Command, home: Path) -> None:
    first = command("import-directory", str(EXPORTS))
    assert first.status == 0, first.err
    assert 'Entra "Download users" CSV' in first.out
    assert ask(home, "SELECT count(*) FROM directory_imports") == [(len(list(EXPORTS.iterdir())),)]
    again = json.loads(command("import-directory", str(EXPORTS), "--json").out)
    assert {each["state"] for each in again["files"]} == {"unchanged"}


def test_the_demo_company_has_every_kind_of_evidence_and_entity(command: Command, home: Path) -> None:
    assert command("import-directory", str(EXPORTS)).status == 0
    kinds = {kind for (kind,) in ask(home, "SELECT DISTINCT kind FROM directory_users")}
    assert kinds >= {"person", "shared", "group", "guest"}
    evidence = {each for (each,) in ask(home, "SELECT DISTINCT evidence FROM directory_device_users")}
    assert evidence >= {"primary_user", "registered", "affinity", "managed_by"}
    assert ask(home, "SELECT max(len(sources)) >= 3 FROM directory_users") == [(True,)]


def test_a_file_that_cannot_be_read_is_refused_by_itself(command: Command, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    shutil.copy(EXPORTS / "graph-users.json", folder)
    (folder / "notes.csv").write_text("colour,size\nred,3\n")
    says = command("import-directory", str(folder))
    assert says.status == 1
    assert "notes.csv" in says.err
    assert [state for (state,) in ask(home, "SELECT state FROM directory_imports")] == ["imported"]
    assert command("import-directory", str(tmp_path / "nowhere")).status == 1


def test_the_drop_folder_is_worked_off_and_cleared(prefect_api: None, home: Path) -> None:
    settings = Settings(home=home)
    folder = drop.drop_folder(settings)
    shutil.copy(EXPORTS / "graph-users.json", folder)
    (folder / "broken.json").write_text('{"value": [')
    (folder / ".being-written").write_text("")
    old = folder / drop.DONE / f"{datetime.now(UTC) - timedelta(days=8):%Y%m%dT%H%M%S%f}-old.csv"
    old.write_text("")
    state = directory_import(return_state=True)
    assert state.is_failed()
    assert files(state.result(raise_on_failure=False)) == {"graph-users.json": "imported", "broken.json": "refused"}
    assert [each.name for each in drop.waiting(folder)] == []
    assert [each.name.partition("-")[2] for each in (folder / drop.DONE).iterdir()] == ["graph-users.json"]
    assert [each.name.partition("-")[2] for each in (folder / drop.REFUSED).iterdir()] == ["broken.json"]
    assert directory_import(return_state=True).is_completed(), "an empty folder is no failure"


def test_a_live_pull_brings_people_and_a_missing_permission_takes_none_away(command: Command, home: Path) -> None:
    with serve(Graph(users=[user(1), user(2), user(3)], groups=[group(7)], members={guid(7, 1): [user(2)]})) as graph:
        save_connector("corp", connector_of(graph))
        try:
            first = command("poll", "corp")
            assert first.status == 0, first.err
            assert "graph-users" in first.out
            assert ask(home, "SELECT kind, count(*) FROM directory_users GROUP BY ALL ORDER BY ALL") == [
                ("group", 1), ("person", 3)
            ]  # fmt: skip
            graph.roles.discard("GroupMember.Read.All")
            again = json.loads(command("poll", "corp", "--json").out)
            assert "GroupMember.Read.All" in " ".join(again["files"][0]["warnings"])
            assert ask(home, "SELECT count(*) FROM directory_users WHERE gone_at IS NULL") == [(4,)]
            graph.users = [user(1)]
            cut_short = command("poll", "corp")
            assert (cut_short.status, "67%" in cut_short.err) == (1, True)
            backfill = command("backfill", "corp", "--from", "2026-03-01", "--to", "2026-03-02")
            assert (backfill.status, "has no backfill" in backfill.err) == (1, True)
        finally:
            remove("corp")
