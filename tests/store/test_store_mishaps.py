"""What may go wrong around the two files: killed writers, full disks, other clients, readers at every moment."""

import gzip
import os
import random
import resource
import shutil
import threading
import time
from errno import ENOSPC
from pathlib import Path

import duckdb
import pytest

from tasks.errors import StoreError
from tasks.ingest import pull_session
from tasks.settings import Settings
from tasks.store import embedded, migrations
from tasks.store.factory import open_store
from tasks.store.store import Store
from tests.processes import line, process
from tests.scans import START, content, load, load_into, rows, scan, source

ALL = "SELECT count(*) FROM scans"
TABLES = "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() WHERE schema_name = 'internal'"
SUMS = """
    SELECT (SELECT count(*) FROM scans), (SELECT count(DISTINCT scan_id) FROM scans), (SELECT sum("new") FROM windows),
        (SELECT sum(alert_count) FROM alert_groups)
"""


def test_killed_writer_leaves_complete_slices(store: Store) -> None:
    script = f"""
        from pathlib import Path
        from tests.scans import Settings, open_store, load, scan
        store = open_store(Settings(home=Path({str(store.settings.home)!r})))
        for number in range(200):
            load(store, [[scan(30 * number + place / 4) for place in range(40)]])
            store.publish()
            print(number + 1, flush=True)
    """
    with process(script) as writer:
        try:
            told = int(line(writer))
            time.sleep(random.uniform(0, 0.3))  # noqa: S311 - any moment
        finally:
            writer.kill()
    store.publish()
    with store.reader() as reader:
        scans, distinct, new, grouped = reader.rows(SUMS)[0]
    assert scans == distinct == new == grouped
    assert scans % 40 == 0
    assert scans >= 40 * told


def test_reader_does_not_see_incomplete_slice(store: Store) -> None:
    load(store, [[scan(0)]])
    store.publish()
    before = store.published_path.stat().st_ino
    with store.transaction() as transaction:
        load_into(transaction, store.settings, [[scan(1)], [scan(2)]])
        transaction.publish = True
        with store.reader() as reader:
            assert reader.rows(ALL) == [(1,)]
        assert store.published_path.stat().st_ino == before
    with store.reader() as reader:
        assert reader.rows(ALL) == [(3,)]


def test_concurrent_readers_see_complete_slices(store: Store) -> None:
    seen: set[int] = set()
    faults: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                with duckdb.connect(str(store.published_path), read_only=True) as client:
                    scans, distinct, new, grouped = client.execute(SUMS).fetchall()[0]
            except duckdb.Error as fault:
                faults.append(fault)
                continue
            seen.add(scans)
            if scans and not scans == distinct == new == grouped:
                faults.append((scans, distinct, new, grouped))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(5):
        load(store, [[scan(number + place / 100) for place in range(10)]])
        store.publish()
    done.set()
    reader.join()
    assert faults == []
    assert seen <= {0, 10, 20, 30, 40, 50}
    assert len(seen) > 1


def test_store_open_in_another_client_raises_store_error(store: Store) -> None:
    script = f"""
        import duckdb, time
        client = duckdb.connect({str(store.path)!r})
        print("open", flush=True)
        time.sleep(60)
    """
    with process(script) as other:
        try:
            assert line(other) == "open"
            with pytest.raises(StoreError, match=r"cannot be opened.*Only this program may open it"):
                rows(store, ALL)
        finally:
            other.kill()
    assert rows(store, ALL) == [(0,)]


def test_full_disk_at_publication_keeps_data_for_next_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(start: Path, end: Path) -> None:
        end.write_bytes(start.read_bytes()[:1000])
        raise OSError(ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(embedded.shutil, "copyfile", full)
        with pytest.raises(StoreError, match=r"No space left on device\)\. The data is stored"):
            load_and_publish(store)
    assert not store.published_path.with_name("alerts.duckdb.new").exists()
    with store.reader() as reader:
        assert reader.rows(ALL) == [(0,)]
    pull_session.begin(store, source(), START)
    with store.reader() as reader:
        assert reader.rows(ALL) == [(1,)]


def test_full_disk_at_checkpoint_keeps_committed_data(store: Store) -> None:
    room, any_size = store.path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(StoreError, match=r"wal behind, so nothing was published"):
        try:
            with store.transaction() as transaction:
                load_into(transaction, store.settings, [[scan(0)]])
                transaction.run("COMMIT; BEGIN")
                transaction.publish = True
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, any_size[1]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, any_size)
    load_and_publish(store)
    with store.reader() as reader:
        assert reader.rows(ALL) == [(1,)]


def load_and_publish(store: Store) -> None:
    with store.transaction() as transaction:
        load_into(transaction, store.settings, [[scan(0)]])
        transaction.publish = True


def test_incomplete_copy_of_killed_writer_is_replaced(store: Store, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    os.link(precious, store.published_path.with_name("alerts.duckdb.new"))
    load_and_publish(store)
    assert precious.read_text() == "kept"
    assert oct(store.published_path.stat().st_mode)[-3:] == "400"


def test_backup_before_migration_contains_log_of_killed_writer(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"""
        import os
        from pathlib import Path
        from tests.scans import Settings, open_store, load_into, scan
        store = open_store(Settings(home=Path({str(store.settings.home)!r})))
        with store.transaction() as transaction:
            load_into(transaction, store.settings, [[scan(0)]])
            transaction.run("COMMIT")
            os._exit(0)
    """
    with process(script):
        pass
    assert store.path.with_name("store.duckdb.wal").exists()
    folder = tmp_path / "sql"
    shutil.copytree(migrations.SQL, folder)
    (folder / "migrations").mkdir(exist_ok=True)
    later = migrations.SCHEMA_VERSION + 1
    (folder / "migrations" / f"{later:04}.sql").write_text("ALTER TABLE internal.groups ADD COLUMN colour VARCHAR")
    monkeypatch.setattr(migrations, "SQL", folder)
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", later)
    assert rows(store, ALL) == [(1,)]
    with duckdb.connect(str(tmp_path / f"store.version-{later - 1}.duckdb"), read_only=True) as backup:
        assert backup.execute("SELECT count(*) FROM internal.alert_scans").fetchall() == [(1,)]


def test_migrated_store_has_same_tables_as_new_one(new_store: Store, tmp_path: Path) -> None:
    """A changed tables.sql without a migration would part the two."""
    home = tmp_path / "old"
    home.mkdir()
    old = Path(__file__).parent / "store_v1.duckdb.gz"
    (home / "store.duckdb").write_bytes(gzip.decompress(old.read_bytes()))
    first = open_store(Settings(home=home))
    assert set(rows(first, TABLES)) == set(rows(new_store, TABLES))
    assert set(content(first)) == set(content(new_store))
