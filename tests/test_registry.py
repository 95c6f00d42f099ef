"""Connectors come into the tables when they are saved, leave the health when they are saved no more, and come back."""

from datetime import timedelta
from pathlib import Path

import pytest

from tasks.database import Store
from tasks.errors import SettingsError
from tasks.ledger import begin
from tasks.registry import enrol, named, other_tenants
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
    enrol(store, [ONE], unusable={THREE.name})
    assert healthy(store) == [ONE.name, THREE.name]
    begin(store, TWO, NOW)
    assert healthy(store) == [ONE.name, TWO.name, THREE.name]


def test_the_writer_is_not_asked_where_the_copy_says_it_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ONE._replace(polling=True, key_expires_at=NOW)
    enrol(store, [told], unusable=())
    monkeypatch.setattr(Store, "transaction", None)
    enrol(store, [told], unusable=())
    enrol(store, [told._replace(polling=None)], unusable=())
    for different in ([told._replace(polling=False)], [told, TWO], []):
        with pytest.raises(TypeError, match="not callable"):
            enrol(store, different, unusable=())


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
    assert named(store, ONE.name) == again.connector_id
    enrol(store, [TWO], unusable={THREE.name})
    assert named(store, ONE.name) == again.connector_id  # removed last
    begin(store, ONE, NOW)
    assert named(store, ONE.name) == ONE.connector_id
    assert named(store, "nobody") is None
