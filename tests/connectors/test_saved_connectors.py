import logging
from collections.abc import Iterator

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_URL,
    temporary_settings,
)

from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import api_location
from tasks.errors import ConnectorRefused, UnknownConnector, Unreachable
from tasks.http.check import Check, passed
from tasks.mimecast.connector import MimecastConnector
from tasks.products import PRODUCTS
from tasks.saved_connectors import (
    find_duplicate,
    list_connectors,
    load_connector,
    load_to_correct,
    remove,
    rename,
    save_connector,
    saved_names,
)

V1_KEYS = {"application_id": "a", "application_key": "b", "access_key": "c", "secret_key": "ZA=="}


def connector(number: int = 1, **changes: object) -> MimecastConnector:
    values = {"client_id": f"client-{number}", "client_secret": f"hush-{number}", **changes}
    return MimecastConnector.model_validate(values)


@pytest.fixture
def saved(prefect_api: None) -> Iterator[None]:
    yield
    for name in saved_names():
        remove(name)


def test_products_are_found_by_looking() -> None:
    assert PRODUCTS["mimecast"].connector is MimecastConnector


def test_only_checks_without_failure_or_gap_pass() -> None:
    assert passed([Check("a", "ok", ""), Check("b", "warning", "")])
    for state in ("failed", "skipped"):
        assert not passed([Check("a", "ok", ""), Check("b", state, "")])  # type: ignore[arg-type]
    assert not passed([])


def test_saved_and_loaded_with_its_secrets_and_an_id_for_ever(saved: None) -> None:
    save_connector("mimecast-emea", connector(tenant="acme", key_expires_at="2027-01-01T00:00:00Z"))
    first, second = load_connector("mimecast-emea"), load_connector("mimecast-emea")
    assert isinstance(first, MimecastConnector)
    assert first.client_secret.get_secret_value() == "hush-1"
    assert first.connector_id is not None
    assert first.connector_id == second.connector_id
    assert first.tenant == "acme"
    first.page_size = 100
    save_connector("mimecast-emea", first)
    again = load_connector("mimecast-emea")
    assert (again.connector_id, again.model_dump()["page_size"]) == (first.connector_id, 100)


def test_several_live_side_by_side(saved: None) -> None:
    for number in (2, 1, 3):
        save_connector(f"account-{number}", connector(number))
    found = list_connectors()
    assert list(found) == ["account-1", "account-2", "account-3"]
    assert len({each.connector_id for each in found.values()}) == 3


def test_unknown_name_says_where_it_looked(saved: None) -> None:
    api = PREFECT_API_URL.value()
    with pytest.raises(
        UnknownConnector, match=r"No connector is saved as 'nobody\\x1b' in the Prefect API at"
    ) as caught:
        load_connector("nobody\x1b")
    assert str(api) in str(caught.value)
    for missing in (lambda: remove("nobody"), lambda: rename("nobody", "somebody")):
        with pytest.raises(UnknownConnector):
            missing()


def test_where_is_asked_without_a_server() -> None:
    with temporary_settings({PREFECT_API_URL: None}):
        assert "prefect" in api_location()
        assert "no PREFECT_API_URL is set" in api_location()
    with temporary_settings({PREFECT_API_URL: "http://me:hush@host:4200/api"}):
        assert api_location() == "the Prefect API at http://host:4200/api"


def test_a_server_that_does_not_answer() -> None:
    nowhere = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"})
    with nowhere, pytest.raises(Unreachable, match=r"No answer from the Prefect API at http://127\.0\.0\.1:9/api"):
        saved_names()


@pytest.mark.parametrize("name", ["", "Upper", "a b", "a--b", "-a", "ä", "a/b"])
def test_names_that_prefect_does_not_take(name: str) -> None:
    with pytest.raises(ConnectorRefused, match="lower-case letters, digits and single dashes"):
        save_connector(name, connector())


@pytest.mark.parametrize("name", ["poll", "directory-pull"])
def test_names_that_are_a_deployments_already(name: str, saved: None) -> None:
    save_connector("good", connector())
    for take in (lambda: save_connector(name, connector(2)), lambda: rename("good", name)):
        with pytest.raises(ConnectorRefused, match=f"'{name}' is the name of a deployment in prefect.yaml"):
            take()
    assert list(saved_names()) == ["good"]
    connector(2).save(name)  # in the UI; its test is noted there all the same
    save_connector(name, load_connector(name))


def test_a_taken_name_and_a_second_connector_for_an_account_are_refused(saved: None) -> None:
    save_connector("first", connector(account_code="C1"))
    with pytest.raises(ConnectorRefused, match="'first' exists already"):
        save_connector("first", connector(2))
    with pytest.raises(ConnectorRefused, match="already pulled by the connector 'first'"):
        save_connector("second", connector())
    by_code = connector(api="1.0", region="eu", account_code="C1", client_id="", client_secret="", **V1_KEYS)
    assert find_duplicate(by_code) == "first"
    with pytest.raises(ConnectorRefused, match="already pulled"):
        save_connector("second", by_code)
    assert list(saved_names()) == ["first"]


def test_rename_keeps_the_id(saved: None) -> None:
    save_connector("old", connector())
    save_connector("taken", connector(2))
    with pytest.raises(ConnectorRefused, match="'taken' exists already"):
        rename("old", "taken")
    before = load_connector("old")
    rename("old", "new")
    assert sorted(saved_names()) == ["new", "taken"]
    after = load_connector("new")
    assert after.connector_id == before.connector_id
    after.account_code = "C9"
    save_connector("new", after)  # the renamed one is the same connector, not a second for its account


def test_rotation_replaces_the_keys_of_either_generation(saved: None) -> None:
    save_connector("account", connector(account_code="C1"))
    old = load_connector("account")
    save_connector("account", old.rotated(region="eu", **V1_KEYS))
    new = load_connector("account")
    assert isinstance(new, MimecastConnector)
    assert (new.api, new.client_id, new.client_secret.get_secret_value()) == ("1.0", "", "")
    assert (new.connector_id, new.account_code) == (old.connector_id, "C1")


def test_one_made_in_the_ui_gets_an_id_that_stays(saved: None) -> None:
    connector().save("from-ui")
    first = load_connector("from-ui").connector_id
    assert first is not None
    assert load_connector("from-ui").connector_id == first


def test_a_form_filled_in_wrongly_is_named_and_stops_nobody_else(saved: None, caplog: pytest.LogCaptureFixture) -> None:
    save_connector("good", connector())
    wrong = connector(2)
    wrong.client_secret = None  # type: ignore[assignment]  # the form in the UI sends null
    wrong.save("wrong")
    with pytest.raises(ConnectorRefused, match=r"'wrong' cannot be used: Client secret"):
        load_connector("wrong")
    with caplog.at_level(logging.WARNING):
        assert list(list_connectors()) == ["good"]
    assert "'wrong' cannot be used" in caplog.text
    assert "hush" not in caplog.text


def test_what_cannot_be_used_is_loaded_to_correct_it_and_holds_no_secret_in_clear(saved: None) -> None:
    wrong = connector(key_expires_at="2027-01-01T00:00:00Z")
    wrong.polling_minutes = 7  # type: ignore[assignment]
    wrong.client_secret = ["hush"]  # type: ignore[assignment]
    wrong.save("wrong")
    found, why = load_to_correct("wrong")
    assert isinstance(found, MimecastConnector)
    assert why and "'wrong' cannot be used: Polling frequency" in why
    assert (found.client_id, found.polling_minutes, found.key_expires_at) == ("client-1", 7, wrong.key_expires_at)
    assert found.client_secret.get_secret_value() == ""
    good = connector(2)
    save_connector("good", good)
    assert load_to_correct("good") == (good, None)


def test_secrets_are_hidden_by_the_api_unless_asked_for(saved: None) -> None:
    save_connector("account", connector())
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name("account", "mimecast-connector", include_secrets=False)
    assert "hush" not in str(document.data)


def test_works_inside_a_flow(saved: None) -> None:
    save_connector("account", connector())

    @flow
    def uses(name: str) -> Connector:
        return load_connector(name)

    assert uses("account").connector_id == load_connector("account").connector_id
