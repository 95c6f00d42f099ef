"""`python -m tests.benchmark.month`: a month of a big account in one backfill, and the memory its process needs."""

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from tasks.settings import Settings, load_settings
from tasks.store.factory import open_store
from tasks.window import Interval, split_into_slices
from tests.benchmark.chain import peak_mib
from tests.benchmark.measure import in_fresh_process
from tests.simulator import V2_KEYS, Simulator, World, serve
from tests.simulator.rows import Query, epoch

DAYS = 30
GOAL = 1024  # MiB


class Month(NamedTuple):
    """What the process of the backfill reports."""

    seconds: float
    peak: float
    counts: dict[str, Any]
    size: float
    stored: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2_000_000, help="records of the month")
    options = parser.parse_args()
    end = (datetime.now(UTC) - timedelta(minutes=2)).replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(days=DAYS)
    world = World(per_day=options.records // DAYS, start=start, end=end)
    twice = _count_edge_rows(world, start, end)
    least = _count_rows(world, start, end) + twice
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home, serve(Simulator(world)) as running:
        month = in_fresh_process(_backfill, home, running.url, start, end)
    # Some records turn up late: those that do so during the backfill may be received or not.
    expected = _count_rows(world, start, end) + twice
    Console(highlight=False).print(
        f"[bold]a backfill of {DAYS} days, {month.counts['received']:,} of {expected:,} records[/]: "
        f"{month.seconds:.0f} s, peak {month.peak:.0f} MiB (goal: below {GOAL:,}), store {month.size:.0f} MB; "
        f"{month.counts['alerts']:,} alerts, {month.counts['failed']} slices failed"
    )
    if wrong := _wrong(month, least, expected):
        sys.exit(wrong)


def _count_rows(world: World, first: datetime, last: datetime) -> int:
    """Rows that the service shows now, both moments included."""
    return world.count(Query(epoch(first), epoch(last), epoch(datetime.now(UTC)))) or 0


def _count_edge_rows(world: World, start: datetime, end: datetime) -> int:
    """Rows exactly at an edge between two slices: they come with both."""
    slices = split_into_slices([Interval(start, end)], "backfill", Settings())
    return sum(_count_rows(world, slice_.start, slice_.start) for slice_ in slices[1:])


def _wrong(month: Month, least: int, most: int) -> str:
    """What missed its goal, in a sentence; nothing if all is well."""
    failed, received = month.counts["failed"], month.counts["received"]
    wrong = {
        f"the peak of {month.peak:.0f} MiB is not below {GOAL:,} MiB": month.peak >= GOAL,
        f"{failed} slices failed": failed,
        f"{received:,} records were received, {least:,} to {most:,} expected": not least <= received <= most,
        f"{month.stored:,} scans are stored, {month.counts['new']:,} expected": month.stored != month.counts["new"],
    }
    found = [words for words, is_wrong in wrong.items() if is_wrong]
    return f"The month missed its goal: {'; '.join(found)}." if found else ""


def _backfill(home: str, url: str, start: datetime, end: datetime) -> Month:
    os.environ["ATTACHMENT_ALERTS_HOME"] = home
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415 - slow to import, needed here only

    with prefect_test_harness(server_startup_timeout=180):
        from flows.mimecast import mimecast_backfill as backfill  # noqa: PLC0415
        from tasks.mimecast.connector import MimecastConnector  # noqa: PLC0415
        from tasks.saved_connectors import save_connector  # noqa: PLC0415

        save_connector("month", MimecastConnector(base_url=url, allow_other_host=True, **V2_KEYS))
        begin = time.perf_counter()
        result = backfill("month", start, end, return_state=True).result(raise_on_failure=False)
        seconds = time.perf_counter() - begin
        counts = getattr(result, "counts", result)  # of a failed run they come with its error
        size = (Path(home) / "store.duckdb").stat().st_size / 1e6
        peak = peak_mib()
        with open_store(load_settings()).reader() as tables:
            stored = tables.rows("SELECT count(*) FROM scans")[0][0]
        return Month(seconds, peak, counts, size, stored)


if __name__ == "__main__":
    main()
