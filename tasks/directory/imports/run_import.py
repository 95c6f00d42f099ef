"""One import: files of any sources become the tenant's directory, and its recipients are looked up again."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

import polars as pl

from tasks.directory.export import Export, Imported
from tasks.directory.imports import import_log, tables
from tasks.directory.imports.acceptance import judged, whole_files
from tasks.directory.imports.columns import source_rows
from tasks.directory.match.address_routes import routes
from tasks.directory.match.correlation import resolve
from tasks.directory.merge.build import MADE, build, lookup, renewed
from tasks.directory.model import SOURCES
from tasks.errors import StoreBusy
from tasks.scratch import FrameCache, scratch_folder
from tasks.store.store import Store
from tasks.triage.suppression import end_due

TRIES = 3  # imports of one tenant that may be faster than this one


def import_exports(
    store: Store,
    tenant: str,
    exports: list[Export],
    now: datetime,
    *,
    confirmed: bool = False,
    unread: Sequence[str] = (),
) -> list[Imported]:
    """Import complete snapshots of the sources that the exports name; the other sources stay.

    A source that holds what it held is left alone; one that would lose more than the set share of its people, or that
    a file of may be among the `unread` ones, is refused unless `confirmed`. Where the settings say otherwise how
    recipients are looked up, all are looked up again, exports or not. Nothing is computed under the writer's lock;
    raises StoreBusy if other imports of this tenant were faster three times.
    """
    with scratch_folder(store.settings.home) as folder:
        shelf = FrameCache(folder)
        _put_aside(exports, shelf)
        for _ in range(TRIES):
            with store.transaction() as transaction:
                end_due(transaction, now)
                transaction.publish = transaction.changed
                due = tables.is_due(transaction, tenant, store.settings)
                if not exports and not due:
                    return []
                stored = tables.read(transaction, tenant)
            outcomes = [judged(stored, each, exports, shelf, store, confirmed, unread) for each in exports]
            outcomes = whole_files(outcomes)
            if not due and not any(each.state == "imported" for each in outcomes):
                _note(store, tenant, outcomes, now)
                return outcomes
            outcomes, made = _made(store, tenant, stored, outcomes, shelf, now)
            if _written(store, tenant, stored, outcomes, shelf, made, now):
                return outcomes
    raise StoreBusy(f"Other imports for the tenant {tenant} kept changing its directory. Import one at a time.")


def _written(
    store: Store,
    tenant: str,
    stored: tables.Stored,
    outcomes: list[Imported],
    shelf: FrameCache,
    made: Sequence[str],
    now: datetime,
) -> bool:
    """Write what was made, unless another import was faster: then it was made of what is no longer there."""
    with store.transaction() as transaction:
        if not import_log.is_still(transaction, tenant, stored.imports):
            return False
        import_log.record(transaction, _rows(tenant, outcomes, now))
        import_log.confirm(transaction, tenant, _unchanged(outcomes, now))
        tables.write(transaction, tenant, shelf, made, store.settings)
        transaction.changed = transaction.publish = True
    return True


def _put_aside(exports: list[Export], shelf: FrameCache) -> None:
    """What each source says, on the shelf."""
    # Who is in several files is as the last name says: names often end in a date, and the order given says nothing.
    ordered = sorted(exports, key=lambda each: (each.file_name, each.digest), reverse=True)
    for source in {each.parsed.source for each in exports}:
        together = [each.parsed for each in ordered if each.parsed.source == source]
        for name in SOURCES:
            shelf.put(f"{name} of {source}", pl.concat([getattr(each, name) for each in together]))
    for each in exports:
        each.forget()


def _made(
    store: Store, tenant: str, stored: tables.Stored, outcomes: list[Imported], shelf: FrameCache, now: datetime
) -> tuple[list[Imported], tuple[str, ...]]:
    """Put on the shelf what is to be written; the outcomes with what was found out, and the names of the tables."""
    names = sorted({each.export.parsed.source for each in outcomes if each.state == "imported"})

    def read(name: str) -> pl.DataFrame:
        with store.transaction() as transaction:
            rows = source_rows(transaction, tenant, name)
        return renewed(rows, name, ((source, shelf.get(f"{name} of {source}")) for source in names), now)

    settings, recipients = store.settings, stored.recipients
    aliases, plus = settings.domain_alias_map, settings.plus_addressing
    made: tuple[str, ...] = tables.LOOKED_UP
    if names:
        found = build(read, shelf)
        outcomes = [each.told(found) for each in outcomes]
        made = (*(f"source_{name}" for name in SOURCES), *MADE, *made)
        directory = lookup(shelf, *_lookup(stored, _rows(tenant, outcomes, now)))
    else:
        asked = routes(recipients, aliases, plus_addressing=plus)
        with store.transaction() as transaction:
            directory = tables.directory(transaction, tenant, asked)
    resolved = resolve(recipients, directory, aliases, plus_addressing=plus)
    for name, frame in zip(tables.LOOKED_UP, resolved, strict=True):
        shelf.put(name, frame)
    return outcomes, made


def _rows(tenant: str, outcomes: list[Imported], now: datetime) -> pl.DataFrame:
    """Rows of `directory_imports`."""
    rows = [
        {
            "import_id": str(uuid4()),
            "tenant": tenant,
            "source": each.export.parsed.source,
            "file_name": each.export.file_name,
            "family": each.export.parsed.family,
            "digest": each.export.digest,
            "snapshot_at": each.export.parsed.snapshot_at or now,
            "imported_at": now,
            **each.export.counts,
            "warnings": [*each.export.parsed.warnings, *filter(None, [each.reason])],
            "has_aliases": each.export.parsed.has_aliases,
            "aliases_lost": each.export.parsed.aliases_lost,
            "state": each.state,
        }
        for each in outcomes
        if each.state != "unchanged"
    ]
    return pl.DataFrame(rows, schema=import_log.IMPORT_SCHEMA)


def _lookup(before: tables.Stored, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The sources and the snapshots of a Directory after this import."""
    taken = rows.filter(pl.col("state") == "imported")
    new = taken.group_by("source").agg(pl.col("has_aliases", "aliases_lost").any())
    others = before.latest.drop("digests").join(new, on="source", how="anti")
    told = taken.group_by("source", "imported_at").agg(pl.col("snapshot_at").max())
    return pl.concat([others, new.select(others.columns)]), pl.concat([before.snapshots, told])


def _unchanged(outcomes: list[Imported], now: datetime) -> dict[str, datetime]:
    """The sources that say what they said, and when."""
    return {
        each.export.parsed.source: each.export.parsed.snapshot_at or now
        for each in outcomes
        if each.state == "unchanged"
    }


def _note(store: Store, tenant: str, outcomes: list[Imported], now: datetime) -> None:
    """Keep what was refused, and what was said again, where nothing is imported."""
    with store.transaction() as transaction:
        import_log.record(transaction, _rows(tenant, outcomes, now))
        import_log.confirm(transaction, tenant, _unchanged(outcomes, now))
        transaction.changed = transaction.publish = True
