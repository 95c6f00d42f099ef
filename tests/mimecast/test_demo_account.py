"""The recorded account over real HTTP: the client reads from it what it reads from the service."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tasks.connectors.base import build_connector
from tasks.errors import CredentialsRefused, SettingsError
from tasks.http.check import passed
from tasks.ingest.read_records import Record
from tasks.mimecast.check import run_checks
from tasks.mimecast.client import GET_ACCOUNT, GET_LOGS, TOKEN_PATH, MimecastClient
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.demo_account import KEYS, RECORDING_END, DemoAccount, DemoServer, serve_in_background
from tests.simulator import Simulator, World, serve
from tests.simulator.client import PLAIN

pytestmark = pytest.mark.usefixtures("quick", "bare_network")

WEEK = timedelta(days=7)
RANGE = [{"from": "2026-02-01T00:00:00+0000", "to": "2026-04-01T00:00:00+0000"}]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_in_background(DemoAccount(RECORDING_END)) as served:
        yield served


def authorization(url: str) -> dict[str, str]:
    granted = httpx.post(url + TOKEN_PATH, data=KEYS | {"grant_type": "client_credentials"}, verify=PLAIN).json()
    return {"authorization": f"Bearer {granted['access_token']}"}


def connector_of(url: str, **fields: Any) -> MimecastConnector:
    return build_connector(MimecastConnector, {"base_url": url, "allow_other_host": True} | KEYS | fields)


def raw_records(url: str, start: datetime, end: datetime, size: int = 500) -> list[Any]:
    """What is listed, by a client of a few lines: ours reads broken records and their page in another way."""
    found, pagination = [], {"pageSize": size}
    asked = {"from": f"{start:%Y-%m-%dT%H:%M:%S%z}", "to": f"{end:%Y-%m-%dT%H:%M:%S%z}"}
    with httpx.Client(base_url=url, headers=authorization(url), verify=PLAIN) as http:
        while True:
            page = http.post(GET_LOGS, json={"meta": {"pagination": pagination}, "data": [asked]}).json()
            found += page["data"][0]["attachmentLogs"]
            if "next" not in page["meta"]["pagination"]:
                return found
            pagination["pageToken"] = page["meta"]["pagination"]["next"]


def records_of(url: str, start: datetime, end: datetime, **fields: Any) -> list[Record]:
    with MimecastClient(connector_of(url, **fields)) as client:
        return [record for page in client.pages(start, end) for record in page.records]


def test_replay_gives_the_records_of_the_simulated_story(url: str) -> None:
    with serve(Simulator(World.demo(RECORDING_END))) as original:
        expected = records_of(original.url, RECORDING_END - WEEK, RECORDING_END)
    assert records_of(url, RECORDING_END - WEEK, RECORDING_END) == expected
    assert len(expected) > 2_000


def test_days_hold_every_record_once_whatever_the_page_size(url: str) -> None:
    day, both_ends_are_included = timedelta(days=1), timedelta(seconds=1)
    starts = [RECORDING_END - number * day for number in range(7, -1, -1)]
    days = [raw_records(url, start, start + day - both_ends_are_included, size=50) for start in starts]
    found = [record for part in days for record in part]
    assert found == raw_records(url, RECORDING_END - WEEK, RECORDING_END)
    assert len(found) > 2_000


def test_other_end_moves_every_date_and_nothing_else(url: str) -> None:
    later = timedelta(days=100, hours=5)
    before = raw_records(url, RECORDING_END - WEEK, RECORDING_END)
    with serve_in_background(DemoAccount(RECORDING_END + later)) as moved_url:
        after = raw_records(moved_url, RECORDING_END + later - WEEK, RECORDING_END + later)
    assert [without_date(record) for record in after] == [without_date(record) for record in before]
    moved = {date_of(new) - date_of(old) for new, old in zip(after, before, strict=True) if date_of(old)}
    assert moved == {later}


def without_date(record: Any) -> Any:
    return {key: value for key, value in record.items() if key != "date"} if isinstance(record, dict) else record


def date_of(record: Any) -> Any:
    try:
        return datetime.strptime(record["date"], "%Y-%m-%dT%H:%M:%S%z")
    except (TypeError, ValueError):
        return None


def test_connection_test_passes_and_names_the_account(url: str) -> None:
    checks, account = run_checks(connector_of(url))
    assert passed(checks)
    assert account is not None and account.code


@pytest.mark.parametrize("name", KEYS)
def test_wrong_key_is_refused_as_by_the_service(url: str, name: str) -> None:
    with pytest.raises(CredentialsRefused):
        records_of(url, RECORDING_END - WEEK, RECORDING_END, **{name: "wrong"})
    states = {check.name: check.state for check in run_checks(connector_of(url, **{name: "wrong"}))[0]}
    assert states["credentials"] == "failed"


@pytest.mark.parametrize("path", [GET_LOGS, GET_ACCOUNT])
def test_request_without_a_token_is_refused(url: str, path: str) -> None:
    answer = httpx.post(url + path, json={}, headers={"authorization": "Bearer made-up"}, verify=PLAIN)
    assert (answer.status_code, answer.json()["fail"][0]["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    "request_body",
    [
        {},
        [],
        {"data": []},
        {"data": [{"from": "yesterday", "to": "2026-03-01T00:00:00+0000"}]},
        {"data": [{"from": "2026-03-01T00:00:00", "to": "2026-03-02T00:00:00"}]},
        {"data": RANGE, "meta": {"pagination": {"pageSize": 0}}},
        {"data": RANGE, "meta": {"pagination": {"pageToken": "made-up"}}},
        {"data": RANGE, "meta": {"pagination": {"pageToken": "é"}}},
    ],
)
def test_invalid_request_is_refused(url: str, request_body: Any) -> None:
    answer = httpx.post(url + GET_LOGS, json=request_body, headers=authorization(url), verify=PLAIN)
    assert answer.status_code == 400
    assert answer.json()["fail"]


def test_unknown_address_is_not_found(url: str) -> None:
    answer = httpx.post(url + "/api/other", json={}, headers=authorization(url), verify=PLAIN)
    assert answer.status_code == 404


def test_port_in_use_is_an_error_that_names_it(url: str) -> None:
    port = int(url.rpartition(":")[2])
    with pytest.raises(SettingsError, match=str(port)):
        DemoServer(DemoAccount(RECORDING_END), port)
