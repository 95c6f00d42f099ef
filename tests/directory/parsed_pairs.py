"""Pairs of files: an export, and what a reader makes of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.directory.model import (
    ADDRESS_SCHEMA,
    DEVICE_SCHEMA,
    DEVICE_USER_SCHEMA,
    KINDS,
    MEMBER_SCHEMA,
    OBJECT_SCHEMA,
    REF_KINDS,
    REJECT_SCHEMA,
    Parsed,
)

SCHEMAS = {
    "objects": OBJECT_SCHEMA,
    "addresses": ADDRESS_SCHEMA,
    "members": MEMBER_SCHEMA,
    "devices": DEVICE_SCHEMA,
    "device_users": DEVICE_USER_SCHEMA,
    "rejects": REJECT_SCHEMA,
}


def told(parsed: Parsed) -> dict[str, Any]:
    """Everything a part says, as JSON has it: no nulls, no empty frames, an address as `address rule object_key`."""
    frames: dict[str, list[Any]] = {
        field: [
            {key: value for key, value in row.items() if value is not None} for row in getattr(parsed, field).to_dicts()
        ]
        for field in SCHEMAS
    }
    frames["addresses"] = [f"{row['address']} {row['rule']} {row['object_key']}" for row in frames["addresses"]]
    filled = {field: rows for field, rows in frames.items() if rows}
    notes = {"warnings": list(parsed.warnings)} if parsed.warnings else {}
    lost = {"aliases_lost": True} if parsed.aliases_lost else {}
    part = {} if parsed.complete else {"complete": False}
    text = json.dumps(
        {"source": parsed.source, "has_aliases": parsed.has_aliases, **lost, **part, **filled, **notes}, default=str
    )
    return dict(json.loads(text))


def expected(path: Path) -> Any:
    return json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))


def exports(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.endswith(".expected.json"))


def assert_valid(parts: Sequence[Parsed]) -> None:
    """What any reader owes its callers, whatever the file."""
    for part in parts:
        for field, schema in SCHEMAS.items():
            assert getattr(part, field).schema == schema
        objects = part.objects
        assert objects["object_key"].null_count() == 0
        assert objects["object_key"].is_unique().all()
        assert objects["kind"].is_in(KINDS).all()
        assert part.addresses["object_key"].is_in(objects["object_key"].implode()).all()
        assert not part.addresses.select("object_key", "address").is_duplicated().any()
        assert part.members["group_key"].is_in(objects["object_key"].implode()).all()
        assert part.members["ref_kind"].is_in(REF_KINDS).all()
        assert part.members["ref"].null_count() == 0
        assert part.devices["device_key"].is_unique().all()
        assert part.device_users["device_key"].is_in(part.devices["device_key"].implode()).all()
        assert part.rejects.select("row", "reason").null_count().sum_horizontal().item() == 0
