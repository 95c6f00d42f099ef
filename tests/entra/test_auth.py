"""Signing in: by secret, by certificate, and what a refusal tells."""

import threading

import pytest

from tasks.entra.certificate import read_certificate
from tasks.entra.client import GraphClient
from tasks.errors import AlertsError, CredentialsRefused, KeyExpired, WrongRegion
from tests.entra.asking import connector_of, pulled, user
from tests.entra.conftest import Keys, make_keys
from tests.entra.graph import SECRET, Graph

pytestmark = pytest.mark.usefixtures("quick", "bare_network")

REFUSALS: list[tuple[int, type[AlertsError], str]] = [
    (7000215, CredentialsRefused, "column Value, not its Secret ID"),
    (7000222, KeyExpired, "client secret has expired"),
    (700016, CredentialsRefused, "no application with this client id"),
    (7000112, CredentialsRefused, "application is disabled"),
    (90002, CredentialsRefused, "no directory with this id"),
    (700027, CredentialsRefused, "does not accept the certificate"),
    (1000502, KeyExpired, "not valid today"),
    (700024, CredentialsRefused, "Set this machine's clock"),
    (500011, WrongRegion, "Choose the cloud"),
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
        ({"client_secret": "other"}, "client secret is wrong"),
        ({"client_id": "22222222-aaaa-bbbb-cccc-00000000ffff"}, "no application"),
        ({"directory_id": "11111111-aaaa-bbbb-cccc-00000000ffff"}, "no directory"),
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


def test_every_statement_is_another_one(keys: Keys) -> None:
    certificate = read_certificate(keys.pem)
    assert certificate.assertion("client", "audience") != certificate.assertion("client", "audience")


def test_a_certificate_that_was_not_uploaded(graph: Graph, keys: Keys) -> None:
    graph.public_key = make_keys().public_key
    with pytest.raises(CredentialsRefused, match="does not accept the certificate") as caught:
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
