"""The directory in the store: read what is there, write what an import made of it, look recipients up."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from tasks.directory.imports import import_log
from tasks.directory.imports.columns import IDS, insert, replace
from tasks.directory.match.address_routes import routes
from tasks.directory.match.correlation import Directory, resolve
from tasks.groups.groups import count_people
from tasks.scratch import FrameCache
from tasks.settings import Settings
from tasks.store.connection import Transaction
from tasks.store.migrations import statements

KEYS = {"objects": "object_key", "devices": "device_key"}


class Stored(NamedTuple):
    """What a tenant's directory in the store says about its imports."""

    imports: int
    """how many there were: another number on writing means that somebody else was faster"""
    held: dict[str, pl.DataFrame]
    """objects, devices → source, object_key or device_key, gone_at"""
    latest: pl.DataFrame
    """source, has_aliases, aliases_lost, digests of the newest import of each source"""
    snapshots: pl.DataFrame
    """source, imported_at, snapshot_at of every import"""
    recipients: pl.Series
    """every recipient of the tenant's scans"""


def read(transaction: Transaction, tenant: str) -> Stored:
    """What an import needs to know before it is made."""
    held = {
        field: transaction.frame(
            f"SELECT source, {key}, gone_at FROM internal.source_{field} WHERE tenant = $tenant", {"tenant": tenant}
        )
        for field, key in KEYS.items()
    }
    return Stored(
        import_log.count(transaction, tenant),
        held,
        import_log.latest(transaction, tenant),
        import_log.snapshots(transaction, tenant),
        recipients_of(transaction, tenant),
    )


def is_due(transaction: Transaction, tenant: str, settings: Settings) -> bool:
    """Whether recipients were last looked up by other settings than these."""
    sql = "SELECT settings = $settings FROM internal.correlated WHERE tenant = $tenant"
    told = transaction.rows(sql, {"tenant": tenant, "settings": _looking_up(settings)})
    return not told[0][0] if told else import_log.count(transaction, tenant) > 0


def _looking_up(settings: Settings) -> str:
    return json.dumps([sorted(settings.domain_alias_map.items()), settings.plus_addressing])


def write(transaction: Transaction, tenant: str, made: FrameCache, names: Sequence[str], settings: Settings) -> None:
    """Put these tables in the place of what was there, and count the groups anew that they say something else about."""
    transaction.run("DELETE FROM internal.correlated WHERE tenant = $tenant", {"tenant": tenant})
    transaction.run(
        "INSERT INTO internal.correlated VALUES ($tenant, $settings)",
        {"tenant": tenant, "settings": _looking_up(settings)},
    )
    changed = {table: _changed(transaction, tenant, table, made) for table in COUNTED if table in names}
    for table in names:
        replace(transaction, tenant, table, made.get(table))
    # What polls brought while this was computed.
    correlate(transaction, tenant, recipients_of(transaction, tenant), settings)
    moved = pl.concat([changed["recipients"], changed["recipient_people"]]).unique()
    people = changed.get("device_people", pl.DataFrame(schema={"user_id": pl.String}))
    mail_groups = changed.get("group_people", pl.DataFrame(schema={"group_id": pl.String}))
    (sql,) = statements("moved_groups")
    affected = transaction.frame(sql, {"tenant": tenant}, moved=moved, people=people, mail_groups=mail_groups)
    count_people(transaction, affected)


LOOKED_UP = ("recipients", "recipient_people")
COUNTED = {
    "recipients": ("recipient", "valid_from", "valid_to", "match_state"),
    "recipient_people": ("recipient", "valid_from", "user_id", "ambiguous"),
    "device_people": ("user_id", "device_id", "valid_from", "gone_at"),
    "group_people": ("group_id", "user_id"),
}
"""What the counts of a group depend on; the first column names whose groups these are."""


def _changed(transaction: Transaction, tenant: str, table: str, made: FrameCache) -> pl.DataFrame:
    """Whose rows in this table differ from those that are to take their place."""
    key, *_ = names = COUNTED[table]
    before = f"SELECT {', '.join(names)} FROM internal.{table} WHERE tenant = $tenant"
    after = f"SELECT {', '.join(f'{name}::UUID AS {name}' if name in IDS else name for name in names)} FROM rows"
    return transaction.frame(
        f"SELECT DISTINCT {key} FROM ((({before}) EXCEPT ({after})) UNION ALL (({after}) EXCEPT ({before})))",
        {"tenant": tenant},
        rows=made.get(table, *names),
    )


def recipients_of(transaction: Transaction, tenant: str) -> pl.Series:
    """Every recipient of the tenant's scans."""
    rows = transaction.frame(
        "SELECT recipient FROM internal.low_scans WHERE tenant = $tenant AND recipient IS NOT NULL "
        "UNION SELECT recipient FROM internal.alert_scans WHERE tenant = $tenant AND recipient IS NOT NULL "
        "ORDER BY recipient",
        {"tenant": tenant},
    )
    return rows["recipient"]


def correlate(transaction: Transaction, tenant: str, recipients: pl.Series, settings: Settings) -> None:
    """Look up those recipients that were never looked up before; nothing where no directory was imported."""
    if not import_log.count(transaction, tenant):
        return
    new = transaction.frame(
        "SELECT recipient FROM asked ANTI JOIN (SELECT recipient FROM internal.recipients WHERE tenant = $tenant) "
        "USING (recipient)",
        {"tenant": tenant},
        asked=recipients.drop_nulls().unique().alias("recipient").to_frame(),
    )["recipient"]
    if new.is_empty():
        return
    asked = routes(new, settings.domain_alias_map, plus_addressing=settings.plus_addressing)
    resolved = resolve(
        new,
        directory(transaction, tenant, asked),
        settings.domain_alias_map,
        plus_addressing=settings.plus_addressing,
    )
    for table, rows in (("recipients", resolved.recipients), ("recipient_people", resolved.candidates)):
        insert(transaction, table, rows.with_columns(tenant=pl.lit(tenant)))


def directory(transaction: Transaction, tenant: str, asked: pl.DataFrame) -> Directory:
    """The part of the stored directory that these addresses can meet."""
    addresses = transaction.frame(
        "SELECT address, user_id::VARCHAR AS user_id, rank, rule, source, valid_from, gone_at FROM internal.addresses "
        "SEMI JOIN asked USING (address) WHERE tenant = $tenant",
        {"tenant": tenant},
        asked=asked.select("address").unique(),
    )
    people = transaction.frame(
        "SELECT p.user_id::VARCHAR AS user_id, kind, account_enabled, mail_user, last_seen_at "
        "FROM internal.people p "
        "SEMI JOIN (SELECT user_id::UUID AS user_id FROM known) USING (user_id) WHERE tenant = $tenant",
        {"tenant": tenant},
        known=addresses.select("user_id").unique(),
    )
    domains = transaction.frame("SELECT domain FROM internal.own_domains WHERE tenant = $tenant", {"tenant": tenant})
    latest = import_log.latest(transaction, tenant).drop("digests")
    return Directory(addresses, people, latest, import_log.snapshots(transaction, tenant), domains["domain"])
