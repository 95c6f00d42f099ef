"""Pairs of files: an export, and the expected result of its reader.

An expected result is a list of parts, or `{"refused": "file, line 2, column 3", "because": "word"}`. For a warning it
has a word or two that the text must contain: the column, the option, the count.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.directory.model import (
    ADDRESS_RULES,
    ADDRESS_SCHEMA,
    DEVICE_SCHEMA,
    DEVICE_USER_SCHEMA,
    EVIDENCE,
    KINDS,
    MEMBER_SCHEMA,
    OBJECT_SCHEMA,
    REF_KINDS,
    REJECT_SCHEMA,
    Parsed,
)
from tasks.errors import ExportRefused

SCHEMAS = {
    "objects": OBJECT_SCHEMA,
    "addresses": ADDRESS_SCHEMA,
    "members": MEMBER_SCHEMA,
    "devices": DEVICE_SCHEMA,
    "device_users": DEVICE_USER_SCHEMA,
    "rejects": REJECT_SCHEMA,
}


def as_json(parsed: Parsed) -> dict[str, Any]:
    """Without nulls and empty frames; an address as `address rule object_key`."""
    frames: dict[str, list[Any]] = {
        field: [
            {key: value for key, value in row.items() if value is not None} for row in getattr(parsed, field).to_dicts()
        ]
        for field in SCHEMAS
    }
    frames["addresses"] = [f"{row['address']} {row['rule']} {row['object_key']}" for row in frames["addresses"]]
    part = {
        "source": parsed.source,
        "family": parsed.family,
        "has_aliases": parsed.has_aliases,
        **({"aliases_lost": True} if parsed.aliases_lost else {}),
        **({} if parsed.complete else {"complete": False}),
        **{field: rows for field, rows in frames.items() if rows},
        **({"warnings": list(parsed.warnings)} if parsed.warnings else {}),
    }
    return dict(json.loads(json.dumps(part, default=str)))


def expected(path: Path) -> Any:
    return json.loads(path.with_name(f"{path.stem}.expected.json").read_text(encoding="utf-8"))


def exports(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.endswith(".expected.json"))


def assert_matches_pair(path: Path, read: Callable[[], Sequence[Parsed]]) -> None:
    pair = expected(path)
    if "refused" in pair:
        with pytest.raises(ExportRefused) as refusal:
            read()
        assert str(refusal.value).startswith(pair["refused"])
        assert pair["because"] in str(refusal.value)
        assert str(refusal.value).isprintable()
        return
    parts = read()
    assert_valid(parts)
    results = [as_json(part) for part in parts]
    for result, part in zip(results, pair, strict=True):
        words, texts = part.pop("warnings", []), result.pop("warnings", [])
        assert [word for word, text in zip(words, texts, strict=True) if word in text] == words, texts
    assert results == pair


def assert_valid(parts: Sequence[Parsed]) -> None:
    """The invariants of every reader's result."""
    for part in parts:
        for field, schema in SCHEMAS.items():
            assert getattr(part, field).schema == schema, field
        for keyed in (part.objects["object_key"], part.devices["device_key"]):
            assert keyed.is_unique().all()
            assert not keyed.has_nulls()
        for frame in (part.addresses, part.members, part.device_users):
            assert sum(frame.null_count().row(0)) == 0
        assert not part.addresses.select("object_key", "address").is_duplicated().any()
        assert set(part.objects["kind"]) <= set(KINDS)
        assert set(part.addresses["rule"]) <= set(ADDRESS_RULES)
        assert set(part.device_users["evidence"]) <= set(EVIDENCE)
        assert set(part.device_users["ref_kind"]) | set(part.members["ref_kind"]) <= set(REF_KINDS)
        assert set(part.addresses["object_key"]) <= set(part.objects["object_key"])
        assert set(part.members["group_key"]) <= set(part.objects["object_key"])
        assert set(part.device_users["device_key"]) <= set(part.devices["device_key"])
        assert not part.rejects["reason"].has_nulls()
