"""The store in two DuckDB files of the home: lock, open, one transaction, close, publish.

Only this program opens `store.duckdb`; people open `alerts.duckdb`, a copy that is replaced atomically. Two facts about
DuckDB decide the order of the steps:

- An ordinary file call on an open database drops its lock, and another process may then overwrite what this one
  commits. The store is therefore copied only after it is closed, and a separate lock file keeps writers apart.
- A stale write-ahead log beside the published file locks every reader out or is replayed into the new copy. It is
  therefore removed before each replacement.
"""

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import duckdb
from filelock import FileLock, Timeout

from tasks.errors import SettingsError, StoreBusy, StoreError
from tasks.formatting import system_error
from tasks.sanitize import plain
from tasks.settings import Settings
from tasks.store import migrations
from tasks.store.account_lock import FileAccountLock
from tasks.store.compaction import compact
from tasks.store.connection import Connection, Transaction
from tasks.store.files import give_to_group, log_of, replace_database
from tasks.store.instance_pool import InstancePool, attach, detach
from tasks.store.store import PUBLISH_INTERVAL, AccountLock, Store, require_store

log = logging.getLogger("attachment_alerts.database")

LOCK_PATIENCE = 60.0
CONFIG = {
    "memory_limit": "384MB",
    # One thread is faster for a slice's many small steps than two, and leaves the other core to fetching.
    "threads": "1",
    "checkpoint_threshold": "1MB",  # the log is emptied after each transaction; large changes bypass it
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
MODEST = {name: CONFIG[name] for name in ("memory_limit", "threads")}  # for a reader in a run
# The widely installed 1.x clients cannot open the format that 2.0 writes by default; the one named here both can.
# Row groups of the usual 122,880 rows are rewritten by each slice that adds to the last one; small ones are written
# once, directly, and a poll that looks up scans by date reads fewer rows.
FORMAT = "STORAGE_VERSION 'v1.5.0', ROW_GROUP_SIZE 16384"
SPILL = "spill"  # in the home: what does not fit into memory
POOL = InstancePool()

C = TypeVar("C", bound=Connection)


class _LogLeft(Exception):
    """A file was closed before its log was written into it; whoever opens it next does that."""


class EmbeddedStore(Store):
    """Both database files of one home, and its lock files."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.path = settings.home / "store.duckdb"
        self.published_path = settings.home / "alerts.duckdb"
        self._lock = FileLock(settings.home / "store.lock", mode=0o600)
        self._spill = {"temp_directory": str(settings.home / SPILL)}

    @property
    def location(self) -> str:
        return str(self.path)

    @property
    def published_location(self) -> str:
        return str(self.published_path)

    def exists(self) -> bool:
        with _system_errors():
            return self.path.exists()

    def is_published(self) -> bool:
        with _system_errors():
            return self.published_path.exists()

    def size(self) -> int:
        with _system_errors():
            return self.path.stat().st_size if self.path.exists() else 0

    def account(self, connector_id: UUID, stop: threading.Event) -> AccountLock:
        return FileAccountLock(self.settings.home / "locks", connector_id, stop)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self.writer(), _database_errors(), self._opened() as connection:
            connection.run("BEGIN")
            yield connection
            if connection.changed:
                connection.run("UPDATE internal.store_state SET revision = revision + 1")
            if connection.publish:
                connection.run("UPDATE internal.store_state SET published_at = $now", {"now": datetime.now(UTC)})
            connection.run("COMMIT")
            self._publish_after = connection.publish

    @contextmanager
    def writer(self) -> Iterator[None]:
        with _system_errors():
            self.settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                self._publish_after = False
                yield
                if self._publish_after:
                    self._replace_published()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._lock.acquire(timeout=2)
        except Timeout:
            log.info("waiting for another process to finish writing to %s", self.path)
            try:
                self._lock.acquire(timeout=LOCK_PATIENCE - 2)
            except Timeout:
                raise StoreBusy(
                    f"Another process has been writing to {self.path} for more than {LOCK_PATIENCE:.0f} s. "
                    "Wait for the running regroup, import or retention to finish, then try again."
                ) from None
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _opened(self) -> Iterator[Transaction]:
        with ExitStack() as stack:
            opened = stack.enter_context(self._connected(Transaction, self.path))
            state = migrations.state(opened)
            if state.is_older():
                stack.close()  # what a killed writer left in the log is now in the file
                self._back_up_older(state.version)
                opened = stack.enter_context(self._connected(Transaction, self.path))
            migrations.bring_up_to_date(opened, state)
            yield opened

    def _back_up_older(self, version: int) -> None:
        backup = self.path.with_name(f"{self.path.stem}.version-{version}.duckdb")
        shutil.copyfile(self.path, backup)
        log.warning("the store has schema version %d; it is migrated; the backup is %s", version, backup.name)

    @contextmanager
    def _connected(self, kind: type[C], path: Path) -> Iterator[C]:
        with (
            suppress(_LogLeft),
            POOL.lend(CONFIG | self._spill) as instance,
            closing(instance.cursor(kind)) as connection,
        ):
            try:
                attach(connection, path, FORMAT)
            except duckdb.IOException as cause:
                raise StoreError(
                    f"{path} cannot be opened: {cause}. Only this program may open it. Close other clients "
                    f"and use {self.published_path.name} for queries."
                ) from cause
            yield connection
            try:
                detach(connection)
            except duckdb.Error as cause:  # the commit is not affected
                raise _LogLeft from cause

    def _replace_published(self) -> None:
        """Replace the published file by a copy of the closed store."""
        log_file = log_of(self.path)
        if log_file.exists():
            raise StoreError(
                f"The last commit left {log_file} behind, so nothing was published. Check the disk's free space."
            )
        fresh = self.published_path.with_name(self.published_path.name + ".new")
        fresh.unlink(missing_ok=True)  # left by a killed writer; it is read-only and cannot be overwritten
        try:
            shutil.copyfile(self.path, fresh)
        except OSError as cause:
            fresh.unlink(missing_ok=True)
            raise StoreError(
                f"{self.path} could not be copied ({cause}). The data is stored and the next run publishes it. "
                "Check the disk's free space."
            ) from cause
        group = self.settings.readers_group
        if group is not None:
            give_to_group(fresh, group)
        fresh.chmod(0o400 if group is None else 0o440)
        replace_database(fresh, self.published_path)

    def compact(self) -> bool:
        with self.writer(), _database_errors():
            return compact(self.path, partial(self._connected, Connection))

    def back_up(self, target: Path) -> None:
        require_store(self)
        with self.writer(), _database_errors():
            with self._connected(Connection, self.path):
                pass  # what a killed writer left in the log is in the file afterwards
            shutil.copyfile(self.path, target)

    def publication_age(self) -> timedelta | None:
        try:
            stamp = self.published_path.stat().st_mtime
        except FileNotFoundError:
            return None
        return datetime.now(UTC) - datetime.fromtimestamp(stamp, UTC)

    def may_publish(self) -> bool:
        # At 200 MB/s. Files of up to 300 MB never have to wait: the end of a run is always published then.
        age = self.publication_age()
        if age is None:
            return True
        return max(age, PUBLISH_INTERVAL) > timedelta(seconds=self.published_path.stat().st_size / 200e6 / 0.05)

    @contextmanager
    def reader(self, *, modest: bool = False) -> Iterator[Connection]:
        if not self.is_published() and not self._publish_restored():
            raise SettingsError(
                f"{self.published_path} does not exist yet. Poll a connector first, or use another --home."
            )
        settings = MODEST | self._spill if modest else self._spill
        with (
            _reading_errors(self.published_path),
            POOL.lend(settings) as instance,
            closing(instance.cursor(Connection)) as connection,
        ):
            attach(connection, self.published_path, "READ_ONLY")
            yield connection
            detach(connection)

    def _publish_restored(self) -> bool:
        """Publish a store that was put in place from a backup; whether there is one that this user may open."""
        if not (self.exists() and os.access(self.path, os.W_OK)):
            return False
        self.publish()
        return True

    @contextmanager
    def snapshot(self, *, modest: bool = False) -> Iterator[Connection]:
        behind = self.published_revision()
        if self.exists():
            with self.transaction() as transaction:
                transaction.publish = behind != transaction.revision()
        with self.reader(modest=modest) as reader:
            yield reader

    def published_revision(self) -> int | None:
        if not self.is_published():
            return None
        with self.reader(modest=True) as reader:
            return int(reader.rows("SELECT revision FROM published")[0][0])


@contextmanager
def _database_errors() -> Iterator[None]:
    """Turn a full disk, a lack of memory or a value that does not fit into an error that a run can record."""
    try:
        yield
    except duckdb.Error as cause:
        raise StoreError(
            f"The database rejected the change and rolled it back: {plain(str(cause)).rstrip('.')}. "
            "Check the disk's free space and memory; if both are sufficient, report this text."
        ) from cause


@contextmanager
def _reading_errors(path: Path) -> Iterator[None]:
    """Turn missing permissions, a full disk or a lack of memory into a StoreError; an error in a query is a defect."""
    try:
        yield
    except (duckdb.IOException, duckdb.OutOfMemoryException) as cause:
        raise StoreError(
            f"{path} cannot be read: {plain(str(cause)).rstrip('.')}. "
            "Check its permissions, the disk's free space and memory, then try again."
        ) from cause


@contextmanager
def _system_errors() -> Iterator[None]:
    """Turn what the file system refuses into a StoreError, which every command and flow reports."""
    try:
        yield
    except OSError as cause:
        raise StoreError(system_error(cause)) from cause
