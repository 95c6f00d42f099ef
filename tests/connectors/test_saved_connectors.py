from collections.abc import Iterator
from functools import partial

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
from tasks.saved_connectors import (
    find_duplicate,
    load_all,
    load_connector,
    remove,
    rename,
    save_connector,
    save_new_ids,
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


def stored_id(name: str) -> str | None:
    """The connector id in the form as it is saved."""
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name(name, "mimecast-connector", include_secrets=False)
    value = document.data.get("connector_id")
    return value if value is None else str(value)


def test_passed_with_failed_or_skipped_or_no_checks_is_false() -> None:
    assert passed([Check("a", "ok", ""), Check("b", "warning", "")])
    for state in ("failed", "skipped"):
        assert not passed([Check("a", "ok", ""), Check("b", state, "")])  # type: ignore[arg-type]
    assert not passed([])


@pytest.mark.server
def test_save_and_load_keeps_secrets_and_id(saved: None) -> None:
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


@pytest.mark.server
def test_list_several_connectors_sorted_with_ids_of_their_own(saved: None) -> None:
    for number in (2, 1, 3):
        save_connector(f"account-{number}", connector(number))
    found, _ = load_all()
    assert list(found) == ["account-1", "account-2", "account-3"]
    assert len({each.connector_id for each in found.values()}) == 3


@pytest.mark.server
def test_unknown_name_raises_with_the_api_in_use(saved: None) -> None:
    for name in ("nobody", "nobody\x1b", "no/body", ""):
        for missing in (load_connector, remove, partial(rename, new="somebody")):
            with pytest.raises(UnknownConnector) as caught:
                missing(name)
            assert str(PREFECT_API_URL.value()) in str(caught.value)
            assert "\x1b" not in str(caught.value)


def test_api_location_without_credentials() -> None:
    with temporary_settings({PREFECT_API_URL: None}):
        assert "no PREFECT_API_URL is set" in api_location()
    with temporary_settings({PREFECT_API_URL: "http://me:hush@host:4200/api"}):
        assert api_location() == "the Prefect API at http://host:4200/api"


def test_server_that_does_not_answer_raises_unreachable() -> None:
    nowhere = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"})
    with nowhere, pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        saved_names()


@pytest.mark.parametrize("name", ["", "Upper", "a b", "a--b", "-a", "ä", "a/b"])
def test_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(ConnectorRefused):
        save_connector(name, connector())


@pytest.mark.server
@pytest.mark.parametrize("name", ["poll", "directory-pull"])
def test_name_of_a_deployment_is_refused_except_for_one_from_the_ui(name: str, saved: None) -> None:
    save_connector("good", connector())
    for take in (lambda: save_connector(name, connector(2)), lambda: rename("good", name)):
        with pytest.raises(ConnectorRefused):
            take()
    assert list(saved_names()) == ["good"]
    connector(2).save(name)
    save_connector(name, load_connector(name))  # as a connection test does


@pytest.mark.server
def test_taken_name_and_second_connector_for_an_account_are_refused(saved: None) -> None:
    save_connector("first", connector(account_code="C1"))
    with pytest.raises(ConnectorRefused):
        save_connector("first", connector(2))
    with pytest.raises(ConnectorRefused, match="'first'"):
        save_connector("second", connector())
    by_code = connector(api="1.0", region="eu", account_code="C1", client_id="", client_secret="", **V1_KEYS)
    assert find_duplicate(by_code) == "first"
    with pytest.raises(ConnectorRefused, match="'first'"):
        save_connector("second", by_code)
    assert list(saved_names()) == ["first"]


@pytest.mark.server
def test_rename_keeps_the_id(saved: None) -> None:
    save_connector("old", connector())
    save_connector("taken", connector(2))
    with pytest.raises(ConnectorRefused):
        rename("old", "taken")
    before = load_connector("old")
    rename("old", "new")
    assert sorted(saved_names()) == ["new", "taken"]
    after = load_connector("new")
    assert after.connector_id == before.connector_id
    after.account_code = "C9"
    save_connector("new", after)  # the renamed one is the same connector, not a second for its account


@pytest.mark.server
def test_rotation_to_another_api_generation_keeps_id_and_account(saved: None) -> None:
    save_connector("account", connector(account_code="C1"))
    old = load_connector("account")
    save_connector("account", old.rotated(region="eu", **V1_KEYS))
    new = load_connector("account")
    assert isinstance(new, MimecastConnector)
    assert (new.api, new.client_id, new.client_secret.get_secret_value()) == ("1.0", "", "")
    assert (new.connector_id, new.account_code) == (old.connector_id, "C1")


@pytest.mark.server
def test_connector_from_the_ui_has_one_id_before_and_after_it_is_adopted(saved: None) -> None:
    connector().save("from-ui")
    first = load_connector("from-ui").connector_id
    assert first is not None
    assert load_all()[0]["from-ui"].connector_id == first
    assert stored_id("from-ui") is None  # reading changes nothing
    save_new_ids()
    assert stored_id("from-ui") == str(first)
    rename("from-ui", "renamed")
    assert load_connector("renamed").connector_id == first


@pytest.mark.server
def test_connector_from_the_ui_for_a_known_account_is_unusable_and_not_adopted(saved: None) -> None:
    save_connector("first", connector())
    connector().save("copy")
    save_new_ids()
    assert stored_id("copy") is None
    usable, unusable = load_all()
    assert (list(usable), list(unusable)) == (["first"], ["copy"])
    with pytest.raises(ConnectorRefused, match="'first'"):
        load_connector("copy")


@pytest.mark.server
def test_invalid_form_is_left_out_with_a_reason_without_secrets(saved: None) -> None:
    save_connector("good", connector())
    wrong = connector(2)
    wrong.client_secret = None  # type: ignore[assignment]  # the form in the UI sends null
    wrong.save("wrong")
    with pytest.raises(ConnectorRefused, match="Client secret"):
        load_connector("wrong")
    usable, unusable = load_all()
    assert (list(usable), list(unusable)) == (["good"], ["wrong"])
    assert "hush" not in unusable["wrong"]
    remove("wrong")
    assert list(saved_names()) == ["good"]


@pytest.mark.server
def test_secrets_are_hidden_by_the_api_unless_requested(saved: None) -> None:
    save_connector("account", connector())
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name("account", "mimecast-connector", include_secrets=False)
    assert "hush" not in str(document.data)


@pytest.mark.server
def test_load_and_save_inside_a_flow(saved: None) -> None:
    save_connector("account", connector())

    @flow
    def uses(name: str) -> Connector:
        loaded = load_connector(name)
        loaded.account_code = "C7"
        save_connector(name, loaded)
        return loaded

    assert uses("account").connector_id == load_connector("account").connector_id
    assert load_connector("account").account_code == "C7"
