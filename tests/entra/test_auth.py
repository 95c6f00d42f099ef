"""Signing in: by secret, by certificate, and what a refusal tells."""

import logging
import socket
import threading
from typing import Any

import httpx
import pytest

from tasks.entra.auth import MicrosoftToken
from tasks.entra.client import GraphClient
from tasks.entra.clouds import CLOUDS
from tasks.entra.connector import EntraConnector
from tasks.errors import AlertsError, CredentialsRefused, KeyExpired, WrongRegion
from tasks.http.oauth import NoTokenIssued
from tests.entra.asking import connector_of, pulled, user
from tests.entra.conftest import Keys, make_keys
from tests.entra.graph import CLIENT, DIRECTORY, SECRET, Graph

pytestmark = pytest.mark.usefixtures("quick", "bare_network")

REFUSALS: list[tuple[int, type[AlertsError], str]] = [
    (7000215, CredentialsRefused, "Secret ID"),
    (7000222, KeyExpired, "client secret"),
    (700016, CredentialsRefused, "client id"),
    (7000112, CredentialsRefused, "Enabled for users"),
    (90002, CredentialsRefused, "cloud"),
    (700027, CredentialsRefused, "certificate"),
    (1000502, KeyExpired, "certificate"),
    (700024, CredentialsRefused, "clock"),
    (500011, WrongRegion, "cloud"),
    (53003, CredentialsRefused, "Conditional Access"),
    (99999, CredentialsRefused, "AADSTS99999"),
]


@pytest.mark.parametrize(("code", "kind", "says"), REFUSALS)
def test_refusals_say_what_to_do(graph: Graph, code: int, kind: type[AlertsError], says: str) -> None:
    graph.sign_in_error = code
    with pytest.raises(AlertsError, match=says) as caught:
        pulled(graph)
    assert type(caught.value) is kind
    assert f"AADSTS{code}" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert graph.asked == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"client_secret": "other"}, "client secret"),
        ({"client_id": "22222222-aaaa-bbbb-cccc-00000000ffff"}, "application"),
        ({"directory_id": "11111111-aaaa-bbbb-cccc-00000000ffff"}, "directory"),
    ],
)
def test_wrong_keys(graph: Graph, wrong: dict[str, str], says: str) -> None:
    with pytest.raises(CredentialsRefused, match=says):
        pulled(graph, **wrong)


@pytest.mark.parametrize("form", ["as made", "one line", "no line ends", "certificate first"])
def test_a_certificate_signs_in(graph: Graph, keys: Keys, form: str) -> None:
    pem = {
        "as made": keys.pem,
        "one line": keys.pem.replace("\n", " "),
        "no line ends": keys.pem.replace("\n", ""),
        "certificate first": keys.certificate_pem + keys.private_pem,
    }[form]
    graph.public_key, graph.thumbprint, graph.users = keys.public_key, keys.thumbprint, [user(1)]
    assert pulled(graph, client_secret="", client_certificate=pem)["graph-users"].objects.height == 1
    assert len(graph.assertions) == 1


def test_a_certificate_that_was_not_uploaded(graph: Graph, keys: Keys) -> None:
    graph.public_key = make_keys().public_key
    with pytest.raises(CredentialsRefused, match="certificate") as caught:
        pulled(graph, client_secret="", client_certificate=keys.pem)
    assert keys.private_pem.splitlines()[1] not in str(caught.value)


def test_threads_share_one_token(graph: Graph) -> None:
    graph.users = [user(1)]
    with GraphClient(connector_of(graph)) as client:
        threads = [threading.Thread(target=client.object, args=("/users?$select=id",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.roles() == graph.roles
    assert len(graph.asked) == 8
    assert graph.issued == 1


def test_only_the_token_that_was_refused_is_dropped(graph: Graph) -> None:
    graph.users = [user(1)]
    with httpx.Client(base_url=graph.url) as http:
        http.auth = auth = MicrosoftToken(connector_of(graph), http)
        first = http.get("/v1.0/users?$select=id")
        auth.forget(first.request)
        http.get("/v1.0/users?$select=id")
        auth.forget(first.request)  # a slower thread reports the old token: the new one stays
        http.get("/v1.0/users?$select=id")
    assert graph.issued == 2


def connector_in(cloud: str, **credential: str) -> EntraConnector:
    values = {"cloud": cloud, "directory_id": DIRECTORY, "client_id": CLIENT}
    return EntraConnector.model_validate(values | (credential or {"client_secret": SECRET}))


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("by", ["secret", "certificate"])
def test_nobody_but_the_clouds_own_hosts_is_asked(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, cloud: str, by: str
) -> None:
    """Neither over our client nor past it, whatever the environment tells msal."""
    resolved: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: resolved.append(host) or [])
    monkeypatch.setenv("MSAL_FORCE_REGION", "westeurope")
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"access_token": "a.b.c", "expires_in": 3599})

    connector = connector_in(cloud, **({"client_certificate": keys.pem} if by == "certificate" else {}))
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        http.get(connector.url, auth=MicrosoftToken(connector, http))
    login, graph = CLOUDS[cloud].login, CLOUDS[cloud].graph
    assert [str(request.url) for request in requests] == [f"{login}/{DIRECTORY}/oauth2/v2.0/token", graph]
    assert requests[1].headers["Authorization"] == "Bearer a.b.c"
    assert resolved == []


@pytest.mark.parametrize("expires_in", [3599, "3599", 3599.5, None, -5, "soon", 10**30])
def test_lifetime_of_a_token_may_be_written_in_any_way(expires_in: object) -> None:
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json={"access_token": "a.b.c", "expires_in": expires_in})

    connector = connector_in("global")
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        auth = MicrosoftToken(connector, http)
        for _ in range(2):
            http.get(connector.url, auth=auth)
    assert paths == [f"/{DIRECTORY}/oauth2/v2.0/token", "/", "/"]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, json={"error": "invalid_request"}),
        httpx.Response(429, headers={"Retry-After": "600"}),
        httpx.Response(503),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"access_token": ""}),
        httpx.Response(200, json={"access_token": ["a.b.c"], "expires_in": 3599}),
        httpx.Response(200, content=b"\xff"),
    ],
)
def test_without_a_token_the_call_is_not_sent_and_each_retry_asks_again(answer: httpx.Response) -> None:
    paths: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return answer

    connector = connector_in("global")
    with httpx.Client(transport=httpx.MockTransport(refuse)) as http:
        auth = MicrosoftToken(connector, http)
        for _ in range(2):
            with pytest.raises(NoTokenIssued) as caught:
                http.get(connector.url, auth=auth)
            assert caught.value.response is answer
    assert paths == [f"/{DIRECTORY}/oauth2/v2.0/token"] * 2  # msal would answer the second from its cache


@pytest.mark.parametrize("by", ["secret", "certificate"])
def test_no_secret_reaches_a_log(graph: Graph, keys: Keys, caplog: pytest.LogCaptureFixture, by: str) -> None:
    caplog.set_level(logging.DEBUG)
    graph.public_key, graph.thumbprint, graph.users = keys.public_key, keys.thumbprint, [user(1)]
    pulled(graph, **({"client_secret": "", "client_certificate": keys.pem} if by == "certificate" else {}))
    graph.sign_in_error = 7000215
    with pytest.raises(CredentialsRefused):
        pulled(graph)
    assert "msal" in {record.name.partition(".")[0] for record in caplog.records}
    secrets = [SECRET, keys.private_pem.splitlines()[1], *graph.tokens, *graph.signatures]
    assert not [secret for secret in secrets if secret in caplog.text]
