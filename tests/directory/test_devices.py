"""Devices out of the sources' devices, and whose they are."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.alerts import MOMENT
from tasks.directory.merge.devices import device_people, devices, merge_devices
from tasks.directory.merge.people import merge_people
from tasks.directory.merge.references import join_ids
from tests.directory.synthetic import DEVICE_USERS, DEVICES, OBJECTS, SEEN, filled
from tests.examples import examples

Row = dict[str, Any]
LINKS = pl.Schema({**DEVICE_USERS, "valid_from": MOMENT, "gone_at": MOMENT})


def frame(rows: list[Row], schema: pl.Schema = DEVICES) -> pl.DataFrame:
    columns = {name for row in rows for name in row}
    return filled(pl.DataFrame(rows, {name: kind for name, kind in schema.items() if name in columns}), schema)


def machine(source: str, key: str, **fields: Any) -> Row:
    return {"source": source, "device_key": key, "first_seen_at": SEEN, **fields}


def together(rows: list[Row]) -> set[frozenset[str]]:
    """Which keys are one device."""
    merged = merge_devices(frame(rows))
    return {frozenset(keys) for keys in merged.group_by("device_id").agg("device_key")["device_key"].to_list()}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"entra_device_id": "d1"}, {"entra_device_id": "d1"}, True),
        ({"entra_device_id": "d1"}, {"entra_device_id": "d2"}, False),
        ({"entra_device_id": "d1", "device_name": "PC"}, {"ad_guid": "D1", "device_name": "old name"}, True),
        ({"entra_device_id": "d1", "device_name": "PC"}, {"ad_guid": "g1", "device_name": "PC"}, True),  # registered
        ({"serial_number": "PF1"}, {"serial_number": "pf1"}, True),
        ({"serial_number": "PF1", "entra_device_id": "d1"}, {"serial_number": "PF1", "entra_device_id": "d2"}, False),
        ({"device_name": "PC-1"}, {"dns_name": "pc-1.contoso.example"}, True),
        ({"device_name": "PC-1"}, {"device_name": "PC-2"}, False),
        ({"device_name": "PC-1", "entra_device_id": "d1"}, {"device_name": "PC-1", "entra_device_id": "d2"}, False),
    ],
)
def test_device_id_precedes_serial_number_precedes_host_name(one: Row, other: Row, same: bool) -> None:
    found = together([machine("intune-devices", "a", **one), machine("ad-computers", "b", **other)])
    assert (found == {frozenset("ab")}) is same


def test_ambiguous_host_name_joins_nothing() -> None:
    rows = [machine("intune-devices", key, device_name="iPhone", serial_number=f"S{key}") for key in "ab"]
    assert together([*rows, machine("graph-devices", "c", device_name="iPhone")]) == {
        frozenset("a"), frozenset("b"), frozenset("c")
    }  # fmt: skip


def test_values_by_precedence_of_sources() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    rows = frame([
        machine("ad-computers", "b", serial_number="S", os="Windows", last_seen_at=late),
        machine("intune-devices", "a", serial_number="S", device_name="PC", is_compliant=False, last_seen_at=early),
    ])  # fmt: skip
    one = devices(rows, merge_devices(rows)).row(0, named=True)
    assert (one["device_name"], one["os"], one["is_compliant"], one["last_seen_at"]) == ("PC", "Windows", False, late)
    assert one["sources"] == ["ad-computers", "intune-devices"]


def people() -> pl.DataFrame:
    rows = [
        {"source": "graph-users", "object_key": "ann", "kind": "person", "upn": "ann@contoso.example",
         "entra_id": "e1", "display_name": "Ann", "first_seen_at": SEEN},
        {"source": "graph-users", "object_key": "bob", "kind": "person", "upn": "bob@contoso.example",
         "entra_id": "e2", "display_name": "Sam", "first_seen_at": SEEN},
        {"source": "graph-users", "object_key": "cat", "kind": "person", "upn": "cat@contoso.example",
         "entra_id": "e3", "display_name": "Sam", "first_seen_at": SEEN},
        {"source": "ad", "object_key": "team", "kind": "group", "ad_dn": "cn=team,dc=x", "first_seen_at": SEEN},
    ]  # fmt: skip
    return frame(rows, OBJECTS)


@pytest.mark.parametrize(
    ("kind", "ref", "who"),
    [
        ("upn", "ANN@contoso.example", ["ann"]),
        ("entra_id", "e1", ["ann"]),
        ("name", "Ann", ["ann"]),
        ("name", "Sam", []),  # two of that name
        ("ad_dn", "cn=team,dc=x", []),  # a group that manages a computer uses none
        ("upn", "gone@contoso.example", []),
    ],
)
def test_user_of_device_by_reference(kind: str, ref: str, who: list[str]) -> None:
    machines, objects = frame([machine("intune-devices", "a", serial_number="S")]), people()
    merged = merge_people(objects)
    link = {"source": "intune-devices", "device_key": "a", "evidence": "primary_user", "ref_kind": kind, "ref": ref}
    ties = device_people(
        frame([{**link, "valid_from": SEEN}], LINKS),
        merge_devices(machines),
        join_ids(objects, merged, "object_key", "user_id"),
    )
    found = ties.join(merged, on="user_id")
    assert found["object_key"].to_list() == who
    assert ties["rank"].to_list() == [1] * len(who)


VALUES = st.sampled_from([None, "1", "2"])
ROWS = st.lists(
    st.builds(
        lambda source, device_id, serial, name: {
            "source": source, "entra_device_id": device_id, "serial_number": serial, "device_name": name,
        },
        st.sampled_from(["intune-devices", "graph-devices", "ad-computers"]), VALUES, VALUES, VALUES,
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@examples(20)
@given(ROWS, st.randoms(use_true_random=False))
def test_devices_independent_of_order_with_stable_ids_and_one_device_id(rows: list[Row], chance: Any) -> None:
    rows = [{**row, "device_key": str(place), "first_seen_at": SEEN} for place, row in enumerate(rows)]
    first = merge_devices(frame(rows)).sort("source", "device_key")
    shuffled = rows.copy()
    chance.shuffle(shuffled)
    assert merge_devices(frame(shuffled)).sort("source", "device_key").equals(first)
    known = frame(rows).drop("device_id").join(first, on=["source", "device_key"]).select(DEVICES.names())
    assert merge_devices(known).sort("source", "device_key").equals(first)
    ids = known.drop_nulls("entra_device_id").group_by("device_id").agg(pl.col("entra_device_id").n_unique())
    assert ids["entra_device_id"].to_list() == [1] * len(ids)
