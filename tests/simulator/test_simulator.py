"""What the other tests rely on: the rules of the vendor's API that the simulator keeps, over real HTTP."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tasks.mimecast.demo_account import RECORDING
from tests.simulator import Account, Faults, Switches, World, faults_from, record_demo, switches_from
from tests.simulator.client import LOGS, date, dates, failure, record, rows, simulated
from tests.simulator.credentials import signature
from tests.simulator.faults import Call
from tests.simulator.rows import Query, epoch

BOTH = pytest.mark.parametrize("generation", [1, 2])
DAY = datetime(2024, 11, 17, tzinfo=UTC)


def test_signature_equals_the_published_vector():
    secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
    request = "11111111-2222-4333-8444-555555555555"
    application = "00000000-1111-2222-3333-444444444444"
    signed = signature(secret, "Tue, 24 Nov 2015 12:50:11 UTC", request, LOGS, application)
    assert signed == "K1Fb3rKr97rLM5DgVDsMKio7FQM="


def test_checks_run_in_order_application_signature_expiry_permission_body():
    everything_wrong = Account.numbered(1, keys_expired=True, may_read_logs=False)
    with simulated(1, account=everything_wrong) as client:
        right = dict(client.keys)
        client.keys |= {"application_id": "INVALID", "secret_key": "AAAA"}
        assert failure(client.post(LOGS, "not a body")) == (200, "err_developer_key")
        client.keys["application_id"] = right["application_id"]
        assert failure(client.post(LOGS, "not a body")) == (401, "err_xdk_invalid_signature")
        client.keys = right
        assert failure(client.post(LOGS, "not a body")) == (418, "err_xdk_binding_expired")
    with simulated(1, account=Account.numbered(1, may_read_logs=False)) as client:
        assert failure(client.post(LOGS, "not a body")) == (403, "err_xdk_operation_forbidden_for_address")


@BOTH
def test_calls_above_the_rate_limit_are_refused_with_429(generation):
    with simulated(generation, switches=Switches(rate_limit=3, rate_window_ms=60_000)) as client:
        answers = [client.logs() for _ in range(4)]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[3].headers["x-ratelimit-reset"]) <= 60_000


def test_access_token_opens_the_account_until_it_expires():
    with simulated(2) as client:
        assert client.logs().status_code == 200
        client.bearer = "made-up"
        assert failure(client.logs()) == (401, "unauthorized")
        client.keys["client_secret"] = "wrong"
        assert client.token().status_code == 401
    with simulated(2, switches=Switches(token_seconds=0)) as client:
        assert failure(client.logs()) == (401, "token_expired")


@BOTH
def test_pages_hold_every_row_once_in_order(generation):
    with simulated(generation) as client:
        pages = list(client.pages(size=3))
        back = client.logs(pages[2]["meta"]["pagination"]["previous"], 3)
        newest_first = [day for page in client.pages(size=3, oldestFirst=False) for day in dates(page)]
    found = [day for page in pages for day in dates(page)]
    assert found == newest_first[::-1] == [date(hour) for hour in range(1, 11)]
    assert dates(back) == dates(pages[1])


def test_page_token_is_refused_if_it_is_made_up_and_wins_over_other_dates():
    with simulated(2) as client:
        token = client.logs(size=4).json()["meta"]["pagination"]["next"]
        assert dates(client.logs(token, 4, to=date(22))) == [date(hour) for hour in range(5, 9)]
        assert client.logs("made-up").json()["fail"]


@pytest.mark.parametrize(("inclusive", "last"), [(True, 5), (False, 4)])
def test_end_of_a_range_is_inclusive_as_its_switch_says(inclusive, last):
    with simulated(1, switches=Switches(to_inclusive=inclusive)) as client:
        found = dates(client.logs(**{"from": date(3), "to": date(5)}))
    assert (found[0], found[-1]) == (date(3), date(last))


def test_rows_added_later_are_in_new_listings_only():
    odd = ["text", None, record("not a date")]
    with simulated(2) as client:
        token = client.logs(size=8).json()["meta"]["pagination"]["next"]
        client.running.simulator.world.add([record(date(2), actionTriggered="user release, none"), *odd])
        assert dates(client.logs(token)) == [date(9), date(10)]
        assert len(rows(client.logs())) == 14
        assert rows(client.logs(**{"from": date(20)})) == odd


def test_world_gives_the_same_rows_for_the_same_seed_in_any_cut():
    def listed(world: World, start: datetime, minutes: int, size: int) -> list[dict]:
        query = Query(epoch(start), epoch(start) + minutes * 60 - 1, epoch(DAY + timedelta(days=300)))
        found, position = [], world.beginning(query)
        while position:
            listing = world.page(query, position, size)
            found += listing.records
            position = listing.next
        assert len(found) == world.count(query)
        return found

    world = World(seed=3, per_day=5_000)
    parts = [listed(world, DAY + timedelta(minutes=45 * number), 45, 7) for number in range(16)]
    everything = listed(World(seed=3, per_day=5_000), DAY, 720, 500)
    assert [row for part in parts for row in part] == everything
    assert everything != listed(World(seed=4, per_day=5_000), DAY, 720, 500)


def test_faults_of_each_kind_do_what_their_line_says():
    with simulated(2) as client:
        faults = client.running.simulator.faults
        faults.inject("503", times=2, after=1)  # a refusal
        faults.inject("html-200", after=3)  # not JSON
        assert [client.logs().status_code for _ in range(4)] == [200, 503, 503, 200]
        assert client.logs().json()["fail"] == []
        faults.clear()
        faults.inject("cut")  # the transport
        with pytest.raises(httpx.RemoteProtocolError):
            client.logs()
        faults.inject("429", seconds=3)  # the quota
        assert client.logs().headers["x-ratelimit-reset"] == "3000"
        faults.inject("empty-pages")  # the paging
        assert [len(rows(page)) for page in client.pages(size=6)] == [6, 0, 0, 0, 4]
        faults.inject("dates-ignored")  # the rows
        assert all(day < date(0) for day in dates(client.logs()))
        faults.inject("token-expired")  # the keys, until there is a new token
        assert [client.logs().status_code for _ in range(2)] == [401, 401]


def test_random_faults_are_the_same_for_the_same_seed():
    def statuses(seed: int) -> list[int]:
        with simulated(1, faults=Faults(rate=0.4, seed=seed, names=("429", "500", "405"))) as client:
            return [client.logs().status_code for _ in range(30)]

    assert statuses(3) == statuses(3) != statuses(4)


def test_switches_and_faults_can_be_typed():
    assert switches_from(["to_inclusive=false", "rate_limit=5"]) == Switches(to_inclusive=False, rate_limit=5)
    faults = faults_from(["500", "429,times=all,after=1,seconds=0.1,path=/x"])
    calls = [Call(LOGS, 1, False), *[Call("/x", 1, False)] * 4]
    assert [plan and plan.fault for plan in map(faults.take, calls)] == ["500", None, "429", "429", "429"]


def test_recording_of_the_demo_is_what_the_simulator_serves(tmp_path: Path):
    record_demo.record(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        file.name: file.read_bytes() for file in RECORDING.iterdir()
    }
