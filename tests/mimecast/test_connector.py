import traceback
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import build_error_obj, validate
from pydantic import ValidationError

from tasks.connectors.base import build_connector
from tasks.connectors.form_schema import MANAGED_FIELDS
from tasks.errors import ConnectorRefused
from tasks.mimecast.connector import CREDENTIALS, MimecastConnector
from tasks.mimecast.regions import HOSTS

V1 = {
    "api": "1.0",
    "region": "eu",
    "application_id": "app-id",
    "application_key": "hush-application-key",
    "access_key": "hush-access-key",
    "secret_key": "aHVzaCBzZWNyZXQ=",
}
V2 = {"client_id": "me", "client_secret": "hush-client-secret"}
SECRETS = ("hush-application-key", "hush-access-key", "aHVzaCBzZWNyZXQ=", "hush-client-secret")


def connector(values: dict[str, Any] = V2, **changes: Any) -> MimecastConnector:
    return build_connector(MimecastConnector, values | changes)


def test_fields_have_their_defaults() -> None:
    plain = connector()
    assert (plain.api, plain.region, plain.url) == ("2.0", "global", "https://api.services.mimecast.com")
    assert (plain.page_size, plain.polling_minutes, plain.first_look_back_days) == (500, 15, 7)
    assert (plain.tenant, plain.no_verdict, plain.connector_id, plain.account_code) == (
        "default",
        "medium",
        None,
        None,
    )


@pytest.mark.parametrize(("api", "region"), [(api, region) for api in HOSTS for region in HOSTS[api]])
def test_every_host_of_the_vendor_is_accepted(api: str, region: str) -> None:
    values = V1 if api == "1.0" else V2
    vendor_host = connector(values, api=api, region=region)
    assert vendor_host.url == HOSTS[api][region]
    assert vendor_host.is_vendor_host()
    assert connector(values, api=api, region=region, base_url=vendor_host.url).url == vendor_host.url


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"client_secret": ""}, "Client secret (API 2.0) must be filled in"),
        ({"client_id": None, "client_secret": None}, "Client id (API 2.0), Client secret (API 2.0) must be filled in"),
        (
            {"api": "1.0", "region": "eu"},
            "Application id (API 1.0), Application key (API 1.0), Access key (API 1.0), Secret key (API 1.0)",
        ),
        ({"region": "eu"}, "API 2.0 has no region eu"),
        (V1 | {"region": "global"}, "API 1.0 has no region global"),
        ({"region": "mars"}, "Region"),
        ({"page_size": 0}, "Page size"),
        ({"page_size": 501}, "Page size"),
        ({"page_size": "many"}, "Page size"),
        ({"key_expires_at": "soon"}, "Keys expire at"),
        ({"key_expires_at": "2027"}, "Keys expire at"),
        ({"allow_other_host": "perhaps"}, "Allow a host that is not Mimecast's"),
        ({"first_look_back_days": 61}, "First look-back (days)"),
        ({"polling_minutes": 7}, "Polling frequency (minutes)"),
        ({"tenant": "Not A Slug"}, "Tenant"),
        ({"client_id": "two words"}, "Client id (API 2.0)"),
        ({"client_secret": "line\nbreak"}, "Client secret (API 2.0)"),
        (V1 | {"secret_key": "hush!"}, "Secret key (API 1.0)"),
        (V1 | {"secret_key": "aHVzaCBzZWNyZXQ"}, "Secret key (API 1.0)"),
        ({"base_url": "api.services.mimecast.com"}, "Base URL"),
        ({"base_url": "ftp://api.services.mimecast.com"}, "Base URL"),
        ({"base_url": "https://"}, "Base URL"),
        ({"base_url": "https://eu-api.mimecast.com/api"}, "Base URL"),
        ({"base_url": "https://me:hush@eu-api.mimecast.com"}, "Base URL"),
        ({"base_url": "https://eu-api.mimecast.com?x=1"}, "Base URL"),
        ({"base_url": "http://eu-api.mimecast.com"}, "--allow-other-host"),
        ({"base_url": "https://mimecast.com.evil.example"}, "--allow-other-host"),
        ({"base_url": "https://evilmimecast.com"}, "--allow-other-host"),
        ({"base_url": "http://127.0.0.1:8000"}, "--allow-other-host"),
        ({"detection_details_url": "javascript:alert(1)"}, "Link to detection details"),
        ({"detection_details_url": "https://x/{message}"}, "Link to detection details"),
        ({"detection_details_url": "https://x/{date.__class__}"}, "Link to detection details"),
        ({"detection_details_url": "https://x/{date:{date}}"}, "Link to detection details"),
        ({"detection_details_url": "https://x/{"}, "Link to detection details"),
    ],
)
def test_invalid_form_names_the_field(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConnectorRefused) as caught:
        connector(V2 | changes)
    assert named in str(caught.value)


def test_other_host_is_accepted_if_allowed() -> None:
    allowed = connector(base_url="HTTP://127.0.0.1:8000/", allow_other_host=True)
    assert allowed.url == "http://127.0.0.1:8000"
    assert not allowed.is_vendor_host()


def test_blanks_around_pasted_keys_are_dropped() -> None:
    pasted = connector(client_id=" me\n", client_secret="\thush-client-secret ")
    assert pasted.client_id == "me"
    assert pasted.client_secret.get_secret_value() == "hush-client-secret"


def test_times_without_a_zone_are_utc() -> None:
    assert connector(key_expires_at="2027-01-02T03:04:05").key_expires_at == datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_texts_and_errors_contain_no_secret() -> None:
    both = connector(V1 | V2 | {"api": "1.0"})
    texts = [repr(both), str(both), str(both.model_dump()), both.model_dump_json(), both.key_identity()]
    for changes in ({"page_size": "hush-client-secret"}, {"api": "1.0", "region": "global"}, {"tenant": "X"}):
        try:
            MimecastConnector(**(V1 | V2 | changes))
        except ValidationError as wrong:
            texts += [str(wrong), repr(wrong), traceback.format_exc()]
        try:
            connector(V1 | V2 | changes)
        except ConnectorRefused:
            texts.append(traceback.format_exc())
    assert len(texts) == 5 + 3 * 4
    assert not [secret for secret in SECRETS for text in texts if secret in text]


def test_secrets_are_password_fields_of_the_form() -> None:
    form = MimecastConnector.model_json_schema()
    assert sorted(form["secret_fields"]) == ["access_key", "application_key", "client_secret", "secret_key"]
    assert form["block_type_slug"] == "mimecast-connector"


def test_form_describes_every_field_in_the_agreed_order() -> None:
    fields = MimecastConnector.model_json_schema()["properties"]
    assert all(field["title"] and field["description"] for field in fields.values())
    order = sorted(fields, key=lambda name: fields[name]["position"])
    assert order[:5] == ["api", "region", "client_id", "client_secret", "application_id"]
    assert order[8:10] == ["polling_minutes", "first_look_back_days"]
    managed = [name for name in order if name in MANAGED_FIELDS]
    assert order[-len(managed) - 3 :] == ["base_url", "allow_other_host", "page_size", *managed]
    assert fields["polling_minutes"]["enum"] == [5, 10, 15, 30, 60]
    assert not [name for name, field in fields.items() if "anyOf" in field]  # the UI would ask for its type first


GATEWAY = "https://gateway.example.com"


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        (V2, {}),
        (V1, {}),
        ({}, {"client_id": "is a required property", "client_secret": "is a required property"}),
        (V2 | {"client_secret": ""}, {"client_secret": "should be non-empty"}),
        (V2 | {"region": "eu"}, {"region": "'eu' is not one of ['global', 'uk', 'us']"}),
        (V2 | {"region": "eu", "base_url": "https://eu-api.mimecast.com"}, {}),
        (V1 | {"region": "global"}, {"region": "'global' is not one of ['eu',"}),
        ({"api": "1.0", "region": "eu"} | V2, dict.fromkeys(CREDENTIALS["1.0"], "is a required property")),
        (V2 | {"base_url": GATEWAY}, {"allow_other_host": "True was expected"}),
        (V2 | {"base_url": GATEWAY, "allow_other_host": True}, {}),
        (V2 | {"base_url": ""}, {}),
        (V2 | {"base_url": f"{GATEWAY}/api", "allow_other_host": True}, {"base_url": "does not match"}),
        (V2 | {"polling_minutes": 7, "page_size": 501}, {"polling_minutes": "is not one of", "page_size": "maximum"}),
    ],
)
def test_form_refuses_invalid_fields(values: dict[str, Any], wrong: dict[str, str]) -> None:
    form = MimecastConnector.model_json_schema()
    filled = {name: field["default"] for name, field in form["properties"].items() if "default" in field}
    answer = build_error_obj(validate(filled | values, form))["errors"]  # as the UI asks its server
    found = {error["property"]: " ".join(error["errors"]) for error in answer}
    assert found.keys() == wrong.keys()
    assert [name for name, says in wrong.items() if says not in found[name]] == []
    assert not [secret for secret in SECRETS if secret in str(found)]


def test_link_template_is_the_given_one_or_the_console() -> None:
    template = "https://siem.example/?m={message_id}&h={file_sha256}&d={date}"
    assert connector(detection_details_url=template).link_template == template
    dashboard = "https://login-{}.mimecast.com/administration/app/#/administration-dashboard"
    assert connector(V1).link_template == dashboard.format("eu")
    assert connector(V1, region="je").link_template == dashboard.format("jer")
    assert connector().link_template == "https://login.mimecast.com/u/login/?gta=administration"


def test_rotation_of_keys_keeps_everything_else() -> None:
    old = connector(V1, account_code="C1", key_expires_at="2026-12-01", tenant="acme", page_size=100)
    new = old.rotated(
        **{name: V1[name] for name in ("application_id", "application_key")},
        access_key="x",
        secret_key="eA==",
    )
    assert new.access_key.get_secret_value() == "x"
    assert (new.account_code, new.tenant, new.page_size, new.region) == ("C1", "acme", 100, "eu")
    assert new.key_expires_at is None
    assert old.access_key.get_secret_value() == "hush-access-key"


def test_rotation_to_the_other_version_empties_the_old_keys() -> None:
    new = connector(V1, base_url="https://eu-api.mimecast.com").rotated(**V2)
    assert (new.api, new.url, new.application_id) == ("2.0", "https://api.services.mimecast.com", "")
    assert new.secret_key.get_secret_value() == ""
    back = new.rotated(**V1)
    assert (back.api, back.region, back.client_id) == ("1.0", "eu", "")
    simulated = connector(V1, base_url="http://127.0.0.1:8", allow_other_host=True).rotated(**V2)
    assert simulated.url == "http://127.0.0.1:8"


def test_rotation_without_all_keys_is_refused() -> None:
    with pytest.raises(ConnectorRefused, match=r"Client secret \(API 2\.0\) must be"):
        connector(V1).rotated(client_id="me")
    with pytest.raises(ConnectorRefused, match=r"API 1\.0 has no region global"):
        connector().rotated(**{name: value for name, value in V1.items() if name not in ("api", "region")})


def test_same_account_is_decided_by_keys_or_account_code() -> None:
    assert connector().same_account(connector(tenant="other", region="uk"))
    assert not connector().same_account(connector(client_id="you"))
    assert connector(account_code="C1").same_account(connector(V1, account_code="C1"))
    assert not connector(account_code="C1").same_account(connector(client_id="you", account_code="C2"))
    assert not connector().same_account(connector(V1))
    here = {"base_url": "http://127.0.0.1:1", "allow_other_host": True, "account_code": "C1"}
    assert not connector(V2 | here).same_account(connector(V2 | here | {"base_url": "http://127.0.0.1:2"}))
