"""Every public relation of a home as text, so that the same rows are equal whatever wrote and read them."""

import json
import re
from pathlib import Path
from typing import Any

import duckdb

# What depends on the clock or tells of publications.
MOVING = {
    "connector_health": {
        "state", "lag_seconds", "last_error", "rejects_24h", "dangerous_rejects", "alerts_24h", "directory_age_hours",
    },
    "published": {"published_at", "revision", "schema_version", "product_version"},
}  # fmt: skip
OLD_DIRECTORY = re.compile(r" \(the directory is \d+ days old\)")

Relations = dict[str, dict[str, Any]]


def read(home: Path) -> Relations:
    """Columns and rows of each relation that analysts see in the published file."""
    with duckdb.connect(str(home / "alerts.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main' ORDER BY ALL"
        ).fetchall()
        return {name: _relation(connection, name) for (name,) in names}


# Annotations to DuckDB's types are text: as objects they outlive DuckDB itself, which reports them as leaks at the end.
def _relation(connection: "duckdb.DuckDBPyConnection", name: str) -> dict[str, Any]:
    columns = [column for column, *_ in connection.execute(f"DESCRIBE {name}").fetchall()]
    columns = [column for column in columns if column not in MOVING.get(name, set())]
    return {"columns": columns, "rows": _rows(connection, name, columns)}


def rows_of(home: Path, name: str, columns: list[str]) -> list[str]:
    """The rows of a relation in these columns."""
    with duckdb.connect(str(home / "alerts.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return _rows(connection, name, columns)


def _rows(connection: "duckdb.DuckDBPyConnection", name: str, columns: list[str]) -> list[str]:
    if not columns:
        return []
    chosen = ", ".join(f'"{column}"' for column in columns)
    found = connection.execute(f"SELECT to_json(r)::VARCHAR FROM (SELECT {chosen} FROM {name}) r").fetchall()
    return sorted(OLD_DIRECTORY.sub("", _canonical(text)) for (text,) in found)


def _canonical(text: str) -> str:
    return json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True)


def pending(home: Path) -> list[dict[str, Any]]:
    """Changes whose events have not been sent yet. In homes of earlier versions the column has another name."""
    with duckdb.connect(str(home / "alerts.duckdb"), read_only=True) as connection:
        columns = [column for column, *_ in connection.execute("DESCRIBE internal.notices").fetchall()]
        sent_at = "sent_at" if "sent_at" in columns else "told_at"
        found = connection.execute(
            "SELECT notice_id::VARCHAR, kind, group_id::VARCHAR FROM internal.notices "
            f"WHERE {sent_at} IS NULL ORDER BY ALL"
        ).fetchall()
    return [dict(zip(("notice_id", "kind", "group_id"), row, strict=True)) for row in found]


def keys_of(answer: Any) -> list[str]:
    """The keys of a JSON answer, those inside as `outer.inner`; of a list, those of all its items."""
    found: set[str] = set()
    for item in answer if isinstance(answer, list) else [answer]:
        if isinstance(item, dict):
            for key, value in item.items():
                found |= {key, *(f"{key}.{inner}" for inner in keys_of(value))}
    return sorted(found)
