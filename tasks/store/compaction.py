"""Compaction: DuckDB reuses the space of removed rows, but never returns it to the disk.

The store is copied into a new file, which replaces the old one only when it is complete; a copy that is interrupted
leaves the store unchanged.
"""

import logging
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tasks.errors import StoreError
from tasks.store import migrations
from tasks.store.connection import Connection
from tasks.store.files import log_of, replace_database
from tasks.store.migrations import quoted

log = logging.getLogger("attachment_alerts.database")

WORTHWHILE = 0.2  # share of the file that must be free
AT_LEAST = 2_000_000  # bytes that must be free

Open = Callable[[Path], AbstractContextManager[Connection]]


def compact(path: Path, opened: Open) -> bool:
    """Copy a closed store into a new file if enough space is free in it; returns whether it was copied.

    Needs the writer's lock.
    """
    fresh = path.with_name(path.name + ".fresh")
    for remainder in (fresh, log_of(fresh)):  # left by a killed writer
        remainder.unlink(missing_ok=True)
    with opened(path) as connection:
        free, total = _space(connection)
    if free < max(WORTHWHILE * total, AT_LEAST):
        return False
    if shutil.disk_usage(path.parent).free < total - free:
        log.warning("the disk has no space for a copy of %s, so it was not compacted", path.name)
        return False
    _copy(path, fresh, opened)
    before, after = path.stat().st_size, fresh.stat().st_size
    replace_database(fresh, path)
    log.info("%s shrank from %.1f MB to %.1f MB", path.name, before / 1e6, after / 1e6)
    return True


def _space(connection: Connection) -> tuple[int, int]:
    """Free bytes, and all bytes of the file."""
    block, free, total = connection.rows(
        "SELECT block_size, free_blocks, total_blocks FROM pragma_database_size() "
        "WHERE database_name = current_database()"
    )[0]
    return block * free, block * total


def _copy(path: Path, fresh: Path, opened: Open) -> None:
    with opened(fresh) as connection:
        migrations.bring_up_to_date(connection, migrations.state(connection))
        connection.run(f"ATTACH {quoted(str(path))} AS old (READ_ONLY)")
        connection.run("BEGIN")
        connection.run("DELETE FROM internal.store_state")
        for table in _tables(connection):
            connection.run(f"INSERT INTO internal.{table} BY NAME SELECT * FROM old.internal.{table}")
        _compare(connection)
        connection.run("COMMIT")
        connection.run("DETACH old")


def _tables(connection: Connection, database: str = "current_database()") -> list[str]:
    found = connection.rows(
        f"SELECT table_name FROM duckdb_tables() WHERE schema_name = 'internal' AND database_name = {database} "
        "ORDER BY table_name"
    )
    return [name for (name,) in found]


def _compare(connection: Connection) -> None:
    """Raise StoreError if the copy lacks a table or a row."""
    lost = [
        name
        for name in _tables(connection, "'old'")
        if connection.rows(
            f"SELECT (SELECT count(*) FROM old.internal.{name}) <> (SELECT count(*) FROM internal.{name})"
        )[0][0]
    ]
    if lost:
        raise StoreError(
            f"The compacted copy lacks rows of {', '.join(lost)}, so the store was left unchanged. Report this text."
        )
