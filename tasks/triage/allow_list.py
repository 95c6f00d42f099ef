"""The allow-list: entries that hide alerts of a hash, a sender or a sender domain, with reason, author and expiry."""

import re
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4

import polars as pl

from tasks.errors import EntryRefused
from tasks.sanitize import plain
from tasks.store.connection import Transaction
from tasks.store.id_prefix import ambiguous_prefix_message, prefix_digits
from tasks.store.store import Store, open_existing
from tasks.triage.suppression import (
    HiddenCounts,
    count_hidden,
    end_entries,
    expire_entries,
    find_matching,
    hide_matching,
)

Kind = Literal["hash", "sender", "sender_domain"]

VALUE_FORMATS = {
    "hash": (r"[0-9a-f]{64}", "64 hexadecimal digits, the SHA-256 of a file"),
    "sender": (r"\S+@\S+|<>", "an address such as ann@example.org"),
    "sender_domain": (r"[^\s@]+\.[^\s@]+", "a domain such as example.org, without @ (subdomains are not included)"),
}


class Entry(NamedTuple):
    kind: Kind
    value: str
    reason: str
    author: str
    expires_at: datetime | None = None
    tenant: str = "default"


class RemovedEntries(NamedTuple):
    entries: list[dict[str, Any]]
    shown_again: int


def preview_entry(store: Store, entry: Entry) -> HiddenCounts:
    """How many stored alerts an entry would hide. Raises EntryRefused if it cannot be added."""
    with open_existing(store) as transaction:
        entry = _validated(transaction, entry, datetime.now(UTC))
        return count_hidden(transaction, find_matching(transaction, entry.tenant, entry.kind, entry.value))


def add(store: Store, entry: Entry) -> tuple[UUID, HiddenCounts]:
    """Add an entry, which hides stored and future alerts. Returns when that is published."""
    with open_existing(store) as transaction:
        now = datetime.now(UTC)
        expire_entries(transaction, now)
        added = write_entry(transaction, entry, now)
        transaction.publish = True
    return added


def write_entry(transaction: Transaction, entry: Entry, now: datetime) -> tuple[UUID, HiddenCounts]:
    """`add` within an open transaction."""
    entry, entry_id = _validated(transaction, entry, now), uuid4()
    hidden = count_hidden(transaction, find_matching(transaction, entry.tenant, entry.kind, entry.value))
    facts = {**entry._asdict(), "entry_id": entry_id, "created_at": now}
    names, values = ", ".join(facts), ", ".join(f"${name}" for name in facts)
    transaction.run(f"INSERT INTO internal.allow_list ({names}) VALUES ({values})", facts)
    hide_matching(transaction, entry.tenant, entry.kind, entry.value, now)
    transaction.changed = True
    return entry_id, hidden


def remove(store: Store, asked: list[str]) -> RemovedEntries:
    """End entries by ID or ID prefix and show their alerts again. Returns when that is published."""
    with open_existing(store) as transaction:
        now = datetime.now(UTC)
        expire_entries(transaction, now)
        entries = [_find_one(transaction, prefix) for prefix in asked]
        ids = pl.Series("entry_id", [entry["entry_id"] for entry in entries], dtype=pl.String).unique()
        shown_again = end_entries(transaction, ids, now)
        transaction.publish = True
    return RemovedEntries(entries, shown_again)


def find_active_entry(store: Store, entry: Entry) -> str:
    """ID of the active entry with this kind and value. Raises EntryRefused."""
    with open_existing(store) as transaction:
        found = _active(transaction, entry._replace(value=_normalised(entry)), datetime(1970, 1, 1, tzinfo=UTC))
    if found is None:
        raise EntryRefused(
            f"No active entry hides the {entry.kind} '{plain(entry.value)}'. See `attachment-alerts allow-list list`."
        )
    return found


def _normalised(entry: Entry) -> str:
    """The value in the form that alerts have. Raises EntryRefused if it is invalid."""
    pattern, expected = VALUE_FORMATS[entry.kind]
    value = entry.value.strip().lower().removeprefix("@" if entry.kind == "sender_domain" else "")
    if not re.fullmatch(pattern, value):
        raise EntryRefused(f"Invalid {entry.kind} '{plain(entry.value)}'. Use {expected}.")
    return value


def _active(transaction: Transaction, entry: Entry, now: datetime) -> str | None:
    """ID of the entry for the same value that has not expired."""
    found = transaction.rows(
        "SELECT entry_id::VARCHAR FROM internal.allow_list "
        "WHERE ended_at IS NULL AND tenant = $tenant AND kind = $kind AND value = $value "
        "AND (expires_at IS NULL OR expires_at > $now)",
        {"tenant": entry.tenant, "kind": entry.kind, "value": entry.value, "now": now},
    )
    return str(found[0][0]) if found else None


def _validated(transaction: Transaction, entry: Entry, now: datetime) -> Entry:
    """The normalised entry. Raises EntryRefused."""
    entry = entry._replace(value=_normalised(entry), reason=entry.reason.strip(), author=entry.author.strip())
    if not entry.reason or not entry.author:
        raise EntryRefused(
            "The entry has no reason or no author. Give both, so that others know why the alerts are hidden."
        )
    if entry.expires_at is not None and entry.expires_at <= now:
        raise EntryRefused("The expiry is in the past. Use a later time or omit it.")
    same = _active(transaction, entry, now)
    if same is not None:
        raise EntryRefused(
            f"The entry {same[:8]} already hides this {entry.kind}. Remove it first to change its reason or expiry."
        )
    return entry


def _find_one(transaction: Transaction, asked: str) -> dict[str, Any]:
    """The active entry with this ID prefix. Raises EntryRefused."""
    digits = prefix_digits(asked)
    found = transaction.frame(
        "SELECT entry_id::VARCHAR AS entry_id, tenant, kind, value FROM internal.allow_list "
        "WHERE ended_at IS NULL AND starts_with(replace(entry_id::VARCHAR, '-', ''), $digits)",
        {"digits": digits},
    ).to_dicts()
    if not digits or not found:
        raise EntryRefused(
            f"No active entry has an ID that begins with '{plain(asked)}'. See `attachment-alerts allow-list list`."
        )
    if len(found) > 1:
        raise EntryRefused(ambiguous_prefix_message(asked, "entries", [row["entry_id"] for row in found]))
    return found[0]
