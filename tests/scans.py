"""Scans as the tests of the shared tables make them, loaded as a run loads them, and all that a store then shows."""

import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl

from tasks.alerts import REJECT_SCHEMA, SCAN_SCHEMA, Distinct, scan_id
from tasks.ingest.coverage import Report
from tasks.ingest.load import Loaded, close_slice, load_slice
from tasks.ingest.pull_session import begin
from tasks.priority import Maps, load_maps, prioritise, respond
from tasks.settings import DEFAULTS, Settings
from tasks.source import Source
from tasks.store.connection import Transaction
from tasks.store.factory import open_store
from tasks.store.store import Store
from tasks.window import Slice

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MAPS = load_maps(Settings(home=DEFAULTS))
HASH = "ab" * 32
KEEP_ALL: dict[str, Any] = {"retention_low_raw_days": 0, "retention_alert_raw_days": 0, "retention_low_days": 0}

UNLIKE_LOW_SCANS = """
    SELECT hash_prefix, hash_end FROM internal.low_hashes FULL JOIN (
        SELECT DISTINCT hash_prefix, unhex(right(file_sha256, 32))::UUID AS hash_end
        FROM internal.low_scans WHERE file_sha256 IS NOT NULL
    ) s USING (hash_prefix, hash_end)
    WHERE low_hashes.hash_prefix IS NULL OR s.hash_prefix IS NULL
"""
"""Hashes that are on the list and in no low scan, or the other way round."""

# Relations of the analysts whose rows do not depend on the clock; `windows` tells attempts, not content.
CONTENT = (
    "alert_groups",
    "alerts",
    "scans",
    "scan_changes",
    "group_aliases",
    "group_changes",
    "exposures",
    "rejects",
    "coverage",
    "coverage_gaps",
)

Reading = dict[str, Any]

EMPTY = ("empty",)
PREPARED: dict[tuple[Any, ...], list[tuple[str, bytes, int]]] = {}
"""EMPTY, or connectors and settings → files of a store in which these have begun and nothing else has happened."""


def scan(hour: float = 0, verdict: str = "malicious", read: float = 1000, **fields: Any) -> Reading:
    """A reading of a scan: detected `hour` hours after START, its page requested `read` hours after START."""
    return {
        "detected_at": START + hour * HOUR,
        "verdict": verdict,
        "response": "hold",
        "file_sha256": HASH,
        "file_name": "invoice.pdf",
        "file_type": "application/pdf",
        "sender": "eve@evil.example",
        "recipient": "ann@contoso.example",
        "subject": "Your invoice",
        "message_id": "<1@evil.example>",
        "route": "inbound",
        "definition": "Default",
        "details": "looks bad",
        "scan_seconds": 3,
        "fetched_at": START + read * HOUR,
    } | fields


def source(number: int = 1, tenant: str = "default") -> Source:
    return Source(
        UUID(int=number), f"connector-{number}", "some-product", tenant, 15, "https://x.example/{message_id}", None,
        timedelta(days=7),
    )  # fmt: skip


def frame(
    readings: Sequence[Reading], of: Source | None = None, *, keep_low: bool = False, maps: Maps = MAPS
) -> pl.DataFrame:
    """The readings as a connector's transform hands them over."""
    schema = {name: kind for name, kind in SCAN_SCHEMA.items() if name in scan()}
    rows = pl.DataFrame(readings, schema).with_row_index("place")
    sender, recipient, file_sha256, detected_at = map(
        Distinct, rows["sender", "recipient", "file_sha256", "detected_at"]
    )
    identity = scan_id(
        (of or source()).connector_id.hex, rows["message_id"], sender, recipient, rows["file_name"], file_sha256,
        detected_at,
    )  # fmt: skip
    rows = rows.with_columns(scan_id=identity)
    rows, _ = respond(prioritise(rows, maps)[0], maps)
    record = pl.concat_str(pl.lit("record of "), pl.col("fetched_at").dt.epoch("s"))
    rows = rows.with_columns(raw=pl.when(pl.lit(keep_low) | (pl.col("priority") != "low")).then(record))
    return rows.select(list(SCAN_SCHEMA)).cast(SCAN_SCHEMA)


def reject(text: str, read: float = 1000, *, dangerous: bool = False) -> dict[str, Any]:
    """A record that failed validation; the same text is the same record."""
    return {
        "reject_id": sha256(text.encode()).hexdigest()[:32],
        "reason": "not an object",
        "raw": text,
        "dangerous": dangerous,
        "fetched_at": START + read * HOUR,
    }


def load(
    store: Store,
    batches: Iterable[Sequence[Reading]],
    of: Source | None = None,
    *,
    rejects: Sequence[dict[str, Any]] = (),
    resolved: Sequence[str] = (),
    slice_: Slice | None = None,
) -> Loaded:
    """Load batches of readings as one slice, with report and coverage, as a run does."""
    with store.transaction() as transaction:
        return load_into(transaction, store.settings, batches, of, rejects=rejects, resolved=resolved, slice_=slice_)


def load_into(
    transaction: Transaction,
    settings: Settings,
    batches: Iterable[Sequence[Reading]],
    of: Source | None = None,
    *,
    rejects: Sequence[dict[str, Any]] = (),
    resolved: Sequence[str] = (),
    slice_: Slice | None = None,
) -> Loaded:
    """The same within a transaction that is open already."""
    slice_, of = slice_ or Slice(START, START + HOUR, "poll"), of or source()
    frames = [frame(each, of, keep_low=settings.keep_low == "full") for each in batches if each]
    bad = pl.DataFrame(rejects, REJECT_SCHEMA)
    accepted, now = sum(map(len, frames)), datetime.now(UTC)
    loaded = load_slice(transaction, of, frames, [bad], resolved, settings)
    report = Report(
        slice_.start,
        slice_.end,
        slice_.trigger,
        "complete",
        now,
        now,
        received=accepted + len(bad),
        accepted=accepted,
        **{name: getattr(loaded, name) for name in ("new", "changed", "duplicates", "expired", "rejected")},
        newest_at=max((each["detected_at"].max() for each in frames), default=None),
    )
    close_slice(transaction, of, slice_, report)
    return loaded


def prepare_home(home: Path) -> None:
    """Put an empty store into a home: its tables are made once in each process, in a quarter of a second."""
    if EMPTY not in PREPARED:
        with tempfile.TemporaryDirectory() as folder:
            empty = open_store(Settings(home=Path(folder)))
            with empty.transaction():
                pass
            _keep(EMPTY, Path(folder))
    _copy(EMPTY, home)


def begun(home: Path, *sources: Source, **settings: Any) -> Store:
    """A store in `home` that knows these connectors; nothing is too old for it unless told so.

    Their polls begin once in each process: the next store of that kind gets copies of the files.
    """
    store = open_store(Settings(home=home, **KEEP_ALL | settings))
    kind = (sources, *sorted(settings.items()))
    if kind in PREPARED:
        _copy(kind, home)
    else:
        prepare_home(home)
        for each in sources or (source(),):
            begin(store, each, START + timedelta(days=7))
        _keep(kind, home)
    return store


def _keep(kind: tuple[Any, ...], home: Path) -> None:
    PREPARED[kind] = [(file.name, file.read_bytes(), file.stat().st_mode) for file in home.glob("*.duckdb")]


def _copy(kind: tuple[Any, ...], home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    for name, content, mode in PREPARED[kind]:
        (home / name).write_bytes(content)
        (home / name).chmod(mode)


def rows(store: Store, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """The answer of the store itself, before any publication."""
    with store.transaction() as transaction:
        return transaction.rows(sql, values or None)


def content(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that analysts see of what was loaded."""
    with store.transaction() as transaction:
        return {name: transaction.rows(f"SELECT * FROM {name} ORDER BY ALL") for name in CONTENT}
