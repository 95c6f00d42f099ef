"""Connectors come into the tables when they are saved, leave the health when they are saved no more, and come back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.errors import SettingsError
from tasks.ingest.pull_session import begin
from tasks.ingest.registry import enrol, missing, named, other_tenants, retire
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
    enrol(store, [ONE])  # as one more, not as all there are
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]
    undeployed = [TWO.connector_id]
    assert missing(store, [ONE, THREE], undeployed) == {TWO.connector_id: TWO.name}
    retire(store, undeployed, undeployed)
    assert missing(store, [ONE, THREE], undeployed) == {}
    assert healthy(store) == [ONE.name, THREE.name]
    begin(store, TWO, NOW)
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]


def test_what_another_prefect_api_has_and_never_polled_is_not_missing(store: Store) -> None:
    assert missing(store, [ONE]) == {}
    retire(store, [TWO.connector_id])
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
    assert missing(store, [ONE, THREE]) == {}
    retire(store, [TWO.connector_id])  # as if the copy had not known
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]
    attempted(61)
    assert missing(store, [ONE, THREE]) == {TWO.connector_id: TWO.name}


def test_the_writer_is_not_asked_where_the_copy_says_it_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ONE._replace(polling=True, key_expires_at=NOW)
    enrol(store, [told])
    monkeypatch.setattr(Store, "transaction", None)
    enrol(store, [told])
    enrol(store, [told._replace(polling=None)])
    retire(store, missing(store, [ONE, TWO, THREE]))
    for different in ([told._replace(polling=False)], [told, source(4)]):
        with pytest.raises(TypeError, match="not callable"):
            enrol(store, different)


def test_what_was_brought_for_one_tenant_keeps_the_connector_there(store: Store) -> None:
    load(store, [[scan()]], ONE)
    moved = [each._replace(tenant="other") for each in (ONE, TWO)]
    before = content(store)
    assert list(other_tenants(store, moved)) == [ONE.name]
    for call in (lambda: enrol(store, moved), lambda: begin(store, moved[0], NOW)):
        with pytest.raises(SettingsError, match=r"'connector-1' belongs to the tenant 'default'.* save one of its own"):
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
    assert named(store, ONE.name) == (again.connector_id, False)
    retire(store, [again.connector_id], [again.connector_id])
    assert named(store, ONE.name) == (again.connector_id, True)  # removed last
    begin(store, ONE, NOW)
    assert named(store, ONE.name) == (ONE.connector_id, False)
    assert named(store, "nobody") is None
