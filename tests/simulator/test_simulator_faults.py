"""Every fault the simulator knows does what its one line says."""

from collections import Counter
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from tasks.errors import SettingsError
from tests.simulator import Fault, Faults
from tests.simulator.asking import Asking, asking, date, dates, rows

STATUS = {
    "429": 429, "500": 500, "502": 502, "503": 503, "405": 405, "418": 418, "403": 403,
    "wrong-region": 403, "developer-key": 200, "token-expired": 401, "token-unverified": 401,
    "html-200": 200, "empty-200": 200, "fail-200": 200, "token-refused": 200,
}  # fmt: skip
CODE = {
    "418": "err_xdk_binding_expired",
    "wrong-region": "err_audit_log_incorrect_region",
    "developer-key": "err_developer_key",
    "token-expired": "token_expired",
    "token-unverified": "token_verification_failed",
    "fail-200": "err_validation_null",
    "token-refused": "err_audit_siem_invalid_token",
}
SHOWN_BELOW = {
    "cut", "truncated-json", "repeated-token", "endless-pages", "empty-pages", "total-too-large",
    "dates-ignored", "slow",
}  # fmt: skip


@pytest.fixture(scope="module", params=[1, 2])
def served(request) -> Iterator[Asking]:
    with asking(request.param) as client:
        yield client


@pytest.fixture
def client(served) -> Iterator[Asking]:
    yield served
    served.running.simulator.faults.clear()


def test_no_fault_is_left_untested():
    assert set(STATUS) | SHOWN_BELOW == set(Fault)
    assert all(fault.doc for fault in Fault)


@pytest.mark.parametrize("name", STATUS)
def test_refusing_fault_happens_once_to_the_generation_that_has_it(client, name):
    token = client.logs(size=5).json()["meta"]["pagination"]["next"]
    client.running.simulator.faults.inject(name)
    hit, then = client.logs(token), client.logs(token)
    if Fault(name).generation not in (None, client.generation):
        assert rows(hit)
        return
    assert hit.status_code == STATUS[name]
    assert "x-ratelimit-remaining" in hit.headers
    if name in CODE:
        failure = hit.json()["fail"][0]
        assert failure.get("code", failure.get("errors", [{}])[0].get("code")) == CODE[name]
    if name == "token-expired":  # for good: only a new access token helps
        assert then.status_code == 401
        client.bearer = ""
        then = client.logs(token)
    assert len(rows(then)) == 5


@pytest.mark.parametrize("name", ["502", "html-200"])
def test_html_instead_of_json(client, name):
    client.running.simulator.faults.inject(name)
    assert client.logs().text.startswith("<html>")


def test_quota_fault_tells_how_long_to_wait(client):
    client.running.simulator.faults.inject("429", seconds=3)
    answer = client.logs()
    assert (answer.headers["x-ratelimit-remaining"], answer.headers["x-ratelimit-reset"]) == ("0", "3000")


def test_cut_connection_and_truncated_json(client, caplog):
    client.running.simulator.faults.inject("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        client.logs()
    client.running.simulator.faults.inject("truncated-json")
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(client.logs().content)
    assert len(rows(client.logs())) == 10
    assert not caplog.records


def test_repeated_page_token(client):
    client.running.simulator.faults.inject("repeated-token")
    pages = client.pages(size=4)
    first, second, third = next(pages), next(pages), next(pages)
    assert first["meta"]["pagination"]["next"] == second["meta"]["pagination"]["next"]
    assert dates(second) == dates(third)


def test_endless_empty_pages_have_fresh_tokens(client):
    client.running.simulator.faults.inject("endless-pages", after=1)
    pages = client.pages(size=4)
    seen = [next(pages) for _ in range(20)]
    assert [len(rows(page)) for page in seen] == [4, 4] + [0] * 18
    assert len({page["meta"]["pagination"]["next"] for page in seen}) == 20
    assert {page["meta"]["pagination"].get("totalCount") for page in seen} <= {10, None}


def test_three_empty_pages_and_then_the_rest(client):
    client.running.simulator.faults.inject("empty-pages")
    assert [len(rows(page)) for page in client.pages(size=6)] == [6, 0, 0, 0, 4]
    client.running.simulator.faults.inject("empty-pages")
    assert [len(rows(page)) for page in client.pages()] == [10, 0, 0, 0, 0]


def test_total_larger_than_what_is_delivered(client):
    client.running.simulator.faults.inject("total-too-large")
    assert client.logs().json()["meta"]["pagination"]["totalCount"] == 1010


def test_rows_from_outside_the_time_asked_for(client):
    client.running.simulator.faults.inject("dates-ignored", times=None)
    assert all(day < date(0) for page in client.pages(size=4) for day in dates(page))


def test_slow_answers_take_as_long_as_told(client):
    client.running.simulator.faults.inject("slow", seconds=0.2)
    assert client.logs().elapsed.total_seconds() >= 0.2


def test_faults_wait_for_their_place_and_come_one_at_a_time(client):
    faults = client.running.simulator.faults
    before = Counter(faults.happened)
    faults.inject("500", times=2, after=2)
    faults.inject("503")
    faults.inject("502", path="/oauth/token")
    assert client.token().status_code == 502
    assert [client.logs().status_code for _ in range(6)] == [503, 200, 500, 500, 200, 200]
    assert faults.happened - before == {"502": 1, "503": 1, "500": 2}
    faults.inject("500", times=None)
    faults.clear()
    assert client.logs().status_code == 200


def test_random_faults_are_the_same_for_the_same_seed():
    def statuses(seed: int) -> list[int]:
        with asking(1, faults=Faults(rate=0.4, seed=seed, names=("429", "500", "405"))) as client:
            return [client.logs().status_code for _ in range(30)]

    assert statuses(3) == statuses(3) != statuses(4)
    assert set(statuses(3)) == {200, 429, 500, 405}


def test_unknown_names_and_rates_are_refused():
    with pytest.raises(SettingsError, match=r"no fault called 'fire'.*429"):
        Faults().inject("fire")
    with pytest.raises(SettingsError, match="no fault called"):
        Faults(names=("flood",))
    with pytest.raises(SettingsError, match="between 0 and 1"):
        Faults(rate=3)
