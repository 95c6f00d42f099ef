"""Connectors come into the tables when they are saved, leave the health when they are saved no more, and come back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.errors import SettingsError
from tasks.ingest.pull_session import begin
from tasks.ingest.registry import (
    find_connector_by_name,
    find_missing,
    mark_missing_removed,
    other_tenants,
    upsert_connectors,
)
from tasks.store.store import Store
from tests.scans import START, begun, content, load, rows, scan, source

ONE, TWO, THREE = source(1), source(2), source(3)
NOW = START + timedelta(days=7)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path, ONE, TWO, THREE)


def healthy(store: Store) -> list[str]:
    return [name for (name,) in rows(store, "SELECT connector FROM connector_health ORDER BY connector")]


def test_what_is_saved_no_more_is_removed_and_comes_back_by_its_poll(store: Store) -> None:
    upsert_connectors(store, [ONE])  # as one more, not as all there are
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]
    undeployed = [TWO.connector_id]
    assert find_missing(store, [ONE, THREE], undeployed) == {TWO.connector_id: TWO.name}
    mark_missing_removed(store, undeployed, undeployed)
    assert find_missing(store, [ONE, THREE], undeployed) == {}
    assert healthy(store) == [ONE.name, THREE.name]
    begin(store, TWO, NOW)
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]


def test_what_another_prefect_api_has_and_never_polled_is_not_missing(store: Store) -> None:
    assert find_missing(store, [ONE]) == {}
    mark_missing_removed(store, [TWO.connector_id])
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]


def test_what_another_prefect_api_polls_is_not_missing(store: Store) -> None:
    def attempted(minutes_ago: int) -> None:
        with store.transaction() as transaction:
            transaction.run("UPDATE internal.windows SET finished_at = $at", {
                "at": datetime.now(UTC) - timedelta(minutes=minutes_ago)
            })  # fmt: skip
            transaction.publish = True

    load(store, [[scan()]], TWO)
    attempted(59)  # polled every 15 minutes
    assert find_missing(store, [ONE, THREE]) == {}
    mark_missing_removed(store, [TWO.connector_id])  # as if the copy had not known
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]
    attempted(61)
    assert find_missing(store, [ONE, THREE]) == {TWO.connector_id: TWO.name}


def test_the_writer_is_not_asked_where_the_copy_says_it_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ONE._replace(polling=True, key_expires_at=NOW)
    upsert_connectors(store, [told])
    monkeypatch.setattr(type(store), "transaction", None)
    upsert_connectors(store, [told])
    upsert_connectors(store, [told._replace(polling=None)])
    mark_missing_removed(store, find_missing(store, [ONE, TWO, THREE]))
    for different in ([told._replace(polling=False)], [told, source(4)]):
        with pytest.raises(TypeError, match="not callable"):
            upsert_connectors(store, different)


def test_what_was_brought_for_one_tenant_keeps_the_connector_there(store: Store) -> None:
    load(store, [[scan()]], ONE)
    moved = [each._replace(tenant="other") for each in (ONE, TWO)]
    before = content(store)
    assert list(other_tenants(store, moved)) == [ONE.name]
    for call in (lambda: upsert_connectors(store, moved), lambda: begin(store, moved[0], NOW)):
        with pytest.raises(SettingsError, match=r"'connector-1'.*'default'.*'other'"):
            call()
    assert content(store) == before
    begin(store, moved[1], NOW)  # it has brought nothing yet
    assert rows(store, "SELECT connector, tenant FROM connector_health ORDER BY 1 LIMIT 2") == [
        (ONE.name, "default"), (TWO.name, "other"),
    ]  # fmt: skip


def test_a_name_belongs_to_who_got_it_last(store: Store) -> None:
    again = source(9)._replace(name=ONE.name)
    begin(store, again, NOW)
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]
    assert find_connector_by_name(store, ONE.name) == (again.connector_id, False)
    mark_missing_removed(store, [again.connector_id], [again.connector_id])
    assert find_connector_by_name(store, ONE.name) == (again.connector_id, True)  # removed last
    begin(store, ONE, NOW)
    assert find_connector_by_name(store, ONE.name) == (ONE.connector_id, False)
    assert find_connector_by_name(store, "nobody") is None
