"""From saved pages to committed tables, as a run does it but without Prefect; and the fastest way to decode them."""

import shutil
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import httpx
import msgspec
import polars as pl

from tasks.http.paging import Page
from tasks.ingest import coverage, pull_session
from tasks.ingest.batches import Extracted, Transformed, Validated
from tasks.ingest.extract import extract
from tasks.ingest.load import close_slice, load_slice
from tasks.ingest.transform import transform
from tasks.ingest.validate import validate
from tasks.mimecast.record import RECORD_FIELDS, RECORDS
from tasks.mimecast.response import read_page
from tasks.priority import load_maps
from tasks.source import Source
from tasks.store.store import Store
from tasks.window import Slice
from tests.benchmark.pages import answers, path_of, slice_of

SOURCE = Source(UUID(int=1), "benchmark", "mimecast", "default", 15, "", None, timedelta(days=7))
AHEAD = 2  # slices that are decoded and transformed, one after the other, while one is loaded


Record = msgspec.defstruct("Record", [(name, str | None, None) for name in RECORD_FIELDS])


class Logs(msgspec.Struct):
    attachmentLogs: list[Record]  # type: ignore[valid-type]  # noqa: N815 - the vendor's word


class Answer(msgspec.Struct):
    data: list[Logs]


def decode_floor(folder: Path, slices: int) -> float:
    """Seconds for typed pages → columns per page → one frame: the fastest way measured."""
    decoder = msgspec.json.Decoder(Answer)
    schema = dict.fromkeys(RECORD_FIELDS, pl.String)
    frames = []
    begin = time.perf_counter()
    for number in range(slices):
        for body in answers(path_of(folder, number)):
            records = decoder.decode(body).data[0].attachmentLogs
            columns = {name: [getattr(record, name) for record in records] for name in RECORD_FIELDS}
            frames.append(pl.DataFrame(columns, schema=schema))
    pl.concat(frames, rechunk=True)
    return time.perf_counter() - begin


class SavedClient:
    """Hands out saved answers as the client hands out those of the service."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pages(self, start: datetime, end: datetime) -> Iterator[Page[Record]]:  # type: ignore[valid-type]
        for body in answers(self._path):
            page = read_page(httpx.Response(200, content=body), datetime.now(UTC))
            assert isinstance(page, Page)
            yield page


class Prepared(NamedTuple):
    slice_: Slice
    scratch: Path
    extracted: Extracted
    validated: Validated
    transformed: Transformed


class Chain:
    """All stages over saved pages into one store; `seconds` sums the time of each stage."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.seconds: Counter[str] = Counter()
        self._maps = load_maps(store.settings)
        pull_session.begin(store, SOURCE, datetime.now(UTC))

    def run(self, folder: Path, slices: int) -> float:
        """Seconds from the first page to the last commit, preparing slices while others are loaded."""
        begin = time.perf_counter()
        with ThreadPoolExecutor(1) as pool:
            waiting: deque[Future[Prepared]] = deque()
            for number in range(slices):
                waiting.append(pool.submit(self.prepare, path_of(folder, number), slice_of(number)))
                if len(waiting) > AHEAD:
                    self.load(waiting.popleft().result())
            for future in waiting:
                self.load(future.result())
        return time.perf_counter() - begin

    def prepare(self, path: Path, slice_: Slice) -> Prepared:
        scratch = self.store.settings.home / "scratch" / path.stem
        with self._timed("extract"):
            client = SavedClient(path)
            extracted = extract(lambda: client.pages(slice_.start, slice_.end), RECORDS.reader, scratch / "extracted")
        with self._timed("validate"):
            words = ["malicious", "unsafe"]
            now = datetime.now(UTC)
            validated = validate(extracted.records, RECORDS, scratch, SOURCE.connector_id, words, frozenset(), now)
        with self._timed("transform"):
            settings = self.store.settings
            transformed = transform(
                validated.records, RECORDS, scratch / "scans", slice_, SOURCE.connector_id, self._maps, settings
            )
        return Prepared(slice_, scratch, extracted, validated, transformed)

    def load(self, one: Prepared, *, publish: bool = False) -> None:
        with self._timed("load and commit"), self.store.transaction() as transaction:
            scans, rejects = one.transformed.scans, one.validated.rejects
            load_slice(transaction, SOURCE, scans, rejects, (), self.store.settings)
            now = datetime.now(UTC)
            close_slice(
                transaction,
                SOURCE,
                one.slice_,
                coverage.Report(one.slice_.start, one.slice_.end, "poll", "complete", now, now),
            )
            transaction.publish = publish
        shutil.rmtree(one.scratch, ignore_errors=True)

    def _timed(self, stage: str) -> "Timed":
        return Timed(self.seconds, stage)


class Timed:
    """Adds the time of its block to a counter."""

    def __init__(self, seconds: Counter[str], stage: str) -> None:
        self._seconds, self._stage = seconds, stage

    def __enter__(self) -> None:
        self._begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._stage] += time.perf_counter() - self._begin


def peak_mib() -> float:
    """Most memory this process ever had, MiB. What `getrusage` tells begins with that of the process it came from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
