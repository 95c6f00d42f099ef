"""The cost of an import of a large directory, with a million scans to match."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from tasks.directory.imports import run_import
from tasks.directory.imports.run_import import Export, import_exports
from tasks.directory.model import (
    ADDRESS_SCHEMA,
    DEVICE_SCHEMA,
    DEVICE_USER_SCHEMA,
    MEMBER_SCHEMA,
    OBJECT_SCHEMA,
    Parsed,
)
from tasks.ingest.pull_session import begin
from tasks.settings import Settings
from tasks.store.factory import open_store
from tests.benchmark.chain import SOURCE, peak_mib
from tests.directory.synthetic import synthetic

# A fifth of them alerts, as in the worst of weeks; every fifth recipient is unknown.
SCANS = """
INSERT INTO internal.{table} BY NAME
SELECT
    uuid() AS scan_id, 'default' AS tenant, $connector AS connector_id, now() - to_seconds(i * 2) AS detected_at,
    'malicious' AS verdict, '1' AS priority_rule, 'Malicious attachment' AS sub_classification, 'held' AS disposition,
    sha256((i % 20000)::VARCHAR) AS file_sha256, format('user-{{}}@contoso.example', (i * 7919) % 250000) AS recipient,
    now() AS fetched_at, now() AS first_loaded_at, now() AS last_changed_at {more}
FROM range({rows}) t(i)
"""
ALERT = """,
    true AS dangerous, 'high' AS priority, 1 AS priority_rank, now() AS raised_at,
    md5(i::VARCHAR)::UUID AS group_key, md5((i % 20000)::VARCHAR)::UUID AS group_id"""
GROUPS = """
INSERT INTO internal.groups BY NAME
SELECT
    group_id, 'default' AS tenant, any_value(group_key) AS group_key, 'high' AS priority, 1 AS priority_rank,
    'Malicious attachment' AS sub_classification, 'held' AS worst_disposition, 0 AS released_count,
    count(*) AS alert_count, count(DISTINCT recipient) AS recipient_count, 0 AS exposure_count,
    min(detected_at) AS first_detected_at, max(detected_at) AS last_detected_at, min(detected_at) AS starts_at,
    max(detected_at) AS ends_at, now() AS first_loaded_at, now() AS last_changed_at
FROM internal.alert_scans GROUP BY group_id
"""


SCHEMAS = {
    "objects": OBJECT_SCHEMA, "addresses": ADDRESS_SCHEMA, "members": MEMBER_SCHEMA, "devices": DEVICE_SCHEMA,
    "device_users": DEVICE_USER_SCHEMA,
}  # fmt: skip


class Cost(NamedTuple):
    whole: float
    resolving: float
    joining: float
    peak: float
    people: int


def save_exports(folder: Path, people: int) -> None:
    """Save a directory of this many people as files, because building it takes memory of its own."""
    directory = synthetic(people)
    folder.mkdir(parents=True)
    for field, schema in SCHEMAS.items():
        frame = getattr(directory, field)
        for (name,), rows in frame.group_by("source"):
            rows.select(list(schema)).write_ipc(folder / f"{name}.{field}")


def exports(folder: Path, digest: str = "first day") -> list[Export]:
    """The saved directory as parsed exports."""
    names = sorted({file.stem for file in folder.iterdir()})
    parts = {name: {f: pl.read_ipc(folder / f"{name}.{f}") for f in SCHEMAS
                    if (folder / f"{name}.{f}").exists()} for name in names}  # fmt: skip
    return [Export(name, digest, Parsed(name, name, **frames)) for name, frames in parts.items()]


def save_scans(home: Path, scans: int) -> None:
    """A store with this many scans and no directory."""
    store = open_store(Settings(home=home, retention_low_days=0))
    begin(store, SOURCE, datetime.now(UTC))
    with store.transaction() as transaction:
        for table, rows, more in (("low_scans", scans * 4 // 5, ""), ("alert_scans", scans // 5, ALERT)):
            sql = SCANS.format(table=table, rows=rows, more=more)
            transaction.run(sql, {"connector": SOURCE.connector_id})
        transaction.run(GROUPS)


def correlation(home: Path, folder: Path) -> Cost:
    """Seconds of an import that matches every recipient again, of the matching in it, and of a plain join."""
    store = open_store(Settings(home=home))
    seconds: dict[str, float] = {}
    inner = run_import.resolve_recipients

    def watched(recipients: pl.Series, directory: Any, *rest: Any, **named: Any) -> Any:
        start = time.perf_counter()
        found = inner(recipients, directory, *rest, **named)
        seconds["resolving"] = time.perf_counter() - start
        start = time.perf_counter()
        recipients.to_frame("address").join(directory.addresses, on="address").height  # noqa: B018
        seconds["joining"] = time.perf_counter() - start
        return found

    run_import.resolve_recipients = watched
    start = time.perf_counter()
    import_exports(store, "default", exports(folder), datetime.now(UTC))
    whole = time.perf_counter() - start
    with store.reader() as reader:
        known = reader.rows("SELECT count(*) FROM directory_users")[0][0]
    return Cost(whole, seconds["resolving"], seconds["joining"], peak_mib(), known)


def import_again(home: Path, folder: Path) -> tuple[float, float]:
    """Seconds and peak MiB of the next day's import of the whole directory."""
    store = open_store(Settings(home=home))
    start = time.perf_counter()
    import_exports(store, "default", exports(folder, "next day"), datetime.now(UTC))
    return time.perf_counter() - start, peak_mib()


def correlation_again(home: Path) -> tuple[float, float]:
    """Seconds and peak MiB of matching every recipient again after a change of the domain aliases."""
    store = open_store(Settings(home=home, domain_aliases="old.example=contoso.example"))
    start = time.perf_counter()
    import_exports(store, "default", [], datetime.now(UTC))
    return time.perf_counter() - start, peak_mib()
