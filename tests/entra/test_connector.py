"""The form of an Entra connector."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prefect.utilities.schema_tools.validation import build_error_obj, validate

from tasks.connectors.base import build_connector
from tasks.entra.connector import EntraConnector
from tasks.errors import ConnectorRefused
from tasks.products import PRODUCTS
from tests.entra.conftest import Keys, make_keys
from tests.entra.graph import CLIENT, DIRECTORY

SECRET = "abc8Q~hush.hush_hush"
VALUES = {"directory_id": DIRECTORY, "client_id": CLIENT, "client_secret": SECRET}


def connector(**changes: Any) -> EntraConnector:
    return build_connector(EntraConnector, VALUES | changes)


def test_found_as_a_product() -> None:
    assert PRODUCTS["entra"].connector is EntraConnector


@pytest.mark.parametrize(
    ("cloud", "login", "graph"),
    [
        ("global", "https://login.microsoftonline.com", "https://graph.microsoft.com"),
        ("us_gov", "https://login.microsoftonline.us", "https://graph.microsoft.us"),
        ("us_dod", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
        ("china", "https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
    ],
)
def test_clouds(cloud: str, login: str, graph: str) -> None:
    found = connector(cloud=cloud)
    assert (found.login_url, found.url, found.scope) == (login, graph, f"{graph}/.default")
    assert (found.authority, found.token_endpoint) == (f"{login}/{DIRECTORY}", f"{login}/{DIRECTORY}/oauth2/v2.0/token")
    assert found.is_vendor_host()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"directory_id": ""}, "Directory (tenant) id"),
        ({"directory_id": "contoso.example"}, "Directory (tenant) id"),
        ({"client_id": "my app"}, "Application (client) id"),
        ({"client_secret": ""}, "Client secret or Certificate with private key"),
        ({"client_secret": CLIENT}, "Secret ID"),
        ({"client_secret": "hush hush"}, "Client secret"),
        ({"client_secret": "", "client_certificate": "hush"}, "Certificate with private key"),
        ({"base_url": "http://127.0.0.1:1"}, "--allow-other-host"),
        ({"base_url": "https://graph.test/v1.0", "allow_other_host": True}, "Base URL"),
        ({"base_url": "https://me:hush@graph.test", "allow_other_host": True}, "Base URL"),
        ({"cloud": "moon"}, "Cloud"),
    ],
)
def test_invalid_form_names_the_field_without_its_value(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ConnectorRefused, match=re.escape(named)) as caught:
        connector(**wrong)
    assert "hush" not in str(caught.value)


def test_secret_together_with_certificate_is_refused(keys: Keys) -> None:
    with pytest.raises(ConnectorRefused, match="Client secret or Certificate"):
        connector(client_certificate=keys.pem)


def test_unusable_certificate_is_refused_with_the_reason(keys: Keys) -> None:
    other, small = make_keys(), make_keys(bits=1024)
    elliptic = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    locked = serialization.load_pem_private_key(keys.private_pem.encode(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    body = keys.private_pem.splitlines()[5]
    for pem, reason in {
        keys.certificate_pem: "private key",
        keys.private_pem: "certificate",
        keys.private_pem + other.certificate_pem: "does not belong",
        small.pem: "2048 bits",
        elliptic.decode() + keys.certificate_pem: "RSA",
        locked.decode() + keys.certificate_pem: "passphrase",
        keys.pem.replace(body, body[::-1]): "private key",
        keys.private_pem + keys.certificate_pem.replace("M", "x", 3): "certificate",
    }.items():
        with pytest.raises(ConnectorRefused, match=reason) as caught:
            connector(client_secret="", client_certificate=pem)
        assert body not in str(caught.value)


def test_certificate_with_chain_is_accepted(keys: Keys) -> None:
    chain = make_keys().certificate_pem
    found = connector(client_secret="", client_certificate=keys.private_pem + chain + keys.certificate_pem)
    certificate = found.certificate()
    assert certificate is not None
    assert certificate.certificate == keys.certificate_pem


def test_certificate_has_its_expiry(keys: Keys) -> None:
    ends = connector(client_secret="", client_certificate=keys.pem, key_expires_at="2020-01-01").key_expires_at
    assert ends is not None
    assert timedelta(days=29) < ends - datetime.now(UTC) < timedelta(days=31)
    assert connector().key_expires_at is None


def test_secrets_are_not_shown(keys: Keys) -> None:
    by_certificate = connector(client_secret="", client_certificate=keys.pem)
    line = keys.private_pem.splitlines()[3]
    assert line not in f"{by_certificate!r} {by_certificate.certificate()!r} {by_certificate.model_dump()}"
    assert SECRET not in f"{connector()!r} {connector().model_dump()}"


def test_applications_of_one_directory_are_the_same_account() -> None:
    other = connector(client_id="33333333-aaaa-bbbb-cccc-000000000003", client_secret="other")
    assert connector().same_account(other)
    assert not connector().same_account(connector(directory_id="33333333-aaaa-bbbb-cccc-000000000003"))


def test_rotation_from_secret_to_certificate_and_back(keys: Keys) -> None:
    old = connector(key_expires_at="2027-01-01T00:00:00Z", tenant="acme")
    new = old.rotated(client_certificate=keys.pem)
    assert isinstance(new, EntraConnector)
    certificate = new.certificate()
    assert certificate is not None
    assert (new.client_secret.get_secret_value(), new.tenant) == ("", "acme")
    assert new.key_expires_at == certificate.expires_at
    back = new.rotated(client_secret=SECRET)
    assert isinstance(back, EntraConnector)
    assert (back.certificate(), back.key_expires_at) == (None, None)
    with pytest.raises(TypeError):
        old.rotated(tenant="other")


def test_form_shows_its_own_fields_first() -> None:
    positions = {name: field["position"] for name, field in EntraConnector.model_json_schema()["properties"].items()}
    assert max(positions[name] for name in VALUES) < positions["tenant"]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        (VALUES, []),
        ({}, ["client_id", "client_secret", "directory_id"]),
        (VALUES | {"client_secret": "", "client_certificate": "pem"}, []),
        (VALUES | {"client_secret": ""}, ["client_secret"]),
        (VALUES | {"base_url": "https://gateway.example.com", "allow_other_host": False}, ["allow_other_host"]),
    ],
)
def test_form_refuses_on_save(values: dict[str, Any], wrong: list[str]) -> None:
    answer = build_error_obj(
        validate(
            {"cloud": "global", "tenant": "default", "allow_other_host": False} | values,
            EntraConnector.model_json_schema(),
        )
    )["errors"]
    assert sorted(each["property"] for each in answer) == wrong
