"""Directory exports through the real flow, the command and the drop folder; a live pull from a loopback Graph."""

import json
import os
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from flows import entra
from flows.cli.views.directory import sentence
from flows.directory import directory_import, outcome
from flows.directory import files as told
from tasks.directory.formats.archive import DONE, REFUSED
from tasks.directory.imports import drop_folder
from tasks.directory.imports.run_import import import_exports
from tasks.directory.model import EVIDENCE
from tasks.directory.sources.read_files import read_files
from tasks.errors import StoreError
from tasks.saved_connectors import remove, save_connector
from tasks.settings import DEFAULTS, Settings
from tasks.store.factory import open_store
from tests.entra.asking import connector_of, group, guid, user
from tests.entra.graph import Graph, serve
from tests.flows.cli.command import Command
from tests.flows.site import change

EXPORTS = DEFAULTS / "demo"


@pytest.fixture
def command(prefect_api: None, home: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def ask(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with open_store(Settings(home=home)).reader() as reader:
        return reader.rows(sql)


def files(result: Any) -> dict[str, str]:
    """State by file name."""
    counts = getattr(result, "counts", result)
    return {each["file"]: each["state"] for each in counts["files"]}


def health(home: Path) -> tuple[Any, ...]:
    (found,) = ask(home, "SELECT state, consecutive_failures, last_error FROM connector_health")
    return found


def latest(key: str) -> str:
    """The newest version of a standing page."""
    of_it = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        (page,) = client.read_artifacts(artifact_filter=of_it, sort=ArtifactSort.CREATED_DESC, limit=1)
    return str(page.data)


def test_the_demo_company_is_imported_and_the_same_again_changes_nothing(command: Command, home: Path) -> None:
    first = command("import-directory", str(EXPORTS))
    assert first.status == 0, first.err
    assert '✔ demo/entra-users.csv (Entra "Download users" CSV): 24 people, 0 devices, 30 addresses, 0 ' in first.out
    assert ask(home, "SELECT count(*) FROM directory_imports") == [(len(list(EXPORTS.iterdir())),)]
    kinds = {kind for (kind,) in ask(home, "SELECT DISTINCT kind FROM directory_users")}
    assert kinds >= {"person", "shared", "group", "guest"}
    evidence = {each for (each,) in ask(home, "SELECT DISTINCT evidence FROM directory_device_users")}
    assert evidence == set(EVIDENCE)
    families = {family for (family,) in ask(home, "SELECT DISTINCT family FROM directory_imports")}
    assert families >= {"csvde", "Microsoft Graph managed devices"}
    assert ask(home, "SELECT max(len(sources)) >= 3 FROM directory_users") == [(True,)]
    again = json.loads(command("import-directory", str(EXPORTS), "--json").out)
    assert {each["state"] for each in again["files"]} == {"unchanged"}


def test_every_file_ends_as_one_sentence(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    number = "00000000-0000-4000-8000-00000000000{}".format
    lines = [f"{name}@contoso.example,{name},{each}" for name, each in (("a", number(1)), ("b", "x"), ("c", "y"))]
    (folder / "a.csv").write_text("\n".join(["userPrincipalName,displayName,id", *lines, ""]))
    dora = {"id": number(4), "userPrincipalName": "d@contoso.example", "proxyAddresses": []}
    (folder / "b.json").write_text(json.dumps([dora, {**dora, "id": 5}, {"id": number(6), "deviceId": number(7)}]))
    (folder / "c.json").write_text('[{"id": "1"')
    (folder / "d.csv").write_text("colour,size\nred,3\n")
    exports, refused = read_files([folder], Settings(home=home))
    files = told(import_exports(open_store(Settings(home=home)), "default", exports, datetime.now(UTC)), refused)
    state = outcome(files)
    assert str(state.message).startswith("2 of 4 files refused. in/c.json, line 1, column 12: not JSON")
    assert [sentence(each).plain for each in files] == [
        "✔ in/a.csv (Entra users by PowerShell CSV (Get-MgUser, Get-EntraUser, Get-AzureADUser)): 1 person, 0 devices, "
        "1 address, 2 rejected (the object id is no GUID (lines 3, 4)), 1 warning",
        "✔ in/b.json (Microsoft Graph users, Microsoft Graph devices): 1 person, 1 device, 1 address, 1 rejected "
        "(Expected `str | null`, got `int` (record 2)), 1 warning",
        "✘ in/c.json, line 1, column 12: not JSON (Expecting ',' delimiter). The file is damaged or cut short; export "
        "it again. Refused: it changes nothing.",
        '✘ in/d.csv, line 1: the header is not that of a known export: "colour", "size". If the columns only have '
        "other names, add them to directory_headers.csv in the home. Refused: it changes nothing.",
    ]


def test_an_error_before_the_reading_is_the_end_in_its_own_sentence(
    prefect_api: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "drop").write_text("a file in the place of the folder")
    state = directory_import(return_state=True)
    assert state.is_failed()
    assert str(state.message).startswith("The drop folder cannot be used: ")
    monkeypatch.setenv("ATTACHMENT_ALERTS_DROP_KEEP_DAYS", "soon")
    state = directory_import([str(EXPORTS)], return_state=True)
    assert state.is_failed()
    assert str(state.message).startswith("The setting ATTACHMENT_ALERTS_DROP_KEEP_DAYS is not usable")


def test_a_file_that_cannot_be_read_is_refused_by_itself(command: Command, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    shutil.copy(EXPORTS / "graph-users.json", folder)
    (folder / "notes.csv").write_text("colour,size\nred,3\n")
    says = command("import-directory", str(folder))
    assert says.status == 1
    assert "notes.csv" in says.err
    assert [state for (state,) in ask(home, "SELECT state FROM directory_imports")] == ["imported"]


def test_a_path_that_does_not_exist_is_all_that_is_told(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Mock()
    monkeypatch.setattr("flows.server.prefect_session.load", load)
    says = Command(capsys)("import-directory", str(EXPORTS), str(tmp_path / "nowhere"))
    assert (says.status, says.out) == (1, "")
    assert re.fullmatch(r"✘ \S+nowhere does not exist\. Correct the path and try again\.\n", says.err)
    load.assert_not_called()  # which starts a server where none is


def test_the_drop_folder_is_worked_off_and_cleared(prefect_api: None, home: Path) -> None:
    settings = Settings(home=home)
    folder = drop_folder.drop_folder(settings)
    shutil.copy(EXPORTS / "graph-users.json", folder)
    (folder / "broken.json").write_text('{"value": [')
    (folder / ".being-written").write_text("")
    old = folder / DONE / f"{datetime.now(UTC) - timedelta(days=8):%Y%m%dT%H%M%S%f}-old.csv"
    old.write_text("")
    state = directory_import(return_state=True)
    assert state.is_failed()
    assert files(state.result(raise_on_failure=False)) == {"graph-users.json": "imported", "broken.json": "refused"}
    assert [each.name for each in drop_folder.waiting(folder)] == []
    assert [each.name.partition("-")[2] for each in (folder / DONE).iterdir()] == ["graph-users.json"]
    assert [each.name.partition("-")[2] for each in (folder / REFUSED).iterdir()] == ["broken.json"]
    assert directory_import(return_state=True).is_completed(), "an empty folder is no failure"


def test_what_is_no_file_in_the_drop_folder_is_refused_with_the_reason(
    prefect_api: None, home: Path, tmp_path: Path
) -> None:
    folder, outside = drop_folder.drop_folder(Settings(home=home)), tmp_path / "outside"
    outside.mkdir()
    secret = shutil.copy(EXPORTS / "graph-users.json", outside)
    (folder / "link.json").symlink_to(secret)
    (folder / "folder").symlink_to(outside)
    (folder / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "pipe.json")
    (folder / "sub").mkdir()
    (folder / "sub" / "link.json").symlink_to(secret)
    shutil.copy(EXPORTS / "graph-users.json", folder / "users.json")
    state = directory_import(return_state=True, confirm_gone=True)
    found = files(state.result(raise_on_failure=False))
    no_files = ("dangling", "folder", "link.json", "pipe.json", "sub/link.json")
    assert found == {"users.json": "imported"} | dict.fromkeys(no_files, "refused")
    assert state.is_failed()
    moved = {each.name.partition("-")[2]: each for each in (folder / REFUSED).iterdir()}
    assert set(moved) == {"dangling", "folder", "link.json", "pipe.json", "sub"}
    assert moved["link.json"].is_symlink()
    assert [each.name.partition("-")[2] for each in (folder / DONE).iterdir()] == ["users.json"]
    later = datetime.now(UTC) + timedelta(days=30)
    assert drop_folder.clear(folder, Settings(home=home), later) == 6
    assert [each.name for each in outside.iterdir()] == ["graph-users.json"]


def test_nothing_is_moved_through_a_link_in_the_place_of_a_folder(home: Path, tmp_path: Path) -> None:
    (home / "drop").mkdir()
    (home / "drop" / DONE).symlink_to(tmp_path)
    with pytest.raises(StoreError):
        drop_folder.drop_folder(Settings(home=home))


def test_what_cannot_be_put_away_is_the_end_in_its_own_sentence(
    prefect_api: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXPORTS / "graph-users.json", drop_folder.drop_folder(Settings(home=home)))

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(drop_folder.shutil, "move", full)
    state = directory_import(return_state=True)
    assert state.is_failed()
    assert str(state.message).startswith("The drop folder cannot be used: No space left on device.")
    assert files(state.result(raise_on_failure=False)) == {"graph-users.json": "imported"}


def test_the_runs_page_has_a_table_of_the_files(prefect_api: None, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(EXPORTS / "graph-users.json", folder)
    (folder / "a`|b.csv").write_text("colour,size\nred,3\n")
    state = directory_import([str(folder)], return_state=True)
    run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        (page,) = client.read_artifacts(artifact_filter=run)
    assert page.description == "2 files: 1 refused, 1 imported."
    refused, imported = json.loads(str(page.data))
    assert (refused["file"], refused["state"]) == (r"`in/a\x60\x7cb.csv`", "refused")
    assert "the header is not that of a known export" in refused["refused because"]
    assert (imported["file"], imported["kind"]) == ("`in/graph-users.json`", "Microsoft Graph users")
    counts = ask(home, "SELECT people, devices, addresses, rejected FROM directory_imports")
    assert [tuple(imported[name] for name in ("people", "devices", "addresses", "rejected"))] == counts
    assert imported["refused because"] == "-"


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
            assert health(home) == ("ok", 0, None)
            graph.sign_in_error = 7000222
            expired = command("poll", "corp")
            assert (expired.status, "The client secret has expired" in expired.err) == (1, True)
            assert "Give it with `attachment-alerts connectors rotate corp`, or in the Prefect UI" in expired.err
            state, failures, error = health(home)
            assert (state, failures, "expired" in error) == ("auth_failed", 1, True)
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
                told = stored.rows('SELECT kind FROM internal.notices WHERE told_at IS NOT NULL ORDER BY "at"')
            assert told == [("connector_lost",), ("connector_back",), ("connector_lost",)]
            page = latest("health-corp")
            assert page.startswith("## ❌ corp: failing")
            assert "67%" in page
            backfill = command("backfill", "corp", "--from", "2026-03-01", "--to", "2026-03-02")
            assert (backfill.status, "has no backfill" in backfill.err) == (1, True)
        finally:
            remove("corp")


def test_a_live_pull_that_is_stopped_or_refused_says_so(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(connector: str) -> list[Any]:
        raise KeyboardInterrupt

    with serve(Graph(users=[user(1)])) as graph:
        save_connector("corp", connector_of(graph))
        try:
            with monkeypatch.context() as patch:
                patch.setattr(entra.fetch, "fn", interrupted)
                stopped = command("poll", "corp")
            assert (stopped.status, "The same command starts again." in stopped.err) == (130, True), stopped.err
            assert command("poll", "corp").status == 0
            change("corp", tenant="other")
            refused = command("poll", "corp")
            assert (refused.status, "'corp' belongs to the tenant 'default'" in refused.err) == (1, True), refused.err
            state, failures, error = health(home)
            assert (state, failures, "belongs to the tenant" in error) == ("failing", 1, True)
            assert ask(home, "SELECT DISTINCT tenant FROM windows") == [("default",)]
        finally:
            remove("corp")
