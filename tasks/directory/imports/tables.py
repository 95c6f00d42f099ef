"""The directory in the store: read, write, match recipients."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from tasks.directory.imports import import_log
from tasks.directory.imports.columns import IDS, insert_rows, replace_rows
from tasks.directory.match.address_routes import ROUTES, candidate_addresses
from tasks.directory.match.correlation import Directory, resolve_recipients
from tasks.groups.groups import count_people
from tasks.scratch import FrameCache
from tasks.settings import Settings
from tasks.store.connection import Transaction
from tasks.store.migrations import statements

KEYS = {"objects": "object_key", "devices": "device_key"}


class StoredDirectory(NamedTuple):
    """What an import needs to know of a tenant's stored directory."""

    imports: int
    """their number; another number on writing means that another import finished first"""
    held: dict[str, pl.DataFrame]
    """objects, devices → source, object_key or device_key, gone_at"""
    latest: pl.DataFrame
    """source, has_aliases, aliases_lost, digests of the newest import of each source"""
    snapshots: pl.DataFrame
    """source, imported_at, snapshot_at of every import"""
    recipients: pl.Series
    """every recipient of the tenant's scans"""


def read_stored(transaction: Transaction, tenant: str) -> StoredDirectory:
    held = {
        field: transaction.frame(
            f"SELECT source, {key}, gone_at FROM internal.source_{field} WHERE tenant = $tenant", {"tenant": tenant}
        )
        for field, key in KEYS.items()
    }
    return StoredDirectory(
        import_log.count_imports(transaction, tenant),
        held,
        import_log.latest_imports(transaction, tenant),
        import_log.snapshots(transaction, tenant),
        read_recipients(transaction, tenant),
    )


def is_matching_outdated(transaction: Transaction, tenant: str, settings: Settings) -> bool:
    """Whether recipients were last matched with other settings."""
    sql = "SELECT settings = $settings FROM internal.correlated WHERE tenant = $tenant"
    rows = transaction.rows(sql, {"tenant": tenant, "settings": _match_settings(settings)})
    return not rows[0][0] if rows else import_log.count_imports(transaction, tenant) > 0


def _match_settings(settings: Settings) -> str:
    """Also the routes: a version with others matches again."""
    return json.dumps([sorted(settings.domain_alias_map.items()), settings.plus_addressing, ROUTES])


def write_tables(
    transaction: Transaction, tenant: str, tables: FrameCache, names: Sequence[str], settings: Settings
) -> None:
    """Replace these tables, and update the counts of the groups that they affect."""
    transaction.run("DELETE FROM internal.correlated WHERE tenant = $tenant", {"tenant": tenant})
    transaction.run(
        "INSERT INTO internal.correlated VALUES ($tenant, $settings)",
        {"tenant": tenant, "settings": _match_settings(settings)},
    )
    changed = {table: _changed_keys(transaction, tenant, table, tables) for table in COUNTED_COLUMNS if table in names}
    for table in names:
        replace_rows(transaction, tenant, table, tables.get(table))
    # Recipients of polls that ran while this was computed.
    match_new_recipients(transaction, tenant, read_recipients(transaction, tenant), settings)
    changed_recipients = pl.concat([changed["recipients"], changed["recipient_people"]]).unique()
    people = changed.get("device_people", pl.DataFrame(schema={"user_id": pl.String}))
    mail_groups = changed.get("group_people", pl.DataFrame(schema={"group_id": pl.String}))
    (sql,) = statements("moved_groups")
    affected = transaction.frame(
        sql, {"tenant": tenant}, moved=changed_recipients, people=people, mail_groups=mail_groups
    )
    count_people(transaction, affected)


MATCH_TABLES = ("recipients", "recipient_people")
COUNTED_COLUMNS = {
    "recipients": ("recipient", "valid_from", "valid_to", "match_state"),
    "recipient_people": ("recipient", "valid_from", "user_id", "ambiguous"),
    "device_people": ("user_id", "device_id", "valid_from", "gone_at"),
    "group_people": ("group_id", "user_id"),
}
"""The columns that counts of groups depend on; the first one identifies the affected groups."""


def _changed_keys(transaction: Transaction, tenant: str, table: str, tables: FrameCache) -> pl.DataFrame:
    """Values of the first of COUNTED_COLUMNS whose rows will change."""
    names = COUNTED_COLUMNS[table]
    before = f"SELECT {', '.join(names)} FROM internal.{table} WHERE tenant = $tenant"
    after = f"SELECT {', '.join(f'{name}::UUID AS {name}' if name in IDS else name for name in names)} FROM rows"
    return transaction.frame(
        f"SELECT DISTINCT {names[0]} FROM ((({before}) EXCEPT ({after})) UNION ALL (({after}) EXCEPT ({before})))",
        {"tenant": tenant},
        rows=tables.get(table, *names),
    )


def read_recipients(transaction: Transaction, tenant: str) -> pl.Series:
    """Every recipient of the tenant's scans."""
    rows = transaction.frame(
        "SELECT recipient FROM internal.low_scans WHERE tenant = $tenant AND recipient IS NOT NULL "
        "UNION SELECT recipient FROM internal.alert_scans WHERE tenant = $tenant AND recipient IS NOT NULL "
        "ORDER BY recipient",
        {"tenant": tenant},
    )
    return rows["recipient"]


def match_new_recipients(transaction: Transaction, tenant: str, recipients: pl.Series, settings: Settings) -> None:
    """Match recipients that were never matched before; does nothing without an imported directory."""
    if not import_log.count_imports(transaction, tenant):
        return
    new = transaction.frame(
        "SELECT recipient FROM scanned ANTI JOIN (SELECT recipient FROM internal.recipients WHERE tenant = $tenant) "
        "USING (recipient)",
        {"tenant": tenant},
        scanned=recipients.drop_nulls().unique().alias("recipient").to_frame(),
    )["recipient"]
    if new.is_empty():
        return
    candidates = candidate_addresses(new, settings.domain_alias_map, plus_addressing=settings.plus_addressing)
    resolved = resolve_recipients(
        new,
        read_directory(transaction, tenant, candidates),
        settings.domain_alias_map,
        plus_addressing=settings.plus_addressing,
    )
    for table, rows in (("recipients", resolved.recipients), ("recipient_people", resolved.candidates)):
        insert_rows(transaction, table, rows.with_columns(tenant=pl.lit(tenant)))


def read_directory(transaction: Transaction, tenant: str, candidates: pl.DataFrame) -> Directory:
    """The part of the stored directory with these addresses."""
    addresses = transaction.frame(
        "SELECT address, user_id::VARCHAR AS user_id, rank, rule, source, valid_from, gone_at FROM internal.addresses "
        "SEMI JOIN candidate_addresses USING (address) WHERE tenant = $tenant",
        {"tenant": tenant},
        candidate_addresses=candidates.select("address").unique(),
    )
    people = transaction.frame(
        "SELECT p.user_id::VARCHAR AS user_id, kind, account_enabled, mail_user, last_seen_at "
        "FROM internal.people p "
        "SEMI JOIN (SELECT user_id::UUID AS user_id FROM matched) USING (user_id) WHERE tenant = $tenant",
        {"tenant": tenant},
        matched=addresses.select("user_id").unique(),
    )
    domains = transaction.frame("SELECT domain FROM internal.own_domains WHERE tenant = $tenant", {"tenant": tenant})
    latest = import_log.latest_imports(transaction, tenant).drop("digests")
    return Directory(addresses, people, latest, import_log.snapshots(transaction, tenant), domains["domain"])
