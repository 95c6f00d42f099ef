"""A store without the room that removed rows have left: DuckDB uses such room again, but never gives it back.

What is stored is copied into a fresh file, which takes the old one's place only when it is complete: a copy that dies
in its middle leaves the store as it was.
"""

import logging
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tasks.errors import StoreError
from tasks.store import migrations
from tasks.store.connection import Connection
from tasks.store.files import log_of, put_in_place

log = logging.getLogger("attachment_alerts.database")

PAYS = 0.2  # share of the file that must be free
AT_LEAST = 2_000_000  # bytes that must be free

Open = Callable[[Path], AbstractContextManager[Connection]]


def compacted(path: Path, opened: Open) -> bool:
    """Copy a closed store into a fresh file where that pays; whether it did. Only with the writer's lock."""
    fresh = path.with_name(path.name + ".fresh")
    for left in (fresh, log_of(fresh)):  # of a writer that was killed
        left.unlink(missing_ok=True)
    with opened(path) as connection:
        free, whole = _room(connection)
    if free < max(PAYS * whole, AT_LEAST):
        return False
    if shutil.disk_usage(path.parent).free < whole - free:
        log.warning("the disk has no room for a copy of %s: it keeps its size", path.name)
        return False
    _copy(path, fresh, opened)
    before, after = path.stat().st_size, fresh.stat().st_size
    put_in_place(fresh, path)
    log.info("%s shrank from %.1f MB to %.1f MB", path.name, before / 1e6, after / 1e6)
    return True


def _room(connection: Connection) -> tuple[int, int]:
    """Free bytes, and all bytes of the file."""
    block, free, whole = connection.rows(
        "SELECT block_size, free_blocks, total_blocks FROM pragma_database_size() "
        "WHERE database_name = current_database()"
    )[0]
    return block * free, block * whole


def _copy(path: Path, fresh: Path, opened: Open) -> None:
    quoted = str(path).replace("'", "''")  # a file name cannot be bound
    with opened(fresh) as connection:
        migrations.bring_up_to_date(connection, migrations.state(connection))
        connection.run(f"ATTACH '{quoted}' AS old (READ_ONLY)")
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
    """Refuse a copy that lacks a table or a row. Raises StoreError."""
    lost = [
        name
        for name in _tables(connection, "'old'")
        if connection.rows(
            f"SELECT (SELECT count(*) FROM old.internal.{name}) <> (SELECT count(*) FROM internal.{name})"
        )[0][0]
    ]
    if lost:
        raise StoreError(f"The compact copy lacks rows of {', '.join(lost)}; the store stays as it was. Report this.")
