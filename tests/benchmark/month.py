"""`python -m tests.benchmark.month`: a month of a big account in one backfill, and the memory its process needs."""

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from tasks.mimecast.simulator import V2_KEYS, Simulator, World, serve
from tasks.mimecast.simulator.rows import Query, epoch
from tests.benchmark.chain import peak_mib
from tests.benchmark.measure import _apart

DAYS = 30
GOAL = 1024  # MiB


class Month(NamedTuple):
    """What the backfill's process tells when it is over."""

    seconds: float
    peak: float
    counts: dict[str, Any]
    size: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2_000_000, help="records of the month")
    asked = parser.parse_args()
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(days=DAYS)
    world = World(per_day=asked.records // DAYS, start=start, end=end)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home, serve(Simulator(world)) as running:
        month = _apart(_backfill, home, running.url, start, end)
    expected = world.count(Query(epoch(start), epoch(end), epoch(datetime.now(UTC))))
    Console(highlight=False).print(
        f"[bold]a backfill of {DAYS} days, {month.counts['received']:,} of {expected:,} records[/]: "
        f"{month.seconds:.0f} s, peak {month.peak:.0f} MiB (goal: below {GOAL:,}), store {month.size:.0f} MB; "
        f"{month.counts['alerts']:,} alerts, {month.counts['failed']} slices failed"
    )


def _backfill(home: str, url: str, start: datetime, end: datetime) -> Month:
    os.environ["ATTACHMENT_ALERTS_HOME"] = home
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415 - slow to import, needed here only

    with prefect_test_harness(server_startup_timeout=180):
        from flows.mimecast import backfill  # noqa: PLC0415
        from tasks.connectors import save_connector  # noqa: PLC0415
        from tasks.mimecast.connector import MimecastConnector  # noqa: PLC0415

        save_connector("month", MimecastConnector(base_url=url, allow_other_host=True, **V2_KEYS))
        begin = time.perf_counter()
        counts = backfill("month", start, end)
        seconds = time.perf_counter() - begin
        return Month(seconds, peak_mib(), counts, (Path(home) / "store.duckdb").stat().st_size / 1e6)


if __name__ == "__main__":
    main()
