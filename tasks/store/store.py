"""The one door to the tables: lock, open, one transaction, close, publish (design section 5).

`store.duckdb` is the program's own; `alerts.duckdb` is the copy that people open, replaced atomically. Two facts
about DuckDB decide the order of things here:

- an ordinary file call on an open database drops its lock, and another process may then overwrite what this one
  commits, so the store is copied only after it is closed, and a lock file of its own keeps writers apart;
- a stale write-ahead log beside the published file locks every reader out or is replayed into the new copy, so it
  is removed before each replacement.
"""

import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from tasks.errors import SettingsError, StoreBusy, StoreError
from tasks.sanitize import plain
from tasks.settings import Settings
from tasks.store import migrations
from tasks.store.compaction import compacted
from tasks.store.connection import Connection, Transaction
from tasks.store.files import hand_to_group, keep_files_private, log_of, put_in_place
from tasks.store.instance_pool import Instances, attached, detach

log = logging.getLogger("attachment_alerts.database")

LOCK_PATIENCE = 60.0
RESTFUL = timedelta(seconds=30)  # between two copies: runs make no more of them in their middle
CONFIG = {
    "memory_limit": "384MB",
    # One thread is faster for a slice's many small steps than two, and leaves the other core to fetching.
    "threads": "1",
    "checkpoint_threshold": "1MB",  # the log is emptied after each transaction: what is large need not pass through it
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
MODEST = {name: CONFIG[name] for name in ("memory_limit", "threads")}  # for a reader in a run
# The widely installed 1.x clients cannot open the format that 2.0 writes by default; the one named here both can.
# Row groups of the usual 122,880 rows are written again by each slice that adds to the last one; small ones are
# written once, without a detour through the log, and a poll that looks for its scans by date reads fewer rows.
FORMAT = "STORAGE_VERSION 'v1.5.0', ROW_GROUP_SIZE 16384"
SPILL = "spill"  # in the home: what does not fit into memory
_WRITERS, _READERS, _MODEST_READERS = (Instances(lambda config: duckdb.connect(config=config)) for _ in range(3))


class _LogLeft(Exception):
    """A file was closed without its log being emptied into it: the next one to open it does that."""


class Store:
    """Both database files of one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.path = settings.home / "store.duckdb"
        self.published_path = settings.home / "alerts.duckdb"
        self._lock = FileLock(settings.home / "store.lock", mode=0o600)
        self._spill = {"temp_directory": str(settings.home / SPILL)}

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One transaction of the only writer: committed when the block ends, undone when it raises.

        Raises StoreBusy when another process writes for more than a minute, StoreTooNew when a later version of the
        program wrote the file, StoreError when the database refuses.
        """
        with self._writing(), _refusals_in_words(), self._opened() as connection:
            connection.run("BEGIN")
            yield connection
            if connection.changed:
                connection.run("UPDATE internal.store_state SET revision = revision + 1")
            if connection.publish:
                connection.run("UPDATE internal.store_state SET published_at = $now", {"now": datetime.now(UTC)})
            connection.run("COMMIT")
            self._publish_after = connection.publish

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self.settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        keep_files_private()  # also in a run of a worker that was not started by us
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
                    "See what is running (a regroup or import may take long), then try again."
                ) from None
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _opened(self) -> Iterator[Transaction]:
        with ExitStack() as stack:
            opened = Transaction(stack.enter_context(self._connected(self.path)))
            state = migrations.state(opened)
            if state.is_older():
                stack.close()  # what a killed writer left in the log is now in the file
                migrations.back_up(self.path, state.version)
                opened = Transaction(stack.enter_context(self._connected(self.path)))
            migrations.bring_up_to_date(opened, state)
            yield opened

    @contextmanager
    def _connected(self, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        with suppress(_LogLeft), _WRITERS.lent(CONFIG | self._spill) as instance:
            try:
                connection = attached(instance, path, FORMAT)
            except duckdb.IOException as cause:
                raise StoreError(
                    f"{path} cannot be opened: {cause}. Only this program may open it; close other clients "
                    f"and use {self.published_path.name} for queries."
                ) from cause
            yield connection
            try:
                detach(connection)
            except duckdb.Error as cause:  # what was committed stands all the same
                raise _LogLeft from cause

    def _replace_published(self) -> None:
        """Copy the closed store and put the copy in the place of the published file."""
        log_file = log_of(self.path)
        if log_file.exists():
            raise StoreError(
                f"{log_file} was left by the last commit; nothing was published. Check the disk's free space."
            )
        fresh = self.published_path.with_name(self.published_path.name + ".new")
        fresh.unlink(missing_ok=True)  # of a writer that was killed; read-only, so it cannot be written again
        try:
            shutil.copyfile(self.path, fresh)
        except OSError as cause:
            fresh.unlink(missing_ok=True)
            raise StoreError(
                f"{self.path} could not be copied ({cause}): what was loaded is stored, but not published. "
                "Check the disk's free space; the next run publishes it."
            ) from cause
        group = self.settings.readers_group
        if group is not None:
            hand_to_group(fresh, group)
        fresh.chmod(0o400 if group is None else 0o440)
        put_in_place(fresh, self.published_path)

    def compact(self) -> bool:
        """Give the room of removed rows back to the disk where that pays; whether it did."""
        with self._writing(), _refusals_in_words():
            return compacted(self.path, self._plainly)

    @contextmanager
    def _plainly(self, path: Path) -> Iterator[Connection]:
        with self._connected(path) as connection:
            yield Connection(connection)

    def publish(self) -> None:
        """Replace the published copy by what is stored now."""
        with self.transaction() as transaction:
            transaction.publish = True

    def publication_age(self) -> timedelta | None:
        """Time since the last publication; None before the first."""
        try:
            stamp = self.published_path.stat().st_mtime
        except FileNotFoundError:
            return None
        return datetime.now(UTC) - datetime.fromtimestamp(stamp, UTC)

    def may_publish(self) -> bool:
        """Whether copying would stay under 5 % of the time since the last copy, at 200 MB/s.

        What is copied in a moment (up to 300 MB) never has to wait: the end of a run is always shown then.
        """
        age = self.publication_age()
        if age is None:
            return True
        return max(age, RESTFUL) > timedelta(seconds=self.published_path.stat().st_size / 200e6 / 0.05)

    @contextmanager
    def reader(self, *, modest: bool = False) -> Iterator[Connection]:
        """The published file, read-only; never waits for a run and never makes one wait. `modest`: within a run.

        Raises SettingsError when nothing has been published in this home yet.
        """
        if not self.published_path.exists():
            raise SettingsError(
                f"{self.published_path} does not exist yet. Poll a connector first, or name another --home."
            )
        keep_files_private()  # what does not fit into memory is spilled
        with _MODEST_READERS.lent(MODEST | self._spill) if modest else _READERS.lent(self._spill) as instance:
            connection = attached(instance, self.published_path, "READ_ONLY")
            yield Connection(connection)
            detach(connection)

    @contextmanager
    def snapshot(self, *, modest: bool = False) -> Iterator[Connection]:
        """The published file, brought up to date before: for plans that are made without holding the lock."""
        behind = self.published_revision()
        if self.path.exists():
            with self.transaction() as transaction:
                transaction.publish = behind != transaction.rows("SELECT revision FROM internal.store_state")[0][0]
        with self.reader(modest=modest) as reader:
            yield reader

    def published_revision(self) -> int | None:
        """Revision of the published copy; None when there is none."""
        if not self.published_path.exists():
            return None
        with self.reader(modest=True) as reader:
            return int(reader.rows("SELECT revision FROM published")[0][0])


@contextmanager
def _refusals_in_words() -> Iterator[None]:
    """A full disk, a lack of memory, a value that does not fit: an error that a run can record."""
    try:
        yield
    except duckdb.Error as cause:
        raise StoreError(
            f"The store did not take a change: {plain(str(cause))} Nothing of it was kept. "
            "Look at the disk's free space and memory; if both are fine, report this text."
        ) from cause


def must_exist(store: Store) -> None:
    """Refuse a home without a store: its name may be mistyped. Raises SettingsError."""
    if not store.path.exists():
        raise SettingsError(f"There is no {store.path}. Name the right --home, or poll a connector first.")


@contextmanager
def existing(store: Store) -> Iterator[Transaction]:
    """A transaction of what people change. Raises SettingsError."""
    must_exist(store)
    with store.transaction() as transaction:
        yield transaction
