"""One slice of a pull, whichever product: extract, validate, transform, load, as Prefect tasks."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from tasks.ingest import coverage
from tasks.ingest.batches import Extracted, Transformed, Validated
from tasks.ingest.load import Loaded, close_slice, load_slice
from tasks.ingest.pull_session import Beginning
from tasks.ingest.stages import Stages
from tasks.source import Source
from tasks.store.publish_policy import Publisher
from tasks.store.store import AccountLock, Store
from tasks.window import Slice


class Pull(NamedTuple):
    """Everything the slices of one run share."""

    stages: Stages
    source: Source
    store: Store
    beginning: Beginning
    publisher: Publisher
    account: AccountLock
    stop: threading.Event
    progress: Callable[[int, int], None] = lambda done, total: None
    """told how many of how many slices are done"""


@task(task_run_name="extract {piece.start:%Y-%m-%d %H:%M}", cache_policy=NO_CACHE)
def extract(stages: Stages, piece: Slice, scratch: Path) -> Extracted:
    """Fetch every page of the slice into scratch files."""
    return stages.extract(piece, scratch)


# A stage asks the future before it for its result: of a future that is handed over, Prefect asks the server about each.
@task(task_run_name="validate {piece.start:%Y-%m-%d %H:%M}", cache_policy=NO_CACHE)
def validate(
    stages: Stages, piece: Slice, extracted: Callable[[], Extracted], scratch: Path, open_rejects: frozenset[str]
) -> Validated:
    """Tell records that can be scans from rejects."""
    return stages.validate(extracted(), scratch, open_rejects)


@task(task_run_name="transform {piece.start:%Y-%m-%d %H:%M}", cache_policy=NO_CACHE)
def transform(stages: Stages, piece: Slice, validated: Callable[[], Validated], scratch: Path) -> Transformed:
    """Turn records into scans in our words."""
    return stages.transform(validated(), scratch, piece)


@task(task_run_name="load {piece.start:%Y-%m-%d %H:%M}", cache_policy=NO_CACHE)
def load(
    pull: Pull, piece: Slice, extracted: Extracted, validated: Validated, transformed: Transformed
) -> tuple[coverage.Report, Loaded]:
    """Commit the slice: rows, changes, rejects, groups, report and coverage in one transaction."""
    with pull.store.transaction() as transaction:
        loaded = load_slice(
            transaction,
            pull.source,
            transformed.scans.taken(),
            validated.rejects.taken(),
            validated.resolved,
            pull.store.settings,
        )
        report = coverage.Report(
            piece.start,
            piece.end,
            piece.trigger,
            "complete_empty_tail" if extracted.empty_tail else "complete",
            extracted.started_at,
            datetime.now(UTC),
            pages=extracted.pages,
            received=extracted.received,
            accepted=transformed.accepted,
            new=loaded.new,
            changed=loaded.changed,
            duplicates=loaded.duplicates,
            expired=loaded.expired,
            rejected=loaded.rejected,
            outside=transformed.outside,
            vendor_total=extracted.vendor_total,
            newest_at=transformed.newest_at,
            flow_run_id=flow_run.get_id(),
        )
        close_slice(transaction, pull.source, piece, report)
        transaction.publish = pull.publisher.after_slice(changed=transaction.changed, high=loaded.high > 0)
    return report, loaded
