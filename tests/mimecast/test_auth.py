from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest

from tasks.mimecast.auth import TOKEN_PATH, BearerToken, SignedRequests, mimecast_date, sign

SECRET_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
PATH = "/api/ttp/attachment/get-logs"
URL = "https://host.mimecast.com"


def test_signature_of_the_published_arithmetic() -> None:
    signature = sign(
        SECRET_KEY,
        "Tue, 24 Nov 2015 12:50:11 UTC",
        "11111111-2222-4333-8444-555555555555",
        PATH,
        "00000000-1111-2222-3333-444444444444",
    )
    assert signature == "K1Fb3rKr97rLM5DgVDsMKio7FQM="


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2015, 11, 24, 12, 50, 11, tzinfo=UTC), "Tue, 24 Nov 2015 12:50:11 UTC"),
        (datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))), "Sat, 28 Feb 2026 22:30:00 UTC"),
        (datetime(2026, 1, 4, tzinfo=UTC), "Sun, 04 Jan 2026 00:00:00 UTC"),
    ],
)
def test_date_is_english_utc_with_two_digits(moment: datetime, text: str) -> None:
    assert mimecast_date(moment) == text


def test_every_request_is_signed_anew_and_by_its_path_alone() -> None:
    auth = SignedRequests("app-id", "app-key", "access", SECRET_KEY)
    first, second = (next(auth.auth_flow(httpx.Request("POST", f"{URL}{PATH}?x=1"))) for _ in range(2))
    assert first.headers["x-mc-req-id"] != second.headers["x-mc-req-id"]
    assert first.headers["x-mc-app-id"] == "app-id"
    expected = sign(SECRET_KEY, first.headers["x-mc-date"], first.headers["x-mc-req-id"], PATH, "app-key")
    assert first.headers["Authorization"] == f"MC access:{expected}"


class TokenService:
    """Issues token-1, token-2, …; answers calls with the token they carried."""

    def __init__(self, expires_in: float | None = 1799, answer: httpx.Response | None = None) -> None:
        self.expires_in, self.answer, self.issued, self.forms = expires_in, answer, 0, [""]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != TOKEN_PATH:
            return httpx.Response(200, text=request.headers["Authorization"])
        self.issued += 1
        self.forms.append(request.content.decode())
        if self.answer:
            return self.answer
        body = {"access_token": f"token-{self.issued}", "token_type": "Bearer", "scope": ""}
        return httpx.Response(200, json=body if self.expires_in is None else body | {"expires_in": self.expires_in})


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()


def client_of(service: TokenService, clock: Clock) -> httpx.Client:
    auth = BearerToken(URL, "me", "s3cr3t", clock=clock)
    return httpx.Client(base_url=URL, auth=auth, transport=httpx.MockTransport(service))


@pytest.mark.parametrize(("expires_in", "good_for"), [(1799, 1739), (600, 540), (None, 1739)])
def test_token_is_reused_until_a_minute_before_its_end(clock: Clock, expires_in: float | None, good_for: int) -> None:
    service = TokenService(expires_in)
    with client_of(service, clock) as http:
        assert http.post(PATH).text == "Bearer token-1"
        clock.now += good_for - 1
        assert http.post(PATH).text == "Bearer token-1"
        clock.now += 1
        assert http.post(PATH).text == "Bearer token-2"
    assert service.forms[1] == "client_id=me&client_secret=s3cr3t&grant_type=client_credentials"


def test_many_threads_ask_for_one_token(clock: Clock) -> None:
    service = TokenService()
    with client_of(service, clock) as http, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.post(PATH).text, range(40)))
    assert set(answers) == {"Bearer token-1"}
    assert service.issued == 1


def test_only_the_token_that_was_refused_is_forgotten(clock: Clock) -> None:
    service = TokenService()
    with client_of(service, clock) as http:
        auth = http.auth
        assert isinstance(auth, BearerToken)
        first = http.post(PATH)
        auth.forget(first.request)
        assert http.post(PATH).text == "Bearer token-2"
        auth.forget(first.request)  # a slower thread reports the old token: the new one stays
        assert http.post(PATH).text == "Bearer token-2"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, json={"fail": [{"code": "unauthorized", "message": "no"}]}),
        httpx.Response(429),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"access_token": ""}),
        httpx.Response(200, content=b"\xff"),
    ],
)
def test_without_a_token_the_call_is_not_sent_and_the_refusal_is_its_answer(
    clock: Clock, answer: httpx.Response
) -> None:
    with client_of(TokenService(answer=answer), clock) as http:
        response = http.post(PATH)
    assert response.url.path == TOKEN_PATH
    assert response.status_code == answer.status_code
