"""Import of exports into a tenant's directory, after which its recipients are matched again."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

import polars as pl

from tasks.directory.export import Export, ImportOutcome
from tasks.directory.imports import import_log, tables
from tasks.directory.imports.acceptance import decide, refuse_whole_files
from tasks.directory.imports.columns import read_source_rows
from tasks.directory.match.address_routes import candidate_addresses
from tasks.directory.match.correlation import resolve_recipients
from tasks.directory.merge.build import DERIVED_TABLES, apply_snapshots, build, load_directory
from tasks.directory.model import SNAPSHOT_FRAMES
from tasks.errors import StoreBusy
from tasks.scratch import FrameCache, scratch_folder
from tasks.store.store import Store
from tasks.triage.suppression import expire_entries

TRIES = 3  # attempts if other imports of the tenant finish first


def import_exports(
    store: Store,
    tenant: str,
    exports: list[Export],
    now: datetime,
    *,
    confirmed: bool = False,
    unreadable: Sequence[str] = (),
) -> list[ImportOutcome]:
    """Replace the snapshots of the sources of these exports; other sources are kept.

    An unchanged source is skipped. A source is refused, unless `confirmed`, if it would lose more than the configured
    share of its people, or if one of the `unreadable` files may belong to it. If settings of the matching changed, all
    recipients are matched again, even without exports. Nothing is computed while the writer's lock is held; raises
    StoreBusy if other imports of this tenant finished first in every attempt.
    """
    with scratch_folder(store.settings.home) as folder:
        cache = FrameCache(folder)
        _cache_exports(exports, cache)
        for _ in range(TRIES):
            with store.transaction() as transaction:
                expire_entries(transaction, now)
                transaction.publish = transaction.changed
                outdated = tables.is_matching_outdated(transaction, tenant, store.settings)
                if not exports and not outdated:
                    return []
                stored = tables.read_stored(transaction, tenant)
            outcomes = [decide(stored, export, exports, cache, store, confirmed, unreadable) for export in exports]
            outcomes = refuse_whole_files(outcomes)
            if not outdated and not any(outcome.state == "imported" for outcome in outcomes):
                _record_outcomes(store, tenant, outcomes, now)
                return outcomes
            outcomes, table_names = _build(store, tenant, stored, outcomes, cache, now)
            if _write(store, tenant, stored, outcomes, cache, table_names, now):
                return outcomes
    raise StoreBusy(
        f"Other imports for the tenant {tenant} changed its directory in the meantime. Run one import at a time."
    )


def _write(
    store: Store,
    tenant: str,
    stored: tables.StoredDirectory,
    outcomes: list[ImportOutcome],
    cache: FrameCache,
    table_names: Sequence[str],
    now: datetime,
) -> bool:
    """False, without writing, if another import finished first, so that this one was built from outdated rows."""
    with store.transaction() as transaction:
        if not import_log.is_unchanged(transaction, tenant, stored.imports):
            return False
        import_log.record_imports(transaction, _log_rows(tenant, outcomes, now))
        import_log.confirm_sources(transaction, tenant, _confirmed_sources(outcomes, now))
        tables.write_tables(transaction, tenant, cache, table_names, store.settings)
        transaction.changed = transaction.publish = True
    return True


def _cache_exports(exports: list[Export], cache: FrameCache) -> None:
    # An object in several files is taken from the last one by name, because names often end in a date.
    ordered = sorted(exports, key=lambda export: (export.file_name, export.digest), reverse=True)
    for source in {export.parsed.source for export in exports}:
        same_source = [export.parsed for export in ordered if export.parsed.source == source]
        for name in SNAPSHOT_FRAMES:
            cache.put(f"{name} of {source}", pl.concat([getattr(parsed, name) for parsed in same_source]))
    for export in exports:
        export.drop_rows()


def _build(
    store: Store,
    tenant: str,
    stored: tables.StoredDirectory,
    outcomes: list[ImportOutcome],
    cache: FrameCache,
    now: datetime,
) -> tuple[list[ImportOutcome], tuple[str, ...]]:
    """Put the new tables into the cache; returns the outcomes with warnings, and the names of the tables."""
    names = sorted({outcome.export.parsed.source for outcome in outcomes if outcome.state == "imported"})

    def read(name: str) -> pl.DataFrame:
        with store.transaction() as transaction:
            rows = read_source_rows(transaction, tenant, name)
        return apply_snapshots(rows, name, ((source, cache.get(f"{name} of {source}")) for source in names), now)

    settings, recipients = store.settings, stored.recipients
    aliases, plus = settings.domain_alias_map, settings.plus_addressing
    table_names: tuple[str, ...] = tables.MATCH_TABLES
    if names:
        warnings = build(read, cache)
        outcomes = [outcome.with_member_warnings(warnings) for outcome in outcomes]
        table_names = (*(f"source_{name}" for name in SNAPSHOT_FRAMES), *DERIVED_TABLES, *table_names)
        directory = load_directory(cache, *_sources_and_snapshots(stored, _log_rows(tenant, outcomes, now)))
    else:
        candidates = candidate_addresses(recipients, aliases, plus_addressing=plus)
        with store.transaction() as transaction:
            directory = tables.read_directory(transaction, tenant, candidates)
    resolved = resolve_recipients(recipients, directory, aliases, plus_addressing=plus)
    for name, frame in zip(tables.MATCH_TABLES, resolved, strict=True):
        cache.put(name, frame)
    return outcomes, table_names


def _log_rows(tenant: str, outcomes: list[ImportOutcome], now: datetime) -> pl.DataFrame:
    """Rows of `directory_imports`."""
    rows = [
        {
            "import_id": str(uuid4()),
            "tenant": tenant,
            "source": outcome.export.parsed.source,
            "file_name": outcome.export.file_name,
            "family": outcome.export.parsed.family,
            "digest": outcome.export.digest,
            "snapshot_at": outcome.export.parsed.snapshot_at or now,
            "imported_at": now,
            **{name: count for name, count in outcome.export.counts.items() if name in import_log.IMPORT_SCHEMA},
            "warnings": [*outcome.export.parsed.warnings, *filter(None, [outcome.reason])],
            "has_aliases": outcome.export.parsed.has_aliases,
            "aliases_lost": outcome.export.parsed.aliases_lost,
            "state": outcome.state,
        }
        for outcome in outcomes
        if outcome.state != "unchanged"
    ]
    return pl.DataFrame(rows, schema=import_log.IMPORT_SCHEMA)


def _sources_and_snapshots(before: tables.StoredDirectory, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The sources and the snapshots of a Directory after this import."""
    imported = rows.filter(pl.col("state") == "imported")
    new = imported.group_by("source").agg(pl.col("has_aliases", "aliases_lost").any())
    others = before.latest.drop("digests").join(new, on="source", how="anti")
    snapshot_times = imported.group_by("source", "imported_at").agg(pl.col("snapshot_at").max())
    return pl.concat([others, new.select(others.columns)]), pl.concat([before.snapshots, snapshot_times])


def _confirmed_sources(outcomes: list[ImportOutcome], now: datetime) -> dict[str, datetime]:
    """source → time, of unchanged sources."""
    return {
        outcome.export.parsed.source: outcome.export.parsed.snapshot_at or now
        for outcome in outcomes
        if outcome.state == "unchanged"
    }


def _record_outcomes(store: Store, tenant: str, outcomes: list[ImportOutcome], now: datetime) -> None:
    """Record refused and unchanged exports if nothing is imported."""
    with store.transaction() as transaction:
        import_log.record_imports(transaction, _log_rows(tenant, outcomes, now))
        import_log.confirm_sources(transaction, tenant, _confirmed_sources(outcomes, now))
        transaction.changed = transaction.publish = True
