"""The store's table of connectors: registered, changed, removed from the health, and registered again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.errors import SettingsError
from tasks.ingest.pull_session import begin
from tasks.ingest.registry import (
    connector_names,
    find_connector_by_name,
    mark_removed,
    other_tenants,
    rename_connector,
    upsert_connectors,
    with_current_name,
)
from tasks.settings import Settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tests.scans import START, begun, content, load, rows, scan, source

ONE, TWO, THREE = source(1), source(2), source(3)
NOW = START + timedelta(days=7)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path, ONE, TWO, THREE)


def healthy(store: Store) -> list[str]:
    return [name for (name,) in rows(store, "SELECT connector FROM connector_health ORDER BY connector")]


def test_removed_connector_leaves_the_health_until_its_next_poll(store: Store) -> None:
    upsert_connectors(store, [ONE])  # one of several
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]
    mark_removed(store, TWO.connector_id, datetime.now(UTC))
    assert connector_names(store) == {each.connector_id: each.name for each in (ONE, THREE)}
    assert healthy(store) == [ONE.name, THREE.name]
    begin(store, TWO, NOW)
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]


def test_no_connector_has_a_name_before_the_first_publication(tmp_path: Path) -> None:
    assert connector_names(open_store(Settings(home=tmp_path))) == {}


def test_renamed_connector_has_its_new_name_in_tables_and_runs(store: Store) -> None:
    rename_connector(store, TWO.connector_id, "new-name")
    assert connector_names(store)[TWO.connector_id] == "new-name"
    assert with_current_name(store, TWO) == TWO._replace(name="new-name")
    assert with_current_name(store, source(9)) == source(9)


def test_setting_for_scans_without_verdict_is_stored_and_changed(store: Store) -> None:
    def stored() -> list[tuple[str | None]]:
        return rows(store, "SELECT no_verdict FROM internal.connectors ORDER BY name")

    assert stored() == [(None,)] * 3
    upsert_connectors(store, [ONE._replace(no_verdict="low"), TWO._replace(no_verdict="medium")])
    begin(store, TWO._replace(no_verdict="low"), NOW)
    assert stored() == [("low",), ("low",), (None,)]


def test_store_is_not_opened_for_writing_if_the_copy_is_up_to_date(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = ONE._replace(polling=True, key_expires_at=NOW)
    upsert_connectors(store, [current])
    monkeypatch.setattr(type(store), "transaction", None)
    upsert_connectors(store, [current])
    upsert_connectors(store, [current._replace(polling=None)])
    for different in ([current._replace(polling=False)], [current, source(4)]):
        with pytest.raises(TypeError, match="not callable"):
            upsert_connectors(store, different)


def test_connector_with_data_is_not_moved_to_another_tenant(store: Store) -> None:
    load(store, [[scan()]], ONE)
    moved = [connector._replace(tenant="other") for connector in (ONE, TWO)]
    before = content(store)
    assert list(other_tenants(store, moved)) == [ONE.name]
    for call in (lambda: upsert_connectors(store, moved), lambda: begin(store, moved[0], NOW)):
        with pytest.raises(SettingsError, match=r"'connector-1'.*'default'.*'other'"):
            call()
    assert content(store) == before
    begin(store, moved[1], NOW)  # it has no data yet
    assert rows(store, "SELECT connector, tenant FROM connector_health ORDER BY 1 LIMIT 2") == [
        (ONE.name, "default"), (TWO.name, "other"),
    ]  # fmt: skip


def test_name_belongs_to_the_connector_that_got_it_last(store: Store) -> None:
    again = source(9)._replace(name=ONE.name)
    begin(store, again, NOW)
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]
    assert find_connector_by_name(store, ONE.name) == (again.connector_id, False)
    mark_removed(store, again.connector_id, datetime.now(UTC))
    assert find_connector_by_name(store, ONE.name) == (again.connector_id, True)  # removed last
    begin(store, ONE, NOW)
    assert find_connector_by_name(store, ONE.name) == (ONE.connector_id, False)
    assert find_connector_by_name(store, "nobody") is None
