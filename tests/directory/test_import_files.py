"""Import of files by the plain function that the command and the flow call: files by name, and the drop folder."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.directory.formats.archive import DONE, REFUSED
from tasks.directory.imports import drop_folder
from tasks.directory.imports.file_report import ImportReport
from tasks.directory.imports.import_files import import_files
from tasks.directory.model import EVIDENCE
from tasks.errors import StoreError
from tasks.settings import DEFAULTS, Settings
from tasks.store.factory import open_store

DEMO_EXPORTS = DEFAULTS / "demo"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ATTACHMENT_ALERTS_HOME", str(home))
    return home


def run(*paths: Path, confirm_gone: bool = False) -> ImportReport:
    return import_files([str(path) for path in paths], "default", confirm_gone=confirm_gone)


def states(report: ImportReport) -> dict[str, str]:
    return {file["file"]: file["state"] for file in report.files}


def column(home: Path, sql: str) -> set[object]:
    with open_store(Settings(home=home)).reader() as reader:
        return {row[0] for row in reader.rows(sql)}


def names_in(folder: Path) -> set[str]:
    """Without the time that each name begins with."""
    return {path.name.partition("-")[2] for path in folder.iterdir()}


def test_demo_exports_imported_once_and_unchanged_the_second_time(home: Path) -> None:
    report = run(DEMO_EXPORTS)
    assert report.error is None
    assert set(states(report).values()) == {"imported"}
    assert len(report.files) == len(list(DEMO_EXPORTS.iterdir()))
    assert column(home, "SELECT kind FROM directory_users") >= {"person", "shared", "group", "guest"}
    assert column(home, "SELECT evidence FROM directory_device_users") == set(EVIDENCE)
    assert column(home, "SELECT family FROM directory_imports") >= {"csvde", "Microsoft Graph managed devices"}
    assert set(states(run(DEMO_EXPORTS)).values()) == {"unchanged"}


def test_report_has_counts_rejected_rows_and_refusals_by_file(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    number = "00000000-0000-4000-8000-00000000000{}".format
    lines = [
        f"{name}@contoso.example,{name},{entra_id}" for name, entra_id in (("a", number(1)), ("b", "x"), ("c", "y"))
    ]
    (folder / "a.csv").write_text("\n".join(["userPrincipalName,displayName,id", *lines, ""]))
    dora = {"id": number(4), "userPrincipalName": "d@contoso.example", "proxyAddresses": []}
    (folder / "b.json").write_text(json.dumps([dora, {**dora, "id": 5}, {"id": number(6), "deviceId": number(7)}]))
    (folder / "c.json").write_text('[{"id": "1"')
    report = run(folder)
    users, mixed, broken = sorted(report.files, key=lambda file: file["file"])
    assert (users["state"], users["people"], users["addresses"], users["rejected"]) == ("imported", 1, 1, 2)
    assert [reason.partition("(")[2] for reason in users["reasons"]] == ["lines 3, 4)"]
    assert (mixed["people"], mixed["devices"], mixed["rejected"]) == (1, 1, 1)
    assert mixed["family"] == "Microsoft Graph users, Microsoft Graph devices"
    assert [reason.partition("(")[2] for reason in mixed["reasons"]] == ["record 2)"]
    assert (broken["state"], broken["family"], broken["people"]) == ("refused", None, 0)
    assert (broken["refusal"] or "").startswith("in/c.json, line 1, column 12")
    assert report.error is not None
    assert broken["refusal"] in report.error


def test_import_that_would_mark_many_as_gone_refused_unless_confirmed(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    lines = [f"u{n}@contoso.example,U,00000000-0000-4000-8000-00000000000{n}\n" for n in range(10)]
    path.write_text("userPrincipalName,displayName,id\n" + "".join(lines))
    assert run(path).error is None
    path.write_text("userPrincipalName,displayName,id\n" + "".join(lines[:2]))
    report = run(path)
    assert states(report) == {"users.csv": "refused"}
    assert "80%" in (report.error or "")
    assert states(run(path, confirm_gone=True)) == {"users.csv": "imported"}


def test_export_with_nothing_to_import_refused(home: Path, tmp_path: Path) -> None:
    schema = 'DN,objectClass,cn\n"CN=Mail,CN=Schema,DC=contoso,DC=example",top;attributeSchema,Mail\n'
    (tmp_path / "schema.csv").write_text(schema)
    (tmp_path / "empty.json").write_text(
        '{"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users", "value": []}'
    )
    (tmp_path / "dsquery.txt").write_text('"CN=Ann,OU=Staff,DC=contoso,DC=example"\n')
    report = run(tmp_path / "schema.csv", tmp_path / "empty.json", tmp_path / "dsquery.txt")
    assert set(states(report).values()) == {"refused"}
    assert report.error is not None
    assert all(file["refusal"] for file in report.files)


def test_groups_counted_apart_from_people(home: Path, tmp_path: Path) -> None:
    entries = [("Ann", "user"), ("Staff", "group"), ("Admins", "group")]
    lines = [f'"CN={name},DC=contoso,DC=example",{kind},{name}\n' for name, kind in entries]
    (tmp_path / "ad.csv").write_text("DN,objectClass,cn\n" + "".join(lines))
    (file,) = run(tmp_path / "ad.csv").files
    assert (file["people"], file["groups"]) == (1, 2)
    assert column(home, "SELECT people FROM directory_imports") == {1}


def test_deleted_object_marked_as_gone(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    people = [
        {"id": f"00000000-0000-4000-8000-00000000000{n}", "userPrincipalName": f"u{n}@contoso.example"}
        for n in range(9)
    ]
    path.write_text(json.dumps(people))
    assert run(path).error is None
    path.write_text(json.dumps([{**people[0], "deletedDateTime": "2026-11-20T08:00:00Z"}, *people[1:]]))
    assert run(path).error is None
    assert column(home, "SELECT upn FROM directory_users WHERE gone_at IS NOT NULL") == {"u0@contoso.example"}


def test_person_of_okta_entra_and_google_merged_by_address(home: Path, tmp_path: Path) -> None:
    mail = "ann@contoso.example"
    (tmp_path / "okta.csv").write_text(f"login,email,firstName,lastName,status\n{mail},{mail},Ann,Adams,ACTIVE\n")
    (tmp_path / "google.csv").write_text(f"primaryEmail,name.fullName,suspended\n{mail},Ann Adams,False\n")
    user = {"id": "00000000-0000-4000-8000-000000000001", "userPrincipalName": mail, "mail": mail}
    (tmp_path / "graph.json").write_text(json.dumps([user]))
    assert run(*(tmp_path / name for name in ("okta.csv", "google.csv", "graph.json"))).error is None
    with open_store(Settings(home=home)).reader() as reader:
        assert reader.rows("SELECT sources, merge_rules FROM directory_users") == [
            (["google-users", "graph-users", "okta-users"], ["address"])
        ]


def test_unknown_setting_value_reported_as_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTACHMENT_ALERTS_DROP_KEEP_DAYS", "soon")
    report = run(DEMO_EXPORTS)
    assert report.files == []
    assert "ATTACHMENT_ALERTS_DROP_KEEP_DAYS" in (report.error or "")


def test_file_in_place_of_drop_folder_reported_as_error(home: Path) -> None:
    (home / "drop").write_text("")
    report = run()
    assert report.files == []
    assert report.error is not None


def test_drop_folder_imported_moved_and_expired_files_deleted(home: Path) -> None:
    folder = drop_folder.ensure_drop_folder(Settings(home=home))
    shutil.copy(DEMO_EXPORTS / "graph-users.json", folder)
    (folder / "broken.json").write_text('{"value": [')
    (folder / ".being-written").write_text("")
    old = folder / DONE / f"{datetime.now(UTC) - timedelta(days=8):%Y%m%dT%H%M%S%f}-old.csv"
    old.write_text("")
    report = run()
    assert states(report) == {"graph-users.json": "imported", "broken.json": "refused"}
    assert report.error is not None
    assert drop_folder.list_waiting(folder) == []
    assert (names_in(folder / DONE), names_in(folder / REFUSED)) == ({"graph-users.json"}, {"broken.json"})
    assert run() == ImportReport([])


def test_links_and_pipes_in_drop_folder_refused_and_never_followed(home: Path, tmp_path: Path) -> None:
    folder, outside = drop_folder.ensure_drop_folder(Settings(home=home)), tmp_path / "outside"
    outside.mkdir()
    secret = shutil.copy(DEMO_EXPORTS / "graph-users.json", outside)
    (folder / "link.json").symlink_to(secret)
    (folder / "folder").symlink_to(outside)
    (folder / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "pipe.json")
    (folder / "sub").mkdir()
    (folder / "sub" / "link.json").symlink_to(secret)
    shutil.copy(DEMO_EXPORTS / "graph-users.json", folder / "users.json")
    report = run(confirm_gone=True)
    refused = ("dangling", "folder", "link.json", "pipe.json", "sub/link.json")
    assert states(report) == {"users.json": "imported"} | dict.fromkeys(refused, "refused")
    assert names_in(folder / REFUSED) == {"dangling", "folder", "link.json", "pipe.json", "sub"}
    assert all(path.is_symlink() for path in (folder / REFUSED).iterdir() if path.name.endswith("-link.json"))
    assert names_in(folder / DONE) == {"users.json"}
    later = datetime.now(UTC) + timedelta(days=30)
    assert drop_folder.delete_expired(folder, Settings(home=home), later) == 6
    assert [path.name for path in outside.iterdir()] == ["graph-users.json"]


def test_link_in_place_of_done_folder_refused(home: Path, tmp_path: Path) -> None:
    (home / "drop").mkdir()
    (home / "drop" / DONE).symlink_to(tmp_path)
    with pytest.raises(StoreError):
        drop_folder.ensure_drop_folder(Settings(home=home))


def test_file_that_cannot_be_moved_is_imported_and_reported_as_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(DEMO_EXPORTS / "graph-users.json", drop_folder.ensure_drop_folder(Settings(home=home)))

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(shutil, "move", full)
    report = run()
    assert states(report) == {"graph-users.json": "imported"}
    assert "No space left on device" in (report.error or "")
