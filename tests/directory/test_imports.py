"""Imports into a real store: snapshots, refusals, and the people and devices of alerts afterwards."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.cli.views.health import health_errors
from flows.runs.final_states import completed
from tasks.directory.export import Export
from tasks.directory.imports import run_import
from tasks.directory.imports.run_import import import_exports
from tasks.directory.sources.read_files import read_files
from tasks.groups.groups import count_people
from tasks.ingest.pull_session import begin
from tasks.ingest.run_stats import RunStats
from tasks.queries.lookups import health
from tasks.settings import DEFAULTS, Settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tests.directory.by_hand import device, devices, person, users
from tests.scans import HOUR, KEEP_ALL, START, begun, load, scan, source

NOW = START + timedelta(days=30)
DAY = timedelta(days=1)
STAFF = [person(name) for name in ("cleo", "dora", "emil", "finn", "gina", "hugo", "ivan", "jana")]
ANN = person("ann", "a.lee@contoso.example")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with scans; each test uses a copy."""
    store = begun(tmp_path_factory.mktemp("loaded"))
    load(store, [[
        scan(0, recipient="ann@contoso.example", file_name="1"),
        scan(1, recipient="a.lee+news@contoso.example", file_name="2"),
        scan(2, recipient="all@contoso.example", file_name="3"),
        scan(3, recipient="nobody@contoso.example", file_name="4"),
        scan(4, recipient="x@elsewhere.example", file_name="5"),
        scan(5, "safe", recipient="dora@contoso.example", file_name="6"),
    ]])  # fmt: skip
    return store.settings.home


@pytest.fixture
def store(loaded: Path, tmp_path: Path) -> Store:
    return open_store(Settings(home=shutil.copytree(loaded, tmp_path / "home")))


@pytest.fixture(scope="module")
def with_staff(loaded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That home after the staff was imported."""
    home = shutil.copytree(loaded, tmp_path_factory.mktemp("with_staff") / "home")
    assert bring(open_store(Settings(home=home)), staff()) == ["imported"]
    return home


@pytest.fixture
def staffed(with_staff: Path, tmp_path: Path) -> Store:
    return open_store(Settings(home=shutil.copytree(with_staff, tmp_path / "home")))


def bring(store: Store, *exports: Export, now: Any = NOW, **how: Any) -> list[str]:
    """States of the exports after an import."""
    return [outcome.state for outcome in import_exports(store, how.pop("tenant", "default"), list(exports), now, **how)]


def ask(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with store.reader() as reader:
        return reader.rows(sql)


def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    with store.transaction() as transaction:
        names = transaction.rows(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'internal' "
            "AND database_name = current_database() AND table_name <> 'store_state'"
        )
        return {name: transaction.frame(f"SELECT * FROM internal.{name} ORDER BY ALL").rows() for (name,) in names}


def staff(*more: Any, **fields: Any) -> Export:
    return users(ANN, *STAFF, *more, **fields)


def test_import_sets_people_of_alerts_and_counts_of_groups(store: Store) -> None:
    group = person("all", kind="group", account_enabled=None)
    assert bring(store, staff(group, members=[("all", "ann"), ("all", "emil")])) == ["imported"]
    assert ask(store, "SELECT file_name, match_state, match_rule FROM alerts ORDER BY file_name") == [
        ("1", "matched", "primary"),
        ("2", "matched", "alias, without tag"),
        ("3", "group", "primary"),
        ("4", "unmatched", None),
        ("5", "unmatched", None),
    ]
    reached = "SELECT display_name, via_group IS NOT NULL, count(*) FROM alert_users GROUP BY ALL ORDER BY ALL"
    assert ask(store, reached) == [
        ("Ann", False, 2), ("Ann", True, 1), ("Emil", True, 1)
    ]  # fmt: skip
    assert ask(store, "SELECT user_count, unmatched_count, recipient_count, users FROM alert_groups") == [
        (2, 2, 5, ["Ann", "Emil"])
    ]
    assert ask(store, "SELECT recipient, split_part(reason, ' (', 1) FROM unmatched_recipients ORDER BY ALL") == [
        ("nobody@contoso.example", "unknown address"), ("x@elsewhere.example", "external domain")
    ]  # fmt: skip
    assert ask(store, "SELECT match_rule FROM scans WHERE priority = 'low'") == [("primary",)]
    assert ask(store, "SELECT count(user_id) FROM exposures") == [(1,)]


def test_unknown_group_members_warned_about(store: Store) -> None:
    bring(store, staff(ALL, members=[("all", "ann"), ("all", "zoe")]))
    ((warnings,),) = ask(store, "SELECT warnings FROM directory_imports")
    assert [warning.split()[:2] for warning in warnings] == [["1", "member"]]


def test_devices_listed_by_evidence(store: Store) -> None:
    pc = device("pc-1", "ann")
    again = {**pc[1], "evidence": "logged_on"}
    bring(store, staff(), devices(pc, (pc[0], again), device("pc-2", "dora")))
    assert ask(store, "SELECT DISTINCT device_name, evidence FROM alert_devices") == [("pc-1", "primary_user")]
    assert ask(store, "SELECT device_count, devices FROM alert_groups") == [(1, ["pc-1"])]
    assert ask(store, "SELECT count(*) FROM directory_device_users") == [(3,)]


def test_exposures_have_people_and_devices_of_then_else_of_now(store: Store) -> None:
    keeping = open_store(Settings(home=store.settings.home, **KEEP_ALL))
    load(keeping, [[scan(6, "safe", recipient=f"{name}@contoso.example", file_name=name) for name in ("emil", "all")]])
    everybody = staff(person("all", kind="group", account_enabled=None), members=[("all", "ann")])
    bring(store, everybody, devices(device("pc-1", "dora"), device("pc-2", "ann")))
    query = "SELECT recipient, display_name, devices FROM exposures ORDER BY recipient"
    group = ("all@contoso.example", None, [])
    assert ask(store, query) == [
        group, ("dora@contoso.example", "Dora", ["pc-1"]), ("emil@contoso.example", "Emil", [])
    ]  # fmt: skip
    later = devices(device("pc-1", "finn"), device("pc-2", "ann"), device("pc-3", "emil"), device("pc-4", "dora"))
    bring(store, later, now=NOW + DAY)
    assert ask(store, query) == [
        group, ("dora@contoso.example", "Dora", ["pc-1"]), ("emil@contoso.example", "Emil", ["pc-3"])
    ]  # fmt: skip


def test_unchanged_file_changes_nothing(store: Store) -> None:
    bring(store, staff(), devices(device("pc-1", "ann")))
    before = everything(store)
    assert bring(store, staff(), devices(device("pc-1", "ann")), now=NOW + DAY) == ["unchanged", "unchanged"]
    after = everything(store)
    assert {name for name in after if after[name] != before[name]} == {"directory_imports"}, "the clock of its age"
    with store.transaction() as transaction:
        transaction.run("UPDATE internal.directory_imports SET confirmed_at = NULL")
    assert everything(store) == before


def test_missing_person_marked_as_gone_and_kept(staffed: Store) -> None:
    assert bring(staffed, users(*STAFF), now=NOW + DAY) == ["imported"]
    assert ask(staffed, "SELECT display_name FROM directory_users WHERE gone_at IS NOT NULL") == [("Ann",)]
    assert ask(staffed, "SELECT match_state FROM alerts WHERE file_name = '1'") == [("matched",)], "she was there then"
    bring(staffed, staff(), now=NOW + 2 * DAY)
    assert ask(staffed, "SELECT count(*) FROM directory_users WHERE gone_at IS NOT NULL") == [(0,)]
    assert ask(staffed, "SELECT count(DISTINCT user_id), count(*) FROM directory_users") == [(9, 9)]


def test_reassigned_address_matched_by_time(staffed: Store) -> None:
    bob = person("bob", "a.lee@contoso.example")
    bring(staffed, users(person("ann"), bob, *STAFF), now=NOW + DAY)
    load(staffed, [[scan(24 * 40, recipient="a.lee@contoso.example", file_name="7")]])
    staffed.publish()
    assert ask(staffed, "SELECT a.file_name, u.display_name FROM alerts a JOIN alert_users u USING (alert_id) "
               "WHERE a.file_name IN ('2', '7') ORDER BY ALL") == [("2", "Ann"), ("7", "Bob")]  # fmt: skip


def test_match_has_last_snapshot_with_the_address(store: Store) -> None:
    for day, who in enumerate(([ANN], [ANN, person("kim")], [person("ann"), person("kim")], [person("ann")])):
        bring(store, users(*who, *STAFF, snapshot_at=NOW + day * DAY - HOUR), now=NOW + day * DAY)
    query = "SELECT a.file_name, u.snapshot_at, u.match_rank, u.matched_value FROM alert_users u JOIN alerts a USING "
    assert ask(store, query + "(alert_id) WHERE a.recipient LIKE 'a%' ORDER BY ALL") == [
        ("1", NOW + 3 * DAY - HOUR, 1, "ann@contoso.example"),
        ("2", NOW + DAY - HOUR, 2, "a.lee@contoso.example"),
    ]


def test_mailbox_precedes_mail_user_with_same_address(store: Store, tmp_path: Path) -> None:
    rows = [
        f"CN={name},DC=contoso,DC=example;user;{name};S-1-5-21-1-2-3-{kind};{kind};SMTP:ann@contoso.example\n"
        for name, kind in (("Box", 1), ("Elsewhere", 128))
    ]
    file = tmp_path / "csvde.csv"
    file.write_text("DN;objectClass;displayName;objectSid;msExchRecipientTypeDetails;proxyAddresses\n" + "".join(rows))
    bring(store, *read_files([file], store.settings)[0])
    assert ask(store, "SELECT display_name, kind FROM directory_users ORDER BY ALL") == [
        ("Box", "person"), ("Elsewhere", "person")
    ]  # fmt: skip
    load(store, [[scan(8, recipient="ann+x@contoso.example", file_name="later")]])
    store.publish()
    query = "SELECT a.file_name, u.display_name FROM alert_users u JOIN alerts a USING (alert_id) ORDER BY ALL"
    assert ask(store, query) == [("1", "Box"), ("later", "Box")]


def test_truncated_export_refused_unless_confirmed(staffed: Store) -> None:
    before = everything(staffed)
    assert bring(staffed, users(ANN, *STAFF[:6]), now=NOW + DAY) == ["refused"]
    after = everything(staffed)
    assert {name for name in after if after[name] != before[name]} == {"directory_imports"}
    assert "22%" in ask(staffed, "SELECT warnings[-1] FROM directory_imports WHERE state = 'refused'")[0][0]
    assert bring(staffed, users(ANN, *STAFF[:6]), now=NOW + DAY, confirmed=True) == ["imported"]
    assert ask(staffed, "SELECT count(*) FROM directory_users WHERE gone_at IS NOT NULL") == [(2,)]


def test_partial_export_refused_if_anybody_is_missing(staffed: Store) -> None:
    assert bring(staffed, users(*STAFF, complete=False), now=NOW + DAY) == ["refused"]
    assert bring(staffed, staff(person("kim"), complete=False), now=NOW + DAY) == ["imported"], "nobody is missing"


def test_file_with_one_refused_part_refused_as_a_whole(staffed: Store) -> None:
    both = [users(ANN), devices(device("pc-1", "ann"))]
    for export in both:
        export.file_name = "mixed.json"
    other = replace(devices(device("pc-2", "dora")), file_name="other.json")
    outcomes = import_exports(staffed, "default", [*both, other], NOW)
    assert [outcome.state for outcome in outcomes] == ["refused"] * 3
    assert all("mixed.json" in (outcome.reason or "") for outcome in outcomes[1:])
    assert ask(staffed, "SELECT count(*) FROM directory_devices") == [(0,)]


def test_source_with_possibly_unreadable_file_refused(store: Store) -> None:
    one, other = users(ANN, *STAFF), replace(users(person("kim")), file_name="second.json")
    bring(store, one, other)
    news = users(ANN, *STAFF, person("lena"))
    (outcome,) = import_exports(store, "default", [replace(news)], NOW + DAY, unreadable=["broken.json"])
    assert (outcome.state, "broken.json" in (outcome.reason or "")) == ("refused", True)
    assert bring(store, news, other, now=NOW + DAY, unreadable=["broken.json"]) == ["imported", "imported"]


@pytest.mark.parametrize("backwards", [False, True])
def test_order_of_files_has_no_effect(store: Store, backwards: bool) -> None:
    old = replace(users(person("ann", display_name="Ann Lee")), file_name="users-1.json")
    new = replace(users(person("ann", display_name="Ann Moss"), person("kim")), file_name="users-2.json")
    bring(store, *((new, old) if backwards else (old, new)))
    assert ask(store, "SELECT display_name FROM directory_users ORDER BY ALL") == [("Ann Moss",), ("Kim",)]


def test_changed_domain_aliases_rematch_recipients_of_unchanged_exports(staffed: Store) -> None:
    assert import_exports(staffed, "default", [], NOW + DAY) == []
    query = "SELECT match_state, match_rule FROM alerts WHERE file_name = '5'"
    assert ask(staffed, query) == [("unmatched", None)]
    load(staffed, [[scan(7, recipient="ann@elsewhere.example", file_name="9")]])
    other = open_store(Settings(home=staffed.settings.home, domain_aliases="elsewhere.example=contoso.example"))
    assert bring(other, staff(), now=NOW + DAY) == ["unchanged"]
    assert ask(other, "SELECT match_rule FROM alerts WHERE file_name = '9'") == [("primary, domain alias",)]
    before = everything(other)
    assert bring(other, staff(), now=NOW + DAY) == ["unchanged"]
    assert everything(other) == before
    assert import_exports(staffed, "default", [], NOW + DAY) == [], "the former settings again, and no files"
    assert ask(staffed, "SELECT match_rule FROM alerts WHERE file_name = '9'") == [(None,)]


def test_import_overtaken_by_another_is_repeated(staffed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    inner, overtaking = run_import.build, iter([devices(device("pc-1", "ann"))])

    def overtaken(*how: Any) -> tuple[str, ...]:
        found = inner(*how)
        for other in overtaking:
            bring(staffed, other, now=NOW + DAY)
        return found

    monkeypatch.setattr(run_import, "build", overtaken)
    assert bring(staffed, staff(person("kim")), now=NOW + DAY) == ["imported"]
    assert ask(staffed, "SELECT count(*) FROM directory_users WHERE display_name = 'Kim'") == [(1,)]
    assert ask(staffed, "SELECT count(*) FROM alert_devices") != [(0,)]


def test_other_source_imported_beside_refused_one(staffed: Store) -> None:
    assert bring(staffed, users(ANN), devices(device("pc-1", "ann"))) == ["refused", "imported"]
    assert ask(staffed, "SELECT count(*) FROM alert_devices") != [(0,)]


def test_load_matches_new_recipients_only(staffed: Store) -> None:
    before = ask(staffed, "SELECT count(*) FROM internal.recipients")
    load(
        staffed, [[scan(6, recipient="dora@contoso.example", file_name="8"), scan(6, recipient="hugo@contoso.example")]]
    )
    staffed.publish()
    assert ask(staffed, "SELECT count(*) FROM internal.recipients") == [(before[0][0] + 1,)]
    assert ask(staffed, "SELECT user_count, unmatched_count FROM alert_groups") == [(3, 3)]


COUNTS = "SELECT file_name, user_count, device_count, unmatched_count FROM internal.groups ORDER BY file_name"
ALL = person("all", kind="group", account_enabled=None)
KIM = person("kim")
STEPS = [
    (staff(ALL, members=[("all", "emil")], has_aliases=False), ""),  # no recipient changes
    (staff(ALL, KIM, members=[("all", "emil")]), "4"),
    (staff(ALL, KIM, members=[("all", "emil"), ("all", "finn")]), "3"),
    (devices(device("pc-1", "ann"), device("pc-2", "emil"), device("pc-3", "emil")), "3"),
    (devices(device("pc-1", "dora"), device("pc-2", "emil"), device("pc-3", "kim")), "1234"),
    (users(ANN, person("bea", "dora@contoso.example"), ALL, KIM, *STAFF[:1], *STAFF[2:], members=[("all", "ann")]),
     "23"),
]  # fmt: skip
"""exports, and the groups that are recounted after each"""


def test_import_recounts_affected_groups_only(tmp_path: Path) -> None:
    store = begun(tmp_path)
    recipients = {"1": "ann", "2": "dora", "3": "all", "4": "kim"}  # by file name: a group of alerts each
    load(store, [[scan(n, recipient=f"{name}@contoso.example", file_name=file, file_sha256=file * 64)
                  for n, (file, name) in enumerate(recipients.items())]])  # fmt: skip
    bring(store, staff(ALL, members=[("all", "emil")]), devices(device("pc-1", "ann"), device("pc-2", "emil")))
    for number, (export, moved) in enumerate(STEPS):
        before = ask(store, COUNTS)
        with store.transaction() as transaction:
            transaction.run("UPDATE internal.groups SET user_count = -1")  # a recount overwrites it
        later = NOW + (number + 1) * DAY
        assert bring(store, replace(export, digest=str(number)), now=later, confirmed=True) == ["imported"]
        counted = [row if row[1] != -1 else old for row, old in zip(ask(store, COUNTS), before, strict=True)]
        assert [row[0] for row in ask(store, COUNTS) if row[1] != -1] == list(moved)
        with store.transaction() as transaction:
            count_people(transaction, transaction.frame("SELECT group_id::VARCHAR AS group_id FROM internal.groups"))
            transaction.publish = True
        assert ask(store, COUNTS) == counted, "a full recount has the same result"


def test_alerts_without_directory_have_no_match(store: Store) -> None:
    store.publish()
    assert ask(store, "SELECT DISTINCT match_state, user_id FROM alerts") == [(None, None)]
    assert ask(store, "SELECT user_count, device_count, unmatched_count, users FROM alert_groups") == [
        (None, None, None, [])
    ]
    assert ask(store, "SELECT count(*) FROM unmatched_recipients") == [(0,)]


def test_domain_of_guest_is_external(store: Store) -> None:
    guest, addresses = person("x", kind="guest")
    foreign = [row | {"address": "known@elsewhere.example"} for row in addresses]
    bring(store, staff((guest, foreign)))
    unmatched = "SELECT split_part(reason, ' (', 1) FROM unmatched_recipients WHERE recipient = 'x@elsewhere.example'"
    assert ask(store, unmatched) == [("external domain",)]


def test_import_affects_its_tenant_only(store: Store) -> None:
    bring(store, staff(), tenant="other")
    assert ask(store, "SELECT DISTINCT match_state FROM alerts") == [(None,)]
    load(store, [[scan(9, recipient="ann@contoso.example")]], source(2, tenant="other"))
    store.publish()
    assert ask(store, "SELECT tenant, match_state FROM alerts WHERE match_state IS NOT NULL") == [("other", "matched")]


def test_people_keep_ids_after_import_of_another_source(staffed: Store) -> None:
    ids = ask(staffed, "SELECT display_name, user_id FROM directory_users ORDER BY ALL")
    bring(staffed, staff(person("kim")), now=NOW + DAY)
    assert set(ids) < set(ask(staffed, "SELECT display_name, user_id FROM directory_users"))


def test_age_of_directory_in_health_and_summary(staffed: Store) -> None:
    hours = int((datetime.now(UTC) - NOW) / HOUR)
    assert ask(staffed, "SELECT directory_age_hours FROM connector_health") == [(hours,)]
    old = f"the directory is {hours // 24} days old"
    assert all(old in reason for (reason,) in ask(staffed, "SELECT reason FROM unmatched_recipients"))
    summary = RunStats(directory_days=begin(staffed, source(), datetime.now(UTC)).directory_days)
    assert f"The directory is {hours // 24} days old" in (completed(summary).message or "")
    assert f"{hours // 24} days old" in "".join(map(str, health_errors(health(staffed))))
    seen = read_files([DEFAULTS / "demo" / "intune-devices.csv"], staffed.settings)[0]
    assert seen[0].counts["people"] > 0
    bring(staffed, *seen, now=datetime.now(UTC))
    assert ask(staffed, "SELECT directory_age_hours FROM connector_health") == [(hours,)], (
        "exports of devices do not confirm people"
    )
    contact = users(person("zoe", kind="contact"))
    contacts = replace(contact, parsed=replace(contact.parsed, source="graph-contacts"))
    bring(staffed, contacts, now=datetime.now(UTC))
    assert ask(staffed, "SELECT directory_age_hours FROM connector_health") == [(hours,)]
    assert bring(staffed, staff(), now=datetime.now(UTC) - 6 * DAY) == ["unchanged"]
    assert begin(staffed, source(), datetime.now(UTC)).directory_days == 0
    assert health_errors(health(staffed)) == []
    assert not any("days old" in reason for (reason,) in ask(staffed, "SELECT reason FROM unmatched_recipients"))


def test_import_of_another_source_of_people_renews_the_directory(staffed: Store) -> None:
    assert begin(staffed, source(), datetime.now(UTC)).directory_days > 7
    other = replace(users(person("kim")), parsed=replace(users(person("kim")).parsed, source="ad-users"))
    bring(staffed, other, now=datetime.now(UTC) - 6 * DAY)
    assert begin(staffed, source(), datetime.now(UTC)).directory_days == 0
