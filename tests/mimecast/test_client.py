import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import httpx
import polars as pl
import pytest

from tasks.errors import (
    AlertsError,
    AnswerNotUnderstood,
    CredentialsRefused,
    KeyExpired,
    PageTokenRefused,
    PagingBroken,
    PermissionMissing,
    ServiceError,
    ServiceUnavailable,
    Stopped,
    Unreachable,
    WrongRegion,
)
from tasks.http import paging, retry
from tasks.http.check import Account
from tasks.http.client import HttpClient, clock_offset_of, open_http
from tasks.mimecast.client import GET_LOGS, MimecastClient
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.record import RECORDS
from tests.simulator import (
    V1_KEYS,
    V2_KEYS,
    Faults,
    Running,
    Simulator,
    Switches,
    World,
    serve,
)
from tests.simulator import Account as SimulatedAccount

pytestmark = pytest.mark.usefixtures("quick", "bare_network")

END = datetime(2026, 11, 1, tzinfo=UTC)
START = END - timedelta(days=1)
KEYS: dict[str, dict[str, Any]] = {
    "1.0": {"api": "1.0", "region": "eu", **V1_KEYS},
    "2.0": {"api": "2.0", **V2_KEYS},
}
Connect = Callable[..., MimecastClient]


@pytest.fixture(params=["1.0", "2.0"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def service(switches: Switches | None = None, **simulated: Any) -> Iterator[Running]:
    world = simulated.pop("world", None) or World(seed=7, per_day=300, start=START, end=END)
    with serve(Simulator(world, switches or Switches(), Faults(), **simulated)) as running:
        yield running


@pytest.fixture(scope="module")
def one_service() -> Iterator[Running]:
    with service() as running:
        yield running


@pytest.fixture
def running(one_service: Running) -> Iterator[Running]:
    """A service without faults and with an empty list of requests."""
    one_service.simulator.requests.clear()
    yield one_service
    one_service.simulator.faults.clear()
    one_service.simulator.faults.happened.clear()


def connector_of(running: Running, api: str, **changes: Any) -> MimecastConnector:
    values = KEYS[api] | {"base_url": running.url, "allow_other_host": True, "page_size": 30} | changes
    return MimecastConnector.model_validate(values)


def fetch_all(client: MimecastClient) -> pl.DataFrame:
    return RECORDS.reader.to_frame([record for page in client.pages(START, END) for record in page.records])


def log_requests(running: Running) -> list[Any]:
    return [asked for asked in running.simulator.requests if asked.path == GET_LOGS]


def test_pages_hold_every_record_once_in_order(running: Running, api: str) -> None:
    with MimecastClient(connector_of(running, api)) as client:
        pages = list(client.pages(START, END))
        records = RECORDS.reader.to_frame([record for page in pages for record in page.records])
    assert records.height == 300
    assert records["date"].is_sorted()
    assert records.unique().height > 295
    assert pages[0].total == (300 if api == "2.0" else None)
    assert [page.next_token is None for page in pages] == [False] * 9 + [True]
    assert all(earlier.requested_at < later.requested_at for earlier, later in pairwise(pages))
    assert not any(page.empty_tail for page in pages)


def test_requests_ask_for_the_same_dates_with_every_page_token(running: Running, api: str) -> None:
    with MimecastClient(connector_of(running, api, page_size=120)) as client:
        tokens = [page.next_token for page in client.pages(START, END)]
        bodies = [asked.body for asked in log_requests(running)]
    data = [
        {
            "from": "2026-10-31T00:00:00+0000",
            "to": "2026-11-01T00:00:00+0000",
            "oldestFirst": True,
            "route": "all",
            "result": "all",
        }
    ]
    assert bodies == [
        {"meta": {"pagination": {"pageSize": 120}}, "data": data},
        {"meta": {"pagination": {"pageSize": 120, "pageToken": tokens[0]}}, "data": data},
        {"meta": {"pagination": {"pageSize": 120, "pageToken": tokens[1]}}, "data": data},
    ]


@pytest.mark.parametrize(
    "switches",
    [
        Switches(empty_form="list", empty_page_with_next=True, page_size_form="asked"),
        Switches(v1_fail_first=False, v1_escape_slashes=False, total_count_v1=True),
        Switches(token_with_other_dates="fail", to_inclusive=False, max_page_size=17),
    ],
)
def test_records_are_complete_whatever_the_undocumented_behaviour(api: str, switches: Switches) -> None:
    with service(switches) as running, MimecastClient(connector_of(running, api)) as client:
        assert fetch_all(client).height in (299, 300)


TEMPORARY = {
    "429": 8,
    "500": 5,
    "502": 5,
    "503": 5,
    "405": 2,
    "cut": 4,
    "truncated-json": 2,
    "html-200": 2,
    "empty-200": 2,
}
OF_ONE_VERSION = {"1.0": {"developer-key": 1}, "2.0": {"token-expired": 1, "token-unverified": 1}}


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize(
    ("api", "fault", "times"),
    [(api, *fault) for api, own in OF_ONE_VERSION.items() for fault in (TEMPORARY | own).items()],
    indirect=["api"],
)
def test_temporary_fault_is_retried_without_loss(
    running: Running, api: str, fault: str, times: int, after: int
) -> None:
    with MimecastClient(connector_of(running, api)) as client:
        good = fetch_all(client)
        running.simulator.faults.inject(fault, times=times, after=after)
        assert fetch_all(client).equals(good)
        assert running.simulator.faults.happened.total() == times


@pytest.mark.parametrize(
    ("fault", "error", "requests"),
    [
        ("500", ServiceUnavailable, 6),
        ("405", ServiceUnavailable, 3),
        ("cut", ServiceUnavailable, 5),
        ("html-200", AnswerNotUnderstood, 3),
        ("403", PermissionMissing, 1),
        ("fail-200", ServiceError, 1),
        ("developer-key", CredentialsRefused, 2),
        ("418", KeyExpired, 1),
        ("wrong-region", WrongRegion, 1),
    ],
)
def test_permanent_fault_raises_its_error_after_the_allowed_requests(
    running: Running, fault: str, error: type[AlertsError], requests: int
) -> None:
    with MimecastClient(connector_of(running, "1.0")) as client:
        running.simulator.faults.inject(fault, times=None)
        with pytest.raises(error) as caught:
            fetch_all(client)
        assert type(caught.value) is error
        assert len(log_requests(running)) == requests


def test_random_faults_lose_no_record(api: str) -> None:
    world = World(seed=7, per_day=3_000, start=START, end=END)
    with service(world=world) as running, MimecastClient(connector_of(running, api)) as client:
        running.simulator.faults.rate = 0.15
        assert fetch_all(client).height == 3_000
        assert running.simulator.faults.happened.total() > 10


def test_refused_access_token_is_renewed_and_the_page_requested_again(running: Running) -> None:
    with MimecastClient(connector_of(running, "2.0")) as client:
        running.simulator.faults.inject("token-expired", after=4)
        assert fetch_all(client).height == 300
        paths = [asked.path for asked in running.simulator.requests]
        bodies = [asked.body for asked in log_requests(running)]
    assert paths.count("/oauth/token") == 2
    assert bodies[4] == bodies[5]
    assert len(bodies) == 11


def test_access_token_is_reused_for_all_pages(running: Running) -> None:
    with MimecastClient(connector_of(running, "2.0")) as client:
        fetch_all(client)
        assert [asked.path for asked in running.simulator.requests].count("/oauth/token") == 1


def test_access_token_that_expires_soon_is_renewed_between_pages() -> None:
    with (
        service(Switches(token_seconds=60)) as running,
        MimecastClient(connector_of(running, "2.0")) as client,
    ):
        assert fetch_all(client).height == 300
        assert [asked.path for asked in running.simulator.requests].count("/oauth/token") == 10


def test_repeated_page_token_raises_paging_broken(running: Running, api: str) -> None:
    with MimecastClient(connector_of(running, api)) as client:
        running.simulator.faults.inject("repeated-token", after=2)
        with pytest.raises(PagingBroken):
            fetch_all(client)


def test_refused_page_token_has_its_own_error(running: Running, api: str) -> None:
    with MimecastClient(connector_of(running, api)) as client:
        running.simulator.faults.inject("token-refused", after=2)
        with pytest.raises(PageTokenRefused):
            fetch_all(client)
        running.simulator.faults.inject("fail-200")
        with pytest.raises(ServiceError) as caught:
            fetch_all(client)
        assert type(caught.value) is ServiceError  # the first request has no page token


def test_three_empty_pages_end_a_listing_with_a_warning(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with MimecastClient(connector_of(running, "1.0")) as client:
        running.simulator.faults.inject("endless-pages", after=9)
        pages = list(client.pages(START, END))
    assert [len(page.records) for page in pages[-4:]] == [30, 0, 0, 0]
    assert [page.empty_tail for page in pages[-4:]] == [False, False, False, True]
    assert [entry.levelname for entry in caplog.records] == ["WARNING"]


def test_three_empty_pages_before_the_announced_total_end_a_listing(running: Running) -> None:
    with MimecastClient(connector_of(running, "2.0")) as client:
        running.simulator.faults.inject("endless-pages", after=4)
        pages = list(client.pages(START, END))
    assert [page.total for page in pages[:1]] == [300]
    assert sum(len(page.records) for page in pages) == 150
    assert pages[-1].empty_tail


def listing(*pages: tuple[int, str | None, int | None]) -> list[tuple[int, bool]]:
    """The pages of a listing: number of records and whether it ended with empty pages.

    `pages`: number of records, next token and total of each answer; the last one is repeated.
    """
    answers = iter(pages)
    last = pages[-1]

    def fetch(_: str | None) -> paging.Page[int]:
        rows, token, total = next(answers, last)
        return paging.Page(list(range(rows)), START, token, total)

    return [(len(page.records), page.empty_tail) for page in paging.iterate_pages("Service", fetch)]


@pytest.mark.parametrize(
    ("answers", "pages"),
    [
        ([(0, None, None)], [(0, False)]),
        ([(0, "a", None)], [(0, False), (0, True)]),  # the same token on every empty page
        ([(1, "a", None), (0, "a", None)], [(1, False), (0, True)]),
        ([(1, "a", 7), (0, "b", 7)], [(1, False), (0, False), (0, True)]),  # a total that announces more
        ([(1, "a", 7), (0, "b", 7), (0, "c", 7), (0, "d", 7)], [(1, False), (0, False), (0, False), (0, True)]),
        ([(0, "a", 9), (0, "b", 9), (3, "c", 9), (0, None, 9)], [(0, False), (0, False), (3, False), (0, False)]),
        ([(2, "a", 1), (2, None, 10**28)], [(2, False), (2, False)]),
    ],
)
def test_empty_tail_of_a_listing(
    answers: list[tuple[int, str | None, int | None]], pages: list[tuple[int, bool]]
) -> None:
    assert listing(*answers) == pages


def test_repeated_token_on_a_page_with_records_breaks_a_listing() -> None:
    for answers in ([(1, "a", None)], [(1, "a", 2), (0, "b", 2), (1, "a", 2)]):
        with pytest.raises(PagingBroken):
            listing(*answers)


def test_fewer_than_three_empty_pages_do_not_end_a_listing(api: str) -> None:
    day = timedelta(days=1)
    with service(Switches(empty_page_with_next=True)) as running:
        client = MimecastClient(connector_of(running, api))
        with client:
            pages = list(client.pages(START - day, START - day / 2))
    assert [len(page.records) for page in pages] == [0, 0]
    assert not pages[-1].empty_tail


def test_listing_longer_than_the_page_cap_raises_paging_broken(
    running: Running, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE_CAP", 5)
    with (
        MimecastClient(connector_of(running, api)) as client,
        pytest.raises(PagingBroken),
    ):
        fetch_all(client)


def test_total_that_is_too_large_is_ignored(running: Running) -> None:
    with MimecastClient(connector_of(running, "2.0")) as client:
        running.simulator.faults.inject("total-too-large", times=None)
        assert fetch_all(client).height == 300


@pytest.mark.parametrize("reset_header", ["x-ratelimit-reset", "retry-after", "none"])
def test_slices_fetched_in_parallel_share_the_quota(reset_header: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PACE", 0.05)
    switches = Switches(rate_limit=4, rate_window_ms=150, reset_header=reset_header)
    edges = [START + timedelta(hours=4 * part) for part in range(7)]
    with service(switches) as running, MimecastClient(connector_of(running, "1.0", page_size=6)) as client:
        with ThreadPoolExecutor(4) as pool:
            slices = list(pool.map(lambda edge: list(client.pages(*edge)), pairwise(edges)))
        records = RECORDS.reader.to_frame([record for pages in slices for page in pages for record in page.records])
        refused = sum(asked.status == 429 for asked in running.simulator.requests)
    assert records.unique(("date", "recipientAddress", "fileName", "messageId")).height > 295
    assert refused == client.refusals > 0


def test_permanent_throttling_raises_service_unavailable(running: Running) -> None:
    with MimecastClient(connector_of(running, "2.0")) as client:
        running.simulator.faults.inject("429", times=None, seconds=290)
        with pytest.raises(ServiceUnavailable):
            fetch_all(client)
        assert client.refusals == 4


def test_connection_opened_during_a_cut_fails_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        http = open_http(f"http://127.0.0.1:{silent.getsockname()[1]}")
        http.abort()
        with http, pytest.raises((httpx.NetworkError, httpx.RemoteProtocolError)):
            http.get("/", timeout=3.0)


def test_stop_ends_a_wait_for_the_quota(running: Running, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PACE", 1.0)
    stop = threading.Event()
    with MimecastClient(connector_of(running, api), stop=stop) as client:
        running.simulator.faults.inject("429", times=None, seconds=60)
        threading.Timer(0.3, stop.set).start()
        started = time.monotonic()
        with pytest.raises(Stopped):
            fetch_all(client)
        assert time.monotonic() - started < 30  # the service asks for 60 s


def test_host_without_a_server_is_unreachable(api: str) -> None:
    with service() as running:
        connector = connector_of(running, api)
    with MimecastClient(connector) as client, pytest.raises(Unreachable):
        fetch_all(client)


def test_account_is_read_and_empty_without_permission(api: str) -> None:
    unreadable = SimulatedAccount.numbered(1, may_read_account=False)
    with service() as running, MimecastClient(connector_of(running, api)) as client:
        account = client.account()
    assert (account.code, account.name, account.region) == ("CSIM1A1", "Contoso 1 (simulated)", "loopback")
    assert account.packages == ("Attachment Protection (Site) [1056]", "Email Security [1001]")
    with service(accounts=(unreadable,)) as running, MimecastClient(connector_of(running, api)) as client:
        assert client.account() == Account()


@pytest.mark.parametrize("ahead", [-3_600.0, 0.0, 90.0])
def test_clock_offset_is_read_from_the_date_header(api: str, ahead: float) -> None:
    with service(Switches(server_time_offset=ahead)) as running:
        with MimecastClient(connector_of(running, api)) as client:
            difference = client.clock_difference()
        assert difference is not None
        assert difference.total_seconds() == pytest.approx(ahead, abs=1.5)
        assert [(request.account, request.body) for request in running.simulator.requests] == [(None, {})] * 3


@pytest.mark.parametrize("wrong", [timedelta(hours=3), timedelta(days=30), timedelta(days=-365)])
@pytest.mark.parametrize("place", range(3))
def test_one_answer_with_another_time_does_not_decide(wrong: timedelta, place: int, api: str) -> None:
    answers = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.method == "POST"  # is not cached
        answers.append(request)
        moment = datetime.now(UTC) + (wrong if len(answers) == place + 1 else timedelta())
        return httpx.Response(405, headers={"date": format_datetime(moment, usegmt=True)})

    with service() as running, MimecastClient(connector_of(running, api)) as client:
        client.http.close()
        client.http = HttpClient(base_url=running.url, transport=httpx.MockTransport(answer))
        difference = client.clock_difference()
    assert difference is not None
    assert abs(difference) < timedelta(seconds=2)


@pytest.mark.parametrize(
    ("age", "offset"), [("0", 0), ("21600", 21_600), ("", None), ("old", None), ("9" * 400, None), ("-5", -5)]
)
def test_time_in_a_cache_is_added(age: str, offset: float | None) -> None:
    answer = httpx.Response(200, headers={"date": format_datetime(START, usegmt=True), "age": age})
    found = clock_offset_of(answer, START, START)
    assert (found and found.total_seconds()) == (offset if offset is None else offset + 0.5)


@pytest.mark.parametrize("date", [{}, {"date": ""}, {"date": "yesterday"}])
def test_clock_offset_is_unknown_without_a_valid_date_header(date: dict[str, str]) -> None:
    assert clock_offset_of(httpx.Response(404, headers=date), START, END) is None


def test_logs_and_errors_contain_no_secret(api: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = []
    with service(Switches(bad_client_form="oauth")) as running:
        for fault in ("500", "cut", "html-200", "fail-200", "403"):
            with MimecastClient(connector_of(running, api)) as client:
                running.simulator.faults.inject(fault, times=None)
                with pytest.raises(AlertsError) as caught:
                    fetch_all(client)
                texts.append(str(caught.value))
                running.simulator.faults.clear()
        wrong = {"client_secret": "wr0ng-secret"} if api == "2.0" else {"application_key": "wr0ng-secret"}
        with MimecastClient(connector_of(running, api, **wrong)) as client:
            with pytest.raises(CredentialsRefused) as caught:
                fetch_all(client)
            texts.append(str(caught.value))
    seen = "\n".join([*texts, caplog.text])
    secrets = ["wr0ng-secret", V2_KEYS["client_secret"], V1_KEYS["application_key"], V1_KEYS["secret_key"]]
    assert not [secret for secret in secrets if secret in seen]
    assert V1_KEYS["access_key"] not in seen
    assert all(text.isprintable() for text in texts)
