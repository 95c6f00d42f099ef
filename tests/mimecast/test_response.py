import json
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import AnswerNotUnderstood, PermissionMissing, ServiceError
from tasks.http.failure import Failure, Retry
from tasks.http.paging import Page
from tasks.ingest.read_records import Record
from tasks.mimecast.record import RECORD_FIELDS, RECORDS
from tasks.mimecast.response import read_data, read_page

NOW = datetime(2026, 11, 23, 12, 0, 0, 123_456, tzinfo=UTC)
RECORD = {
    "senderAddress": "<>",
    "recipientAddress": "m.love@contoso.example",
    "fileName": "Titus classification v0.3.pptx",
    "fileType": "application/pdf",
    "fileHash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "result": "safe",
    "actionTriggered": "user release, none",
    "date": "2026-11-17T20:16:00+0000",
    "details": "Safe" + " " * 46 + "\r\nTime taken: 0 hrs, 0 min, 3 sec",
    "route": "inbound",
    "messageId": "<fa8c7af5cca6d968-211453@hapi.b41.one>",
    "subject": "FIRE DRILL",
    "definition": "Default Inbound Attachment Protect Definition",
}


def answer(body: Any, status: int = 200) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers={"content-type": "application/json"})


def envelope(records: list[Any], **pagination: Any) -> dict[str, Any]:
    return {
        "meta": {"status": 200, "pagination": pagination},
        "data": [{"attachmentLogs": records}],
        "fail": [],
    }


def page_of(body: Any) -> Page[Record]:
    page = read_page(answer(body), NOW)
    assert isinstance(page, Page), page
    return page


def records_of(body: Any) -> pl.DataFrame:
    records = RECORDS.reader.to_frame(page_of(body).records)
    assert records.schema == pl.Schema(RECORDS.reader.schema)
    return records


def failure_of(body: Any, status: int = 200) -> Failure:
    failure = read_page(answer(body, status), NOW)
    assert isinstance(failure, Failure), failure
    return failure


def test_page_has_records_in_order_token_total_and_time() -> None:
    records = [RECORD | {"fileName": name} for name in "cab"]
    page = page_of(envelope(records, next="abc==", pageSize=3, totalCount=6322))
    rows = RECORDS.reader.to_frame(page.records)
    assert rows["fileName"].to_list() == ["c", "a", "b"]
    assert rows.drop("raw", "problem", "leftover").row(0, named=True) == RECORD | {"fileName": "c"}
    assert rows.select("raw", "problem", "leftover").null_count().row(0) == (3, 3, 3)
    assert (page.next_token, page.total, page.requested_at) == ("abc==", 6322, NOW)


@pytest.mark.parametrize(
    "body",
    [
        envelope([]),
        envelope([], pageSize=0),
        {"meta": {"status": 200, "pagination": {}}, "data": [], "fail": []},
        {"meta": {"status": 200}, "data": [], "fail": []},
        {"fail": [], "meta": {"status": 200, "pagination": {"next": ""}}, "data": [{"attachmentLogs": []}]},
        {"meta": {"status": 200, "pagination": {"next": None}}, "data": []},
    ],
)
def test_empty_answer_of_any_form_is_an_empty_last_page(body: Any) -> None:
    page = page_of(body)
    assert RECORDS.reader.to_frame(page.records).height == 0
    assert page.next_token is None


def test_empty_page_may_have_a_next_page() -> None:
    assert page_of(envelope([], next="more")).next_token == "more"


@pytest.mark.parametrize(
    ("total", "expected"), [(7, 7), ("7", 7), (None, None), ("many", None), (True, None), (7.5, None)]
)
def test_total_is_a_number_or_unknown(total: Any, expected: int | None) -> None:
    assert page_of(envelope([RECORD], totalCount=total)).total == expected


@pytest.mark.parametrize("total", ["9" * 4_500, "1e28", str(10**28), str(2**63), "-1", '"' + "9" * 4_500 + '"'])
def test_total_that_no_column_holds_is_unknown(total: str, caplog: pytest.LogCaptureFixture) -> None:
    content = json.dumps(envelope([RECORD], totalCount=7)).replace(": 7}", f": {total}}}").encode()
    page = page_of(content)
    assert (len(page.records), page.total) == (1, None)
    assert "WARNING" in {entry.levelname for entry in caplog.records}


def deep(levels: int, brackets: str = "[]") -> str:
    return brackets[0] * levels + brackets[1] * levels


@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        ('{"fileName": "b", "subject": ' + deep(1_500) + "}", "subject is an array"),
        ('{"fileName": "b", "subject": %s}' % ('{"a":' * 1_500 + "1" + "}" * 1_500), "subject is an object"),
        ('{"fileName": "b", "new": ' + deep(100_000) + "}", None),
        (deep(1_500), "not an object"),
        ('{"fileName": "b", "subject": %s}' % ("9" * 4_500), None),
        ('{"fileName": "b", "subject": -%s.5e400}' % ("9" * 4_500), None),
    ],
    ids=["array", "object", "unknown", "record", "integer", "float"],
)
def test_value_that_no_decoder_follows_costs_its_record_only(odd: str, problem: str | None) -> None:
    content = json.dumps(envelope([RECORD, 0, RECORD])).replace(" 0,", f" {odd},").encode()
    records = records_of(content)
    assert records["problem"].to_list() == [None, problem, None]
    assert records["fileName"].to_list()[::2] == [RECORD["fileName"]] * 2
    again = RECORDS.reader.read_stored([records["raw"][1]])
    assert again["problem"].to_list() == [problem]
    assert again["raw"].to_list() == [records["raw"][1]]


@pytest.mark.parametrize("status", [200, "200", " 200 ", 200.0, None])
def test_status_in_the_body_may_be_text(status: object) -> None:
    body = envelope([RECORD])
    body["meta"]["status"] = status
    assert len(page_of(body).records) == 1


@pytest.mark.parametrize("status", ["403", 403.0, " 403", "forbidden", True, [], "9" * 4_500])
def test_other_status_in_the_body_is_a_failure(status: object) -> None:
    body = envelope([RECORD])
    body["meta"]["status"] = status
    failure = read_page(answer(body), NOW)
    assert isinstance(failure, Failure)
    is_number = str(status).strip().startswith("403")
    assert type(failure.error) is (PermissionMissing if is_number else AnswerNotUnderstood)


def test_escaped_slashes_and_any_order_of_keys_are_read() -> None:
    body = json.dumps(envelope([dict(reversed(RECORD.items()))])).replace("/", r"\/").encode()
    assert records_of(body)["fileType"].to_list() == ["application/pdf"]


def test_record_with_missing_or_unknown_keys_keeps_its_raw_text() -> None:
    short = {name: RECORD[name] for name in RECORD_FIELDS[:5]}
    long = RECORD | {"zeta": "1", "extra": "2", "subject": None}
    records = records_of(envelope([RECORD, short, long]))
    assert records["raw"].to_list() == [
        None,
        json.dumps(short, sort_keys=True, separators=(",", ":")),
        json.dumps(long, sort_keys=True, separators=(",", ":")),
    ]
    assert records["leftover"].to_list() == [None, None, "extra,zeta"]
    assert records["subject"].to_list() == ["FIRE DRILL", None, None]
    assert records["problem"].null_count() == 3


def test_unknown_key_is_found_whatever_the_number_of_keys() -> None:
    other = {name: value for name, value in RECORD.items() if name != "subject"} | {"topic": "x"}
    longer = RECORD | {"topic": "x"}
    shorter = {name: value for name, value in RECORD.items() if name != "subject"}
    assert records_of(envelope([other]))["leftover"].to_list() == ["topic"]
    assert records_of(envelope([longer, shorter]))["leftover"].to_list() == ["topic", None]


def test_keys_are_read_in_any_case() -> None:
    record = {name.lower(): value for name, value in RECORD.items()}
    records = records_of(envelope([record]))
    assert records.select(RECORD_FIELDS).row(0, named=True) == RECORD
    assert records["leftover"].to_list() == [None]
    both = records_of(envelope([RECORD | {"ACTIONTRIGGERED": "other"}]))
    assert both["actionTriggered"].to_list() == ["user release, none"]
    assert both["leftover"].to_list() == ["ACTIONTRIGGERED"]


def test_numbers_and_booleans_become_text() -> None:
    body = json.dumps(envelope([RECORD, RECORD | {"result": True, "subject": "N", "fileName": 7, "details": None}]))
    records = records_of(body.replace('"N"', "1.50e3").encode())
    odd = records.row(1, named=True)
    assert (odd["result"], odd["subject"], odd["fileName"], odd["details"]) == ("true", "1.50e3", "7", None)
    assert odd["problem"] is None
    assert json.loads(odd["raw"])["result"] is True
    assert records.row(0, named=True) | {"raw": None} == RECORD | dict.fromkeys(("raw", "problem", "leftover"))


def test_invalid_record_affects_no_other_record() -> None:
    bad = [7, None, "text", [RECORD], RECORD | {"fileName": ["a"], "subject": {"b": 1}}]
    records = records_of(envelope([RECORD, *bad, RECORD]))
    assert records["problem"].to_list() == [
        None,
        *["not an object"] * 4,
        "fileName is an array, subject is an object",
        None,
    ]
    assert records["raw"].to_list()[1:4] == ["7", "null", '"text"']
    assert records["recipientAddress"].to_list()[5] == RECORD["recipientAddress"]
    assert records["fileName"].to_list()[5] is None


def test_unknown_key_may_have_any_value() -> None:
    records = records_of(envelope([RECORD | {"new": {"a": [1]}}]))
    assert records["problem"].to_list() == [None]
    assert records["leftover"].to_list() == ["new"]


@pytest.mark.parametrize(
    ("broken", "replaced"),
    [(rb"half \ud83d", "half \ufffd"), (b"byte \xff", "byte \ufffd"), (b"control \x01", "control \x01")],
)
def test_invalid_character_is_replaced(broken: bytes, replaced: str) -> None:
    body = json.dumps(envelope([RECORD, RECORD | {"subject": "BROKEN"}])).encode().replace(b"BROKEN", broken)
    assert records_of(body)["subject"].to_list() == ["FIRE DRILL", replaced]


def test_number_out_of_range_is_read_as_text() -> None:
    body = json.dumps(envelope([RECORD | {"subject": "N"}])).replace('"N"', "1e999").encode()
    assert records_of(body)["subject"].to_list() == ["1e999"]


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>Sign in</html>", json.dumps(envelope([RECORD])).encode()[:-30], b"[" * 9_000, b"\xff\xfe"],
)
def test_answer_that_is_not_json_is_a_failure_to_retry(content: bytes) -> None:
    failure = failure_of(content)
    assert isinstance(failure.error, AnswerNotUnderstood)
    assert failure.retry is Retry.GARBLED


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        "ok",
        {"data": []},
        {"meta": {"status": 200}},
        {"meta": {"status": 200}, "data": None},
        {"meta": {"status": 200}, "data": [{}]},
        {"meta": {"status": 200}, "data": [{"attachmentLogs": None}]},
        {"meta": {"status": 200}, "data": [{"attachmentLogs": {}}]},
        {"meta": {"status": 200}, "data": [{"attachmentLogs": []}] * 2},
        {"meta": {"status": 200, "pagination": {"next": 7}}, "data": []},
        {"meta": [], "data": []},
    ],
)
def test_answer_of_another_shape_is_a_failure_without_retry(body: Any) -> None:
    failure = failure_of(body)
    assert isinstance(failure.error, AnswerNotUnderstood)
    assert failure.retry is Retry.NEVER


def test_filled_fail_is_a_failure_even_with_records() -> None:
    body = envelope([RECORD]) | {"fail": [{"errors": [{"code": "err_x", "message": "no", "retryable": False}]}]}
    failure = failure_of(body)
    assert type(failure.error) is ServiceError
    assert "err_x: no" in str(failure.error)
    odd = json.loads(json.dumps(body).replace('"safe"', "1"))
    assert type(failure_of(odd).error) is ServiceError


def test_status_in_meta_is_a_failure() -> None:
    failure = failure_of({"meta": {"status": 500}, "data": [], "fail": []})
    assert failure.retry is Retry.SERVER


def test_data_of_other_calls_is_returned_as_a_list() -> None:
    assert read_data(answer({"meta": {"status": 200}, "data": [{"a": 1}], "fail": []})) == [{"a": 1}]
    for body in ({"meta": {"status": 200}}, [], b"<html>"):
        assert isinstance(read_data(answer(body)), Failure)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*RECORD_FIELDS, "filename", "RESULT", "unknown", "x"])
records_of_any_kind = st.lists(st.dictionaries(names, json_values, max_size=14) | json_values, max_size=5)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(records_of_any_kind)
def test_every_record_has_a_row_with_all_its_data(records: list[Any]) -> None:
    rows = records_of(envelope(records))
    assert rows.height == len(records)
    for record, row in zip(records, rows.iter_rows(named=True), strict=True):
        if row["raw"] is None:
            assert record == {name: row[name] for name in RECORD_FIELDS}
        else:
            assert msgspec.json.decode(row["raw"]) == msgspec.json.decode(msgspec.json.encode(record))
            assert (row["problem"] == "not an object") == (not isinstance(record, dict))
