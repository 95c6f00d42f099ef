"""Version of the tables: create them, migrate older ones in one transaction, refuse newer ones.

A migration is a file `sql/migrations/NNNN.sql` that leads to version NNNN. Views and comments are recreated whenever
their text has changed, so they need no migrations.
"""

import csv
import hashlib
from functools import cache
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tasks.errors import StoreTooNew

SQL = Path(__file__).parents[1] / "sql"
SCHEMA_VERSION = 8


class Database(Protocol):
    """What this module needs of a connection."""

    def run(self, sql: str, parameters: dict[str, Any] | None = None) -> None: ...
    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]: ...
    def rows_if_exists(self, sql: str) -> list[tuple[Any, ...]]: ...


class State(NamedTuple):
    """Versions that a store records of itself."""

    version: int
    """of the schema; 0: no tables yet"""
    views: str
    """digest of the text its views were created from"""

    def is_older(self) -> bool:
        """Whether it must be migrated."""
        return 0 < self.version < SCHEMA_VERSION


def state(database: Database) -> State:
    """State of an open store."""
    rows = database.rows_if_exists("SELECT schema_version, views_digest FROM internal.store_state")
    return State(int(rows[0][0]), str(rows[0][1])) if rows else State(0, "")


def bring_up_to_date(database: Database, now: State) -> None:
    """Create or migrate the tables, and recreate views and comments if their text has changed. One transaction.

    Raises StoreTooNew when a later version of the program wrote the store.
    """
    found, views = now
    if found > SCHEMA_VERSION:
        raise StoreTooNew(
            f"The store has schema version {found}, but this program supports only up to {SCHEMA_VERSION}. "
            "Update attachment-alerts, or use another --home."
        )
    digest = _views_digest(SQL)
    if found == SCHEMA_VERSION and views == digest:
        return
    database.run("BEGIN")
    if not found:
        database.run((SQL / "tables.sql").read_text(encoding="utf-8"))
        database.run("INSERT INTO internal.store_state VALUES (1, '', 0, NULL, NULL)")
    for number in range(max(found, 1) + 1, SCHEMA_VERSION + 1):
        database.run((SQL / "migrations" / f"{number:04}.sql").read_text(encoding="utf-8"))
    database.run((SQL / "views.sql").read_text(encoding="utf-8"))
    _comment(database)
    database.run(
        "UPDATE internal.store_state SET schema_version = $schema, product_version = $product, views_digest = $digest, "
        "revision = revision + 1",
        {"schema": SCHEMA_VERSION, "product": installed_version("attachment-alerts"), "digest": digest},
    )
    database.run("COMMIT")


@cache
def _views_digest(folder: Path) -> str:
    texts = (folder / "views.sql").read_bytes() + (folder / "comments.csv").read_bytes()
    return hashlib.sha256(texts + installed_version("attachment-alerts").encode()).hexdigest()


def _comment(database: Database) -> None:
    """Comment every relation and column from `comments.csv`: relation (`*`: wherever it occurs), column, comment."""
    with (SQL / "comments.csv").open(newline="", encoding="utf-8") as file:
        texts = {(row["relation"], row["column"]): row["comment"] for row in csv.DictReader(file)}
    statements = []
    kinds = (
        "SELECT schema_name, {0}_name, '{0}' FROM duckdb_{0}s() "
        "WHERE database_name = current_database() AND NOT internal"
    )
    relations = database.rows(" UNION ALL ".join(kinds.format(kind) for kind in ("table", "view")))
    columns = database.rows(
        "SELECT schema_name, table_name, column_name FROM duckdb_columns() "
        "WHERE database_name = current_database() AND NOT internal"
    )
    for area, name, kind in relations:
        statements.append(f'COMMENT ON {kind.upper()} {area}."{name}" IS {quoted(texts.get((name, ""), ""))}')
    for area, name, column in columns:
        text = texts.get((name, column)) or texts.get(("*", column), "")
        statements.append(f'COMMENT ON COLUMN {area}."{name}"."{column}" IS {quoted(text)}')
    database.run(";\n".join(statements))


def quoted(text: str) -> str:
    """A literal where no value can be bound."""
    return "'" + text.replace("'", "''") + "'"


@cache
def statements(name: str) -> list[str]:
    """The statements of `sql/NAME.sql`, in order: values can only be bound to one statement at a time."""
    return [text for text in (SQL / f"{name}.sql").read_text(encoding="utf-8").split(";\n") if text.strip()]
