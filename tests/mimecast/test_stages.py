"""From an answer's bytes to scans: extract, validate and transform as a run puts them together.

Each pair of files in `records` is a test: an answer of the service, and the scans and rejects it becomes. Fields that
the expected file does not name are not compared.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasks.ingest.validate as validation
from tasks.alerts import REJECT_SCHEMA, SCAN_SCHEMA
from tasks.errors import DatesIgnored, PageTokenRefused
from tasks.http.paging import Page
from tasks.ingest import batches as stage
from tasks.ingest.batches import Batches, Extracted, Transformed, Validated
from tasks.ingest.extract import extract
from tasks.ingest.read_records import Record
from tasks.ingest.transform import transform
from tasks.ingest.validate import MAX_AHEAD, validate
from tasks.mimecast.record import RECORD_FIELDS, RECORDS
from tasks.mimecast.response import read_page
from tasks.priority import load_maps
from tasks.settings import DEFAULTS, Settings
from tasks.window import Slice
from tests.examples import examples
from tests.simulator.client import record

FOLDER = Path(__file__).with_name("records")
PAIRS = sorted(path.stem for path in FOLDER.glob("*.json") if not path.stem.endswith(".expected"))

CONNECTOR = UUID(int=7)
REQUESTED_AT = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
ALL_TIME = Slice(datetime(2003, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC), "backfill")
DAY = Slice(datetime(2024, 11, 17, tzinfo=UTC), datetime(2024, 11, 18, tzinfo=UTC), "poll")
MAPS = load_maps(Settings(home=DEFAULTS))
DANGEROUS = ["malicious", "unsafe"]
AS_SENT = Settings(home=DEFAULTS)
KEEP_LOW = Settings(home=DEFAULTS, keep_low="full")

Row = dict[str, Any]


class Chain(NamedTuple):
    extracted: Extracted
    validated: Validated
    transformed: Transformed

    @property
    def scans(self) -> list[Row]:
        return rows_of(self.transformed.scans)

    @property
    def rejects(self) -> list[Row]:
        return rows_of(self.validated.rejects)


class Pages:
    """A client that returns these pages for any request; the first `refusals` readings fail after the first page."""

    def __init__(self, pages: Sequence[Page[Record]], refusals: int = 0) -> None:
        self._pages, self._refusals = pages, refusals

    def pages(self, _start: datetime, _end: datetime) -> Iterator[Page[Record]]:
        for number, page in enumerate(self._pages):
            if number and self._refusals:
                self._refusals -= 1
                raise PageTokenRefused("the page token is not known")
            yield page


def rows_of(batches: Batches) -> list[Row]:
    return [row for batch in batches for row in batch.iter_rows(named=True)]


def read(answer: bytes) -> Page[Record]:
    page = read_page(httpx.Response(200, content=answer), REQUESTED_AT)
    assert isinstance(page, Page), page
    return page


def page_of(records: Sequence[Any]) -> Page[Record]:
    body = {"meta": {"status": 200}, "data": [{"attachmentLogs": records}], "fail": []}
    return read(json.dumps(body).encode())


def run(
    pages: Sequence[Page[Record]],
    scratch: Path,
    window: Slice = ALL_TIME,
    *,
    site: Settings = AS_SENT,
    open_rejects: frozenset[str] = frozenset(),
    connector: UUID = CONNECTOR,
    refusals: int = 0,
) -> Chain:
    client = Pages(pages, refusals)
    extracted = extract(lambda: client.pages(window.start, window.end), RECORDS.reader, scratch / "extracted")
    validated = validate(extracted.records, RECORDS, scratch, connector, DANGEROUS, open_rejects, datetime.now(UTC))
    return Chain(
        extracted, validated, transform(validated.records, RECORDS, scratch / "scans", window, connector, MAPS, site)
    )


def pair(name: str) -> tuple[bytes, Row]:
    answer = (FOLDER / f"{name}.json").read_bytes()
    return answer, json.loads((FOLDER / f"{name}.expected.json").read_text(encoding="utf-8"))


def records_in(answer: bytes) -> list[Any]:
    return [record for part in json.loads(answer)["data"] for record in part["attachmentLogs"]]


def fields_of(row: Row, like: Row) -> Row:
    """The fields of `row` that `like` names, in the form of JSON."""
    return {name: row[name].isoformat() if name == "detected_at" else row[name] for name in like}


def test_every_answer_has_its_expected_file() -> None:
    assert {f"{name}{end}" for name in PAIRS for end in (".json", ".expected.json")} == {
        path.name for path in FOLDER.iterdir()
    }
    assert len(PAIRS) >= 20


@pytest.mark.parametrize("name", PAIRS)
def test_answer_becomes_the_expected_scans_and_rejects(name: str, tmp_path: Path) -> None:
    answer, expected = pair(name)
    chain = run([read(answer)], tmp_path)
    scans, rejects = chain.scans, chain.rejects
    assert [fields_of(scan, like) for scan, like in zip(scans, expected["scans"], strict=True)] == expected["scans"]
    assert [fields_of(bad, like) for bad, like in zip(rejects, expected["rejects"], strict=True)] == expected["rejects"]
    assert list(chain.transformed.unseen) == expected["unseen"]
    assert list(chain.validated.leftover) == expected["leftover"]
    assert chain.extracted.received == len(scans) + len(rejects) == len(records_in(answer))
    assert chain.transformed.accepted == len(scans)
    assert chain.transformed.low == sum(scan["priority"] == "low" for scan in scans)
    assert chain.transformed.newest_at == max((scan["detected_at"] for scan in scans), default=None)


@pytest.mark.parametrize("name", PAIRS)
def test_scans_do_not_depend_on_other_records_or_the_order_of_keys(name: str, tmp_path: Path) -> None:
    """A single invalid value changes the way a page is read; scans, rejects and ids stay the same."""

    def comparable(chain: Chain) -> tuple[list[Row], list[Row]]:
        scans = [row | {"place": None, "raw": row["raw"] and json.loads(row["raw"])} for row in chain.scans]
        return scans, [row for row in chain.rejects if row["raw"] != "17"]

    records = records_in(pair(name)[0])
    together = comparable(run([page_of(records)], tmp_path / "together", site=KEEP_LOW))
    single = [page_of([entry]) for entry in records]
    reversed_keys = [dict(reversed(entry.items())) if isinstance(entry, dict) else entry for entry in records]
    assert comparable(run(single, tmp_path / "single", site=KEEP_LOW)) == together
    assert comparable(run([page_of([*records, 17])], tmp_path / "beside", site=KEEP_LOW)) == together
    assert comparable(run([page_of(reversed_keys)], tmp_path / "reversed_keys", site=KEEP_LOW)) == together


def test_batches_are_limited_in_size_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "BATCH_ROWS", 3)
    names = [f"{number}.pdf" for number in range(20)]
    records = [record(fileName=name, date="never" if name in names[4:12] else "2024-11-17T11:00:00Z") for name in names]
    sizes = (1, 2, 1, 0, 8, 3, 5)
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    pages = [page_of(records[start : start + size]) for start, size in zip(starts, sizes, strict=True)]
    chain = run(pages, tmp_path)
    handed_over = (chain.validated.rejects, chain.transformed.scans)
    assert all(0 < len(batch) <= 3 for batches in handed_over for batch in batches)
    assert [sum(isinstance(part, pl.DataFrame) for part in batches.parts) for batches in handed_over] == [2, 2]
    assert [scan["file_name"] for scan in chain.scans] == names[:4] + names[12:]
    assert [scan["place"] for scan in chain.scans] == [*range(4), *range(12, 20)]
    assert [json.loads(bad["raw"])["fileName"] for bad in chain.rejects] == names[4:12]


def test_batches_have_the_columns_of_their_schema(tmp_path: Path) -> None:
    records = [record(), 17, record(result="malicious", subject=3)]
    chain = run([page_of(records), page_of([record(new="x")])], tmp_path)
    assert all(batch.schema == SCAN_SCHEMA for batch in chain.transformed.scans)
    assert all(batch.schema == REJECT_SCHEMA for batch in chain.validated.rejects)
    assert {row["fetched_at"] for row in (*chain.scans, *chain.rejects)} == {REQUESTED_AT}
    assert chain.extracted.pages == 2


def test_empty_pages_give_no_rows(tmp_path: Path) -> None:
    for number, pages in enumerate(([], [page_of([])], [page_of([]), page_of([])])):
        chain = run(pages, tmp_path / str(number), DAY)
        assert (chain.scans, chain.rejects, chain.transformed.newest_at) == ([], [], None)
        assert (chain.extracted.received, chain.extracted.pages) == (0, len(pages))


def test_refused_page_token_restarts_the_slice_once(tmp_path: Path) -> None:
    pages = [page_of([record(fileName=name)]) for name in "abc"]
    chain = run(pages, tmp_path / "once", refusals=1)
    assert [scan["file_name"] for scan in chain.scans] == ["a", "b", "c"]
    assert [scan["place"] for scan in chain.scans] == [0, 1, 2]
    assert (chain.extracted.received, chain.extracted.pages) == (3, 3)
    with pytest.raises(PageTokenRefused):
        run(pages, tmp_path / "twice", refusals=2)


def test_token_refused_twice_after_an_empty_page_ends_the_slice(tmp_path: Path) -> None:
    pages = [page_of([record(fileName="a")]), page_of([]), page_of([record(fileName="never read")])]

    def fetch() -> Iterator[Page[Record]]:
        yield from pages[:2]
        raise PageTokenRefused("the page token is not known")

    extracted = extract(fetch, RECORDS.reader, tmp_path)
    assert (extracted.received, extracted.pages, extracted.empty_tail) == (1, 2, True)
    again = extract(lambda: iter([pages[1], *pages]), RECORDS.reader, tmp_path)
    assert (again.received, again.pages, again.empty_tail) == (2, 4, False)


INSIDE, START, END = "2024-11-17T12:00:00Z", "2024-11-17T00:00:00Z", "2024-11-18T00:00:00Z"
BEFORE, AFTER = "2024-11-16T23:59:59Z", "2024-11-18T00:00:01Z"


@pytest.mark.parametrize(
    ("dates", "outside"),
    [
        ([INSIDE, INSIDE], 0),
        ([INSIDE, BEFORE, AFTER], 2),
        ([START], 0),
        ([END], 0),
        ([END, AFTER], 1),
        ([], 0),
        (["never"], 0),
    ],
)
def test_rows_outside_the_slice_are_counted_and_loaded(dates: list[str], outside: int, tmp_path: Path) -> None:
    chain = run([page_of([record(date)]) for date in dates], tmp_path, DAY)
    assert chain.transformed.outside == outside
    assert len(chain.scans) == sum(date != "never" for date in dates)


@pytest.mark.parametrize("dates", [[BEFORE], [AFTER], [BEFORE, AFTER], [AFTER, "never"]])
def test_slice_with_all_rows_outside_raises_dates_ignored(dates: list[str], tmp_path: Path) -> None:
    with pytest.raises(DatesIgnored):
        run([page_of([record(date)]) for date in dates], tmp_path, DAY)


FAR, NEAR = "2024-11-16T22:59:59Z", "2024-11-16T23:00:00Z"  # from the overlap of an hour


@pytest.mark.parametrize(
    ("foreign", "ignored"),
    [
        ([FAR] * 10, True),
        (["2024-11-18T01:00:01Z"] * 10, True),
        ([FAR] * 25 + ["never"], True),
        ([FAR] * 9, False),
        ([FAR] * 9 + ["never"] * 9, False),
        ([FAR] * 9 + [NEAR], False),
        ([NEAR] * 10, False),
        ([FAR] * 30 + [INSIDE], False),
    ],
)
def test_page_whose_rows_are_all_far_outside_fails_the_slice(
    foreign: list[str], ignored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BATCH_ROWS", 7)  # a page may be in several batches
    pages = [
        replace(page_of([record(INSIDE)] * 10), requested_at=REQUESTED_AT + timedelta(seconds=n)) for n in range(3)
    ]
    pages[1] = replace(page_of([record(date) for date in foreign]), requested_at=pages[1].requested_at)
    if ignored:
        with pytest.raises(DatesIgnored):
            run(pages, tmp_path, DAY)
    else:
        assert run(pages, tmp_path, DAY).transformed.accepted == 20 + len(foreign) - foreign.count("never")


@pytest.mark.parametrize(("ahead", "good"), [(timedelta(hours=23), True), (timedelta(hours=25), False)])
def test_date_more_than_a_day_ahead_is_rejected(ahead: timedelta, good: bool, tmp_path: Path) -> None:
    chain = run([page_of([record((datetime.now(UTC) + ahead).strftime(RECORDS.date_formats[0]))])], tmp_path)
    assert [bad["reason"] for bad in chain.rejects] == ([] if good else ["the date lies more than a day ahead"])
    assert len(chain.scans) == good


BAD = [
    record("never"),
    record("never", actionTriggered=None),
    {"date": "never", "other": "field", "nested": {"b": [1], "a": None}},
    record(fileName=["a"], subject='\x00\x08\x1f\x7f\u2028"\\/é\U0001f4ce'),
    record("never", subject='\x00\x08\x1f\x7f\u2028"\\/é\U0001f4ce'),
    17,
    None,
    ["a", {"b": 1.5}],
]


def test_reject_has_the_same_id_and_raw_record_on_every_reading(tmp_path: Path) -> None:
    first = run([page_of(BAD)], tmp_path / "first").rejects
    assert [json.loads(bad["raw"]) for bad in first] == BAD
    assert len({bad["reject_id"] for bad in first}) == len(BAD)
    assert all(len(bad["reject_id"]) == 32 for bad in first)
    again = run([page_of([entry, record()]) for entry in BAD], tmp_path / "again").rejects
    assert again == first
    other = run([page_of(BAD)], tmp_path / "other", connector=UUID(int=8)).rejects
    assert not {bad["reject_id"] for bad in other} & {bad["reject_id"] for bad in first}


def test_open_reject_is_resolved_when_its_record_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early = (datetime.now(UTC) + timedelta(hours=30)).strftime(RECORDS.date_formats[0])
    short = {name: value for name, value in record(early).items() if name != "subject"}
    records = [record(early), short, record(early, subject=5), record("never"), record()]
    bad = run([page_of(records)], tmp_path / "early").rejects
    assert len(bad) == 4
    open_ids = frozenset(reject["reject_id"] for reject in bad) | {"0" * 32}
    same = run([page_of(records)], tmp_path / "same", open_rejects=open_ids)
    assert same.validated.resolved == ()
    monkeypatch.setattr(validation, "MAX_AHEAD", 2 * MAX_AHEAD)  # as if a day had passed
    later = run([page_of(records[:1]), page_of(records[1:])], tmp_path / "later", open_rejects=open_ids)
    assert later.validated.resolved == tuple(sorted(reject["reject_id"] for reject in bad[:3]))
    assert [reject["reject_id"] for reject in later.rejects] == [bad[3]["reject_id"]]


SENT = [
    record(result="malicious", subject='\x00\x1f\u2028"\\/é\U0001f4ce'),
    record(result="safe"),
    record(result=None, details=None),
    record(result="unsafe", extra="x"),
    {"date": "2024-11-17T11:00:00Z", "RESULT": "Malicious", "fileName": "  a.pdf "},
    record(result="clean", subject=1.5, new={"deep": [None, True]}),
    record(result="malicious", subject=10**19, recipientAddress=False),
]


def test_raw_record_of_an_alert_is_stored_as_sent(tmp_path: Path) -> None:
    private = run([page_of(SENT[:5]), page_of(SENT[5:])], tmp_path / "private").scans
    raws = [scan["raw"] and json.loads(scan["raw"]) for scan in private]
    assert raws == [None if sent.get("result") in ("safe", "clean") else sent for sent in SENT]
    full = run([page_of(SENT)], tmp_path / "full", site=KEEP_LOW).scans
    assert [json.loads(scan["raw"]) for scan in full] == SENT


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
moments = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat())
words = st.sampled_from(
    ["malicious", "Safe ", "none, hold", "<>", "ab" * 32, "0000-01-01T00:00:00Z", "Time taken: 1 hrs"]
)
fields = st.sampled_from([*RECORD_FIELDS, "actiontriggered", "raw", "place", "verdict", "a,b", ""])
odd = st.dictionaries(fields, values | words | moments, max_size=4)
odd_records = st.one_of(odd, odd.map(lambda changes: record() | changes), values)


@examples(25)
@given(st.lists(st.lists(odd_records, max_size=4), max_size=3))
def test_every_record_becomes_a_scan_or_a_reject(pages: list[list[Any]]) -> None:
    with TemporaryDirectory() as folder:
        chain = run([page_of(records) for records in pages], Path(folder), site=KEEP_LOW)
        scans, rejects = chain.scans, chain.rejects
    assert chain.extracted.received == sum(map(len, pages)) == len(scans) + len(rejects)
    assert chain.transformed.accepted == len(scans)
    for scan in scans:
        assert len(scan["scan_id"]) == 32
        assert None not in (scan["detected_at"], scan["verdict"], scan["priority"], scan["disposition"], scan["raw"])
    assert all(bad["reason"] and bad["raw"] and len(bad["reject_id"]) == 32 for bad in rejects)
    places = sorted([scan["place"] for scan in scans])
    assert len(set(places)) == len(places)
