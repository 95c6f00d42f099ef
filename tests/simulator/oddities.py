"""Rare records that a client may not expect: they occur in real answers, or may occur."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulator.rows import Row

Record = dict[str, Any]


def _without(*names: str) -> Callable[[Record], Record]:
    return lambda record: {key: value for key, value in record.items() if key not in names}


def _with(**fields: str | None) -> Callable[[Record], Record]:
    return lambda record: record | fields


def _rename_action(record: Record) -> Record:
    return {("actiontriggered" if key == "actionTriggered" else key): value for key, value in record.items()}


_ODDITIES: tuple[Callable[[Record], Record], ...] = (
    _with(result="suspicious macro"),  # an undocumented verdict
    _with(actionTriggered="detain, escalate"),  # an unknown action
    _with(senderAddress="<>"),  # the null sender of bounces
    _with(subject="", definition=""),
    _with(subject=None),
    _with(details="Safe \r\nTime taken: 0 hrs, 0 min, 7 sec"),  # older rows are not padded
    _with(fileType="application/vnd.openxmlformats-officedocument.presentationml"),  # the vendor cuts long types
    _without("messageId"),
    _without("messageId", "subject", "definition"),  # the older documented record
    _without("fileHash"),
    _without("result"),
    _rename_action,
    lambda record: record | {"fileHash": record["fileHash"].upper()},
    lambda record: record | {"threatScore": "17"},  # a field of some later release
)


def maybe_odd(rng: Random, row: Row, share: float) -> Row:
    """The row itself, or for `share` of them one with an oddity."""
    if rng.random() >= share:
        return row
    oddity = _ODDITIES[int(rng.random() * len(_ODDITIES))]
    return row._replace(record=oddity(row.record), changes=())
