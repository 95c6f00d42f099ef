"""Listings of the simulator: which rows, in which order, on which page, in which envelope."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

from tests.simulator import Switches, World
from tests.simulator.asking import LOGS, NOON, Asking, asking, date, dates, failure, record, rows

BOTH = pytest.mark.parametrize("generation", [1, 2])


@pytest.fixture(scope="module", params=[1, 2])
def client(request) -> Iterator[Asking]:
    """A simulator as it comes; nothing is changed about it."""
    with asking(request.param) as served:
        yield served


# Rules 6 and 7: which rows, in which order


@BOTH
def test_from_is_inclusive_and_to_is_a_switch(generation):
    for inclusive, last in ((True, date(5)), (False, date(4))):
        with asking(generation, switches=Switches(to_inclusive=inclusive)) as client:
            found = dates(client.logs(**{"from": date(3), "to": date(5)}))
            assert (found[0], found[-1]) == (date(3), last)


def test_defaults_are_today_newest_first_all_routes_and_results():
    world = World.of_records(
        [
            record(date(9), route="internal"),
            record(date(10), result="malicious"),
            record("2024-11-16T23:59:59Z"),
        ],
        clock=lambda: NOON,
    )
    with asking(2, world) as client:
        assert dates(client.post(LOGS, {})) == dates(client.post(LOGS, "")) == [date(10), date(9)]
        assert dates(client.logs(result="malicious")) == [date(10)]
        assert dates(client.logs(route="internal")) == [date(9)]


def test_all_date_forms_in_use_are_read(client):
    for text in (
        date(5),
        "2024-11-17T05:00:00Z",
        "2024-11-17T05:00:00+00:00",
        "2024-11-17T00:00:00-05:00",
    ):
        assert len(rows(client.logs(**{"from": text}))) == 6
    assert failure(client.logs(**{"from": "yesterday"})) == (200, "err_validation_invalid_date")


# Rules 8 to 11: paging


@pytest.mark.parametrize("oldest_first", [True, False])
def test_every_row_comes_exactly_once_in_order(client, oldest_first):
    pages = list(client.pages(size=3, oldestFirst=oldest_first))
    found = [day for page in pages for day in dates(page)]
    assert found == [date(hour) for hour in range(1, 11)][:: 1 if oldest_first else -1]
    assert [page["meta"]["pagination"]["pageSize"] for page in pages] == [3, 3, 3, 1]
    assert ["previous" in page["meta"]["pagination"] for page in pages] == [False, True, True, True]
    back = client.logs(pages[2]["meta"]["pagination"]["previous"], 3)
    assert dates(back) == dates(pages[1])


@BOTH
def test_page_token_works_alone_and_wins_over_other_dates_unless_switched(generation):
    with asking(generation) as client:
        token = client.logs(size=4).json()["meta"]["pagination"]["next"]
        alone = client.post(LOGS, {"meta": {"pagination": {"pageSize": 4, "pageToken": token}}})
        assert dates(alone) == dates(client.logs(token, 4)) == dates(client.logs(token, 4, to=date(22)))
        assert client.logs("made-up").json()["fail"]
    with asking(generation, switches=Switches(token_with_other_dates="fail")) as client:
        token = client.logs(size=4).json()["meta"]["pagination"]["next"]
        assert len(rows(client.logs(token, 4))) == 4
        assert client.logs(token, 4, to=date(22)).json()["fail"]


def test_listing_may_end_in_an_empty_page_with_next():
    with asking(2, switches=Switches(empty_page_with_next=True)) as client:
        assert [len(rows(page)) for page in client.pages(size=5)] == [5, 5, 0, 0]
        assert [len(rows(page)) for page in client.pages(**{"from": date(20)})] == [0, 0, 0]


def test_total_count_is_of_the_whole_query_and_a_switch_in_the_first_generation():
    for generation, switches, total in (
        (2, Switches(), 10),
        (1, Switches(), None),
        (1, Switches(total_count_v1=True), 10),
    ):
        with asking(generation, switches=switches) as client:
            assert client.logs(size=2).json()["meta"]["pagination"].get("totalCount") == total


def test_page_size_is_limited_and_may_be_the_one_asked_for():
    switches = Switches(page_size_form="asked", max_page_size=4)
    with asking(2, switches=switches) as client:
        pages = list(client.pages(size=1_000))
        assert [len(rows(page)) for page in pages] == [4, 4, 2]
        assert pages[2]["meta"]["pagination"]["pageSize"] == 4


def test_nothing_found_has_two_forms():
    for form, data in (("object", [{"attachmentLogs": []}]), ("list", [])):
        with asking(2, switches=Switches(empty_form=form)) as client:
            assert client.logs(**{"from": date(20)}).json()["data"] == data


# Rules 12 and 13: the text of answers


def test_envelope_order_slashes_and_headers_differ_by_generation():
    with asking(1) as client:
        answer = client.logs()
        assert list(answer.json()) == ["fail", "meta", "data"]
        assert b"application\\/pdf" in answer.content
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        client.keys["secret_key"] = "AAAA"
        assert "cache-control" not in client.logs().headers
    with asking(1, switches=Switches(v1_fail_first=False, v1_escape_slashes=False)) as client:
        assert list(client.logs().json()) == ["meta", "data", "fail"]
        assert b"application/pdf" in client.logs().content
    with asking(2) as client:
        assert list(client.logs().json()) == ["meta", "data", "fail"]
        assert b"application/pdf" in client.logs().content


def test_server_clock_shows_in_the_date_header():
    with asking(1, switches=Switches(server_time_offset=3_600)) as client:
        ahead = parsedate_to_datetime(client.logs().headers["date"]).timestamp() - time.time()
        assert 3_590 < ahead < 3_610


# Rule 14: rows that come late


def test_rows_added_later_are_found_by_new_listings_and_do_not_disturb_old_ones():
    with asking(2) as client:
        token = client.logs(size=8).json()["meta"]["pagination"]["next"]
        client.running.simulator.world.add([record(date(2), actionTriggered="user release, none")])
        assert dates(client.logs(token)) == [date(9), date(10)]
        assert dates(client.logs()).count(date(2)) == 2


def test_records_of_any_shape_are_served_as_given():
    odd = ["text", 17, None, ["list"], {"date": 5}, record("not a date")]
    with asking(2, World.of_records([*odd, record()], clock=lambda: NOON)) as client:
        assert rows(client.logs()) == [record(), *odd]
        assert rows(client.logs(**{"from": date(20)})) == odd
