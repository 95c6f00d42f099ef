"""The one door: lock, crash, publication, versions of the store."""

import gzip
import os
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tasks.errors import SettingsError, StoreBusy, StoreError, StoreTooNew
from tasks.ingest import pull_session
from tasks.private_files import keep_files_private
from tasks.settings import Settings
from tasks.store import embedded, migrations
from tasks.store.factory import open_store
from tasks.store.store import Store
from tests.scans import START, load, rows, scan, source

ALL = "SELECT count(*) FROM scans"


def shown(store: Store, sql: str = ALL) -> int:
    """What an analyst's client reads from the published file."""
    with duckdb.connect(str(store.published_path), read_only=True) as client:
        return int(client.execute(sql).fetchall()[0][0])


def test_exception_in_transaction_rolls_back(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as transaction:
        transaction.run("INSERT INTO internal.dangerous_hashes VALUES ('default', 'x', now())")
        transaction.changed = transaction.publish = True
        raise ZeroDivisionError
    assert rows(store, "SELECT count(*) FROM internal.dangerous_hashes") == [(0,)]


def test_transaction_releases_frames_after_each_statement(store: Store) -> None:
    frame = pl.DataFrame({"n": [1, 2]})
    given = weakref.ref(frame)
    with store.transaction() as transaction:
        transaction.run("CREATE TEMP TABLE kept AS SELECT * FROM given", given=frame)
        del frame
        assert given() is None
        assert transaction.rows("SELECT sum(n) FROM kept") == [(3,)]


def test_second_writer_waits_for_first(store: Store) -> None:
    began, waited = threading.Event(), []

    def second() -> None:
        began.wait()
        load(open_store(store.settings), [[scan(1)]])
        waited.append(rows(store, ALL))

    other = threading.Thread(target=second)
    other.start()
    with store.transaction() as transaction:
        began.set()
        time.sleep(0.3)
        assert not waited
        transaction.run("INSERT INTO internal.dangerous_hashes VALUES ('default', 'x', now())")
    other.join()
    assert waited == [[(1,)]]


def test_writer_that_waits_too_long_raises_store_busy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOCK_PATIENCE", 2.1)
    with (
        store.transaction(),
        pytest.raises(StoreBusy, match=r"Another process has been writing to .*try again"),
        open_store(store.settings).transaction(),
    ):
        pass


@pytest.mark.parametrize("moment", ["before COMMIT", "after COMMIT"])
def test_killed_writer_loses_and_duplicates_nothing(store: Store, moment: str) -> None:
    load(store, [[scan(0)]])
    script = f"""
        import os, signal
        from pathlib import Path
        from tasks.store.factory import open_store
        from tasks.store.connection import Connection
        from tests.scans import Settings, load, scan

        def kill(): os.kill(os.getpid(), signal.SIGKILL)

        run = Connection.run
        def dying(self, sql, *arguments, **frames):
            if sql == "COMMIT" and "{moment}" == "before COMMIT": kill()
            run(self, sql, *arguments, **frames)
            if sql == "COMMIT" and {len("after COMMIT")} == len("{moment}"): kill()

        store = open_store(Settings(home=Path({str(store.settings.home)!r})))
        Connection.run = dying
        load(store, [[scan(0), scan(1)]])
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, cwd=migrations.SQL.parents[1])
    assert died.returncode == -9
    expected = 1 if moment == "before COMMIT" else 2
    assert rows(open_store(store.settings), ALL) == [(expected,)]
    assert load(open_store(store.settings), [[scan(0), scan(1)]]).new == 2 - expected
    assert rows(store, "SELECT count(*), count(DISTINCT alert_id) FROM alerts") == [(2, 2)]


def test_next_run_publishes_commits_of_killed_run(store: Store) -> None:
    load(store, [[scan(0)]])
    assert shown(store) == 0
    pull_session.begin(store, source(), START)
    assert shown(store) == 1
    assert store.published_revision() == rows(store, "SELECT revision FROM published")[0][0]


def test_open_reader_does_not_block_publication(store: Store) -> None:
    script = f"""
        import duckdb
        client = duckdb.connect({str(store.published_path)!r}, read_only=True)
        while True:
            print(client.execute({ALL!r}).fetchall()[0][0], flush=True)
            input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as session:
        assert session.stdin is not None and session.stdout is not None
        for number in range(3):
            assert session.stdout.readline() == "0\n"
            load(store, [[scan(number)]])
            store.publish()
            assert shown(store) == number + 1
            print(file=session.stdin, flush=True)
        session.kill()


def test_stale_log_beside_published_file_is_removed(store: Store) -> None:
    store.published_path.chmod(0o600)
    # An analyst who opened it for writing and died: what he wrote must not come back in the next copy.
    script = f"""
        import duckdb, os
        client = duckdb.connect({str(store.published_path)!r})
        client.execute("SET wal_autocheckpoint = '1TB'")
        client.execute("CREATE TABLE mine AS SELECT 1").fetchall()
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
    left = store.published_path.with_name("alerts.duckdb.wal")
    assert left.exists()
    load(store, [[scan(0)]])
    store.publish()
    assert not left.exists()
    assert shown(store) == 1
    assert shown(store, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'mine'") == 0


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """As the process that opens a store was started with."""
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077], indirect=True)
@pytest.mark.usefixtures("umask")
def test_files_of_home_are_private_with_any_umask(tmp_path: Path) -> None:
    keep_files_private()
    store = open_store(Settings(home=tmp_path / "home"))
    with store.transaction() as transaction:
        transaction.run("CREATE TABLE internal.more AS SELECT 1; COMMIT; BEGIN")
        found = modes(tmp_path / "home")
        transaction.publish = True
    assert "store.duckdb.wal" in found
    found |= modes(tmp_path / "home")
    assert "alerts.duckdb" in found
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
    assert (tmp_path / "home").stat().st_mode & 0o007 == 0


def modes(home: Path) -> dict[str, int]:
    return {each.name: each.lstat().st_mode for each in home.rglob("*") if each.is_file()}


def test_published_file_is_readable_by_configured_group_only(new_store: Store, tmp_path: Path) -> None:
    assert stat.S_IMODE(new_store.published_path.stat().st_mode) == 0o400
    assert stat.S_IMODE(new_store.path.stat().st_mode) == 0o600
    own_group = str(tmp_path.group())
    shared = open_store(Settings(home=tmp_path, readers_group=own_group))
    shared.publish()
    assert stat.S_IMODE(shared.published_path.stat().st_mode) == 0o440
    with pytest.raises(SettingsError, match="no-such-group"):
        open_store(Settings(home=tmp_path, readers_group="no-such-group")).publish()


def test_reader_before_first_publication_raises_settings_error(tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match=r"does not exist yet\. Poll a connector first"),
        open_store(Settings(home=tmp_path)).reader(),
    ):
        pass


def test_published_file_has_format_of_installed_clients(new_store: Store) -> None:
    tags = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal"
    with duckdb.connect(str(new_store.published_path), read_only=True) as client:
        assert str(client.execute(tags).fetchall()[0][0]).startswith("v1.5.0")


def test_store_of_later_version_is_refused(store: Store) -> None:
    with store.transaction() as transaction:
        transaction.run("UPDATE internal.store_state SET schema_version = 99")
    with pytest.raises(StoreTooNew, match=r"schema version 99.*Update attachment-alerts"), store.transaction():
        pass


@pytest.fixture
def next_version(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program as its next schema version: the same files and a migration to be written by the test."""
    folder = tmp_path_factory.mktemp("sql")
    for file in migrations.SQL.glob("*.*"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "migrations").mkdir()
    monkeypatch.setattr(migrations, "SQL", folder)
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", migrations.SCHEMA_VERSION + 1)
    return folder / "migrations" / f"{migrations.SCHEMA_VERSION:04}.sql"


def test_older_store_is_backed_up_and_migrated(store: Store, next_version: Path) -> None:
    next_version.write_text("ALTER TABLE internal.groups ADD COLUMN colour VARCHAR DEFAULT 'red'")
    before = store.path.read_bytes()
    assert rows(store, "SELECT schema_version FROM published") == [(migrations.SCHEMA_VERSION,)]
    assert rows(store, "SELECT count(colour) FROM internal.groups") == [(0,)]
    backup = store.path.with_name(f"store.version-{migrations.SCHEMA_VERSION - 1}.duckdb")
    assert backup.read_bytes() == before


def test_failed_migration_leaves_store_unchanged(store: Store, next_version: Path) -> None:
    next_version.write_text("ALTER TABLE internal.groups ADD COLUMN colour VARCHAR; SELECT * FROM no_such_table")
    with pytest.raises(StoreError, match="no_such_table"), store.transaction():
        pass
    with duckdb.connect(str(store.path), read_only=True) as client:
        assert client.execute("SELECT schema_version FROM internal.store_state").fetchall() == [
            (migrations.SCHEMA_VERSION - 1,)
        ]
        names = client.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = 'groups'").fetchall()
    assert ("colour",) not in names


NOT_OF_VERSION_1 = {"waiting_messages",
    "alert_users", "alert_devices", "unmatched_recipients", "directory_users", "directory_addresses",
    "directory_devices", "directory_device_users", "directory_imports", "triage_log", "allow_list", "suppressed_alerts",
}  # fmt: skip


def test_store_of_first_version_is_migrated(tmp_path: Path) -> None:
    """`store_v1.duckdb.gz` was written by the first schema version and never changes."""
    old = Path(__file__).parent / "store_v1.duckdb.gz"
    (tmp_path / "store.duckdb").write_bytes(gzip.decompress(old.read_bytes()))
    store = open_store(Settings(home=tmp_path))
    store.publish()
    with store.reader() as reader:
        relations = reader.rows("SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal")
        counts = {name: reader.rows(f"SELECT count(*) FROM {name}")[0][0] for (name,) in relations}
        assert reader.rows("SELECT DISTINCT schema_version FROM published") == [(migrations.SCHEMA_VERSION,)]
        dangerous = reader.rows(
            "SELECT tenant, file_sha256, first_alert_at FROM internal.dangerous_hashes ORDER BY ALL"
        )
        assert dangerous == reader.rows(
            "SELECT tenant, file_sha256, min(dangerous_at) FROM internal.groups "
            "WHERE dangerous_at IS NOT NULL AND file_sha256 IS NOT NULL GROUP BY ALL ORDER BY ALL"
        )
        assert dangerous
    of_version_1 = {name: count for name, count in counts.items() if name not in NOT_OF_VERSION_1}
    assert all(of_version_1.values()), counts
    assert not any(counts[name] for name in NOT_OF_VERSION_1)
    assert load(store, [[scan(0)]]).duplicates == 1


@pytest.mark.parametrize("look", ["exists", "is_published", "size", "published_revision"])
def test_look_at_a_home_that_the_system_refuses_is_an_error_of_the_store(look: str, tmp_path: Path) -> None:
    store = open_store(Settings(home=tmp_path / ("x" * 300)))  # File name too long: also root is refused
    with pytest.raises(StoreError):
        getattr(store, look)()


def test_lock_of_killed_process_is_released(store: Store) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from tasks.store.factory import open_store
        from tasks.store.store import Store
        from tasks.settings import Settings
        with open_store(Settings(home=Path({str(store.settings.home)!r}))).transaction():
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=False, cwd=migrations.SQL.parents[1], env=os.environ
    )
    assert rows(store, ALL) == [(0,)]


def test_backup_is_a_complete_store(store: Store, tmp_path: Path) -> None:
    load(store, [[scan(0)]])
    target = tmp_path / "backup" / "store.duckdb"
    target.parent.mkdir()
    store.back_up(target)
    load(store, [[scan(1)]])
    assert rows(open_store(Settings(home=target.parent)), ALL) == [(1,)]
    assert rows(store, ALL) == [(2,)]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("read", ["reader", "snapshot"])
def test_restored_store_is_published_by_its_first_reader(store: Store, tmp_path: Path, read: str) -> None:
    load(store, [[scan(0), scan(1)]])
    store.publish()
    restored = open_store(Settings(home=tmp_path / "restored"))
    restored.settings.home.mkdir()
    shutil.copyfile(store.published_location, restored.location)
    with getattr(restored, read)() as reader:
        assert reader.rows(ALL) == [(2,)]
    assert shown(restored) == 2


def test_restored_store_of_another_user_is_not_published(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(store.published_location).unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SettingsError, match="does not exist yet"), store.reader():
        pass


def test_backup_of_a_home_without_a_store_is_refused(tmp_path: Path) -> None:
    empty = open_store(Settings(home=tmp_path / "home"))
    with pytest.raises(SettingsError):
        empty.back_up(tmp_path / "backup.duckdb")
    assert not empty.exists()


@pytest.mark.parametrize("variables", [{}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}], ids=["utf-8", "ascii"])
def test_store_is_created_in_the_c_locale(variables: dict[str, str], tmp_path: Path) -> None:
    """The files of SQL are UTF-8 whatever the locale is."""
    create = "import tasks.settings as s, tasks.store.factory as f; f.open_store(s.load_settings()).publish()"
    environment = os.environ | {"LC_ALL": "C", "ATTACHMENT_ALERTS_HOME": str(tmp_path)} | variables
    subprocess.run([sys.executable, "-c", create], env=environment, check=True)
    assert open_store(Settings(home=tmp_path)).is_published()
