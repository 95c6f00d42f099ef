"""`python -m tests.benchmark`: the ratios that say how good this is, and where the time goes."""

import argparse
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from tasks.settings import Settings
from tasks.store.factory import open_store
from tests.benchmark import pages
from tests.benchmark.chain import Chain, decode_floor, peak_mib
from tests.benchmark.directory import correlation, correlation_again, import_again, save_exports, save_scans
from tests.benchmark.grow import grow
from tests.benchmark.prefect_part import prefect_part
from tests.scans import KEEP_ALL

out = Console(highlight=False)
NEW = 1_000  # records of a usual poll
OVERLAP = 200  # … and so many that the poll before has read
POLLS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="records from pages to tables, in ten slices")
    parser.add_argument(
        "--stored", type=int, default=5_000_000, help="scans in the larger of the two stores that are polled"
    )
    parser.add_argument("--people", type=int, default=200_000, help="people in the directory that is imported")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        home = Path(folder)
        pages_to_tables(home, asked.records)
        polls(home, asked.stored)
        directory(home, asked.people)
    report_prefect()


def pages_to_tables(home: Path, records: int) -> None:
    """One million records in ten slices, each measurement in a process of its own."""
    count = pages.save(home / "pages", 10, records // 10)
    before = in_fresh_process(decode_floor, home / "pages", 10)
    seconds, stages, peak = in_fresh_process(_chain, home / "million", home / "pages", 10)
    after = in_fresh_process(decode_floor, home / "pages", 10)
    floor = statistics.mean([before, after])  # other work on the machine varies
    out.print(
        f"[bold]{count:,} records, saved pages to committed tables[/]: {seconds:.1f} s, "
        f"peak {peak:.0f} MiB (goal: below 1,024)"
    )
    out.print(f"  decoding the same bytes the fastest way: {floor:.1f} s; ratio {seconds / floor:.2f} (goal: below 5)")
    out.print("  " + ", ".join(f"{name} {spent:.1f} s" for name, spent in stages.items()) + " (overlapping)")


def _chain(home: Path, folder: Path, slices: int) -> tuple[float, dict[str, float], float]:
    # Kept as new mail is: the pages are of two weeks in March, whatever today is.
    chain = Chain(open_store(Settings(home=home, **KEEP_ALL)))
    return chain.run(folder, slices), dict(chain.seconds), peak_mib()


def polls(home: Path, stored: int) -> None:
    """What 1,000 new records cost, pages to commit, whatever is stored already: files known before are among them."""
    pages.save(home / "small", 1, 100_000)
    for number in range(1, POLLS + 1):
        pages.save_slice(home / "new", number, NEW, again=OVERLAP)
    costs = {}
    for scans in (100_000, stored):
        costs[scans], publishing, copying, size = in_fresh_process(_polls, home / f"store-{scans}", home, scans)
        out.print(
            f"[bold]a poll of {NEW:,} new records[/] with {scans:,} scans stored: {costs[scans] * 1000:.0f} ms; "
            f"publishing {publishing * 1000:.0f} ms = {publishing / copying:.1f} x a plain copy of the {size:.0f} MB"
        )
    out.print(f"  ratio {costs[stored] / costs[100_000]:.2f} (goal: below 2)")


def _polls(home: Path, saved: Path, scans: int) -> tuple[float, float, float, float]:
    store = open_store(Settings(home=home, **KEEP_ALL))
    chain = Chain(store)
    chain.run(saved / "small", 1)
    if scans > 100_000:
        grow(store, scans)
    costs = [_timed(lambda n=n: _poll(chain, saved / "new", n)) for n in range(1, POLLS + 1)]
    publishing = min(_timed(store.publish) for _ in range(3))
    copy = home / "copy"
    copying = min(_timed(lambda: shutil.copyfile(store.path, copy)) for _ in range(3))
    return statistics.median(costs[1:]), publishing, copying, store.path.stat().st_size / 1e6


def _poll(chain: Chain, folder: Path, number: int) -> None:
    chain.load(chain.prepare(pages.path_of(folder, number), pages.slice_of(number)))


def directory(home: Path, people: int) -> None:
    """What it costs to import a directory and to look every recipient of a million scans up again."""
    in_fresh_process(save_exports, home / "exports", people)
    in_fresh_process(save_scans, home / "directory", 1_000_000)
    cost = in_fresh_process(correlation, home / "directory", home / "exports")
    out.print(
        f"[bold]1,000,000 scans against {cost.people:,} people and groups[/], import and correlation: "
        f"{cost.whole:.1f} s (goal: below 60), peak {cost.peak:.0f} MiB (goal: below 2,048)"
    )
    out.print(
        f"  looking recipients up {cost.resolving:.1f} s, {cost.resolving / cost.whole:.0%} of it; "
        f"the plain join {cost.joining:.2f} s, {cost.joining / cost.whole:.1%}"
    )
    again = {
        "the import of everything on the next day": in_fresh_process(
            import_again, home / "directory", home / "exports"
        ),
        "the correlation of everything again": in_fresh_process(correlation_again, home / "directory"),
    }
    for name, (seconds, peak) in again.items():
        out.print(f"  {name}: {seconds:.1f} s (goal: below 60), peak {peak:.0f} MiB (goal: below 2,048)")


def report_prefect() -> None:
    """Everything of a poll that is not our own work."""
    whole, ours = in_fresh_process(prefect_part)
    out.print(
        f"[bold]Prefect's part of a poll[/] against a running API: {whole - ours:.2f} s of {whole:.2f} s "
        f"(heartbeat's second included); our own work {ours:.2f} s"
    )


def _timed(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def in_fresh_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run in a fresh process: its memory is its own, and nothing is warm that would not be in a run."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()
