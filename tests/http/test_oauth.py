"""One access token for all threads, and what comes where none is issued."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tasks.http.oauth import ClientCredentialsToken, NoTokenIssued

URL, TOKEN_PATH, PATH = "https://service.example", "/oauth/token", "/records"


class TokenService:
    """Issues token-1, token-2, …; answers calls with the token they carried."""

    def __init__(self, expires_in: object = 1799, answer: httpx.Response | None = None) -> None:
        self.expires_in, self.answer, self.issued, self.forms = expires_in, answer, 0, [""]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != TOKEN_PATH:
            return httpx.Response(200, text=request.headers["Authorization"])
        self.issued += 1
        self.forms.append(request.content.decode())
        if self.answer:
            return self.answer
        body: dict[str, object] = {"access_token": f"token-{self.issued}", "token_type": "Bearer", "scope": ""}
        return httpx.Response(200, json=body if self.expires_in is None else body | {"expires_in": self.expires_in})


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()


def client_of(service: TokenService, clock: Clock) -> httpx.Client:
    http = httpx.Client(base_url=URL, transport=httpx.MockTransport(service))
    http.auth = ClientCredentialsToken(http, URL + TOKEN_PATH, "me", "s3cr3t", clock=clock)
    return http


LIFETIMES: list[tuple[object, int]] = [
    (1799, 1799),
    (600, 600),
    (None, 1799),
    ("600", 600),
    (" 600 ", 600),
    ("599.9", 599),
    (600.5, 600),
    (-1, 1799),
    ("-600", 1799),
    (0, 1799),
    ("", 1799),
    ("soon", 1799),
    ("nan", 1799),
    ("1e999", 1799),
    (10**30, 1799),
    ("9" * 5_000, 1799),
    (True, 1799),
    ([600], 1799),
]


@pytest.mark.parametrize(("expires_in", "lifetime"), LIFETIMES, ids=lambda value: str(value)[:9])
def test_token_is_reused_until_a_minute_before_its_end(clock: Clock, expires_in: object, lifetime: int) -> None:
    service, good_for = TokenService(expires_in), lifetime - 60
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
        assert isinstance(auth, ClientCredentialsToken)
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
        httpx.Response(200, json={"access_token": 5}),
        httpx.Response(200, json=[]),
        httpx.Response(200, content=b"\xff"),
    ],
)
def test_without_a_token_the_call_is_not_sent(clock: Clock, answer: httpx.Response) -> None:
    service = TokenService(answer=answer)
    with client_of(service, clock) as http:
        for _ in range(2):
            with pytest.raises(NoTokenIssued) as caught:
                http.post(PATH)
            assert caught.value.response is answer
    assert service.issued == 2
