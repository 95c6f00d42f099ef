"""Apply the current maps to stored scans, by kind of scan rather than scan by scan.

Scans of one kind (same verdict, response and priority) change in the same way, so each kind is evaluated once, by the
same rule as a record that is fetched today (`tasks.ingest.upsert`): once an alert, always an alert.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import UUID

import polars as pl

from tasks.alerts import MOMENT, PRIORITY_COLUMNS, SCAN_SCHEMA
from tasks.ingest.scan_rows import STORED_SCHEMA
from tasks.ingest.upsert import merge_versions
from tasks.priority import NO_VERDICT, Maps, prioritise, respond
from tasks.store.connection import Connection, Transaction

Map = Literal["priorities", "responses"]

JUDGED_SCANS = """
    SELECT
        scan_id, detected_at, connector_id, tenant, false AS is_alert, false AS cleared, verdict, false AS dangerous,
        'low' AS priority, 9::TINYINT AS priority_rank, priority_rule, sub_classification, response, disposition
    FROM internal.low_scans
    UNION ALL
    SELECT
        scan_id, detected_at, connector_id, tenant, true, cleared_at IS NOT NULL, verdict, dangerous,
        priority, priority_rank, priority_rule, sub_classification, response, disposition
    FROM internal.alert_scans
"""
KIND = (
    "connector_id", "tenant", "is_alert", "cleared", "verdict", "dangerous", "priority", "priority_rank",
    "priority_rule", "sub_classification", "response", "disposition",
)  # fmt: skip
SAME_KIND = " AND ".join(
    f"s.{name} IS NOT DISTINCT FROM k.{name}" for name in KIND if name not in {"connector_id", "tenant"}
)
"""Condition that a scan of a connector and tenant is of a kind."""
STAYS_LOW = ~pl.col("is_alert") & ~pl.col("new_alert")
ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # only null or not null matters


class CurrentRules(NamedTuple):
    """The rules that apply to a connector's records today."""

    maps: Maps
    what: frozenset[Map]
    """the maps that are applied"""
    no_verdict_known: bool
    """if not, as for a removed connector, its scans without a verdict stay unchanged"""


RulesOf = Callable[[str], CurrentRules]
"""The rules of a connector, by its ID."""


def find_changed_kinds(database: Connection, rules_of: RulesOf) -> pl.DataFrame:
    """KIND, scans and example of the kinds that the current rules change, with the new values (`new_…`)."""
    kinds = database.frame(
        "SELECT * EXCLUDE (scan_id, detected_at) REPLACE (connector_id::VARCHAR AS connector_id), "
        f"count(*) AS scans, min(scan_id)::VARCHAR AS example FROM ({JUDGED_SCANS}) GROUP BY ALL"
    )
    owners = kinds["connector_id"].unique().sort()
    changed = [_changed_kinds(kinds.filter(pl.col("connector_id") == owner), rules_of(owner)) for owner in owners]
    return pl.concat(changed) if changed else _changed_kinds(kinds, None)


def _changed_kinds(kinds: pl.DataFrame, rules: CurrentRules | None) -> pl.DataFrame:
    numbered = kinds.with_columns(scan_id=pl.int_range(pl.len()).cast(pl.String))
    stored = _as_stored(numbered)
    judged = apply_rules(stored, rules) if rules else stored.select(list(SCAN_SCHEMA))
    outcome = merge_versions(judged, stored, keep_low=True, now=ANY_TIME)
    updated = pl.concat([outcome.lows, outcome.alerts]).select(
        "scan_id",
        new_alert=pl.col("raised_at").is_not_null(),
        new_cleared=pl.col("cleared_at").is_not_null(),
        **{f"new_{name}": pl.col(name) for name in (*PRIORITY_COLUMNS, "disposition")},
    )
    return numbered.join(updated, on="scan_id", maintain_order="left").drop("scan_id")


def _as_stored(kinds: pl.DataFrame) -> pl.DataFrame:
    """One stored scan per kind."""
    moment = pl.lit(ANY_TIME, MOMENT)
    rows = kinds.with_columns(
        detected_at=moment,
        fetched_at=moment,
        place=pl.lit(-1, pl.Int64),
        first_loaded_at=moment,
        last_changed_at=moment,
        raised_at=pl.when("is_alert").then(moment),
        cleared_at=pl.when("cleared").then(moment),
    )
    empty = [pl.lit(None, kind).alias(name) for name, kind in STORED_SCHEMA.items() if name not in rows.columns]
    return rows.with_columns(empty).select(list(STORED_SCHEMA)).cast(STORED_SCHEMA)


def apply_rules(stored: pl.DataFrame, rules: CurrentRules) -> pl.DataFrame:
    """Stored scans (STORED_SCHEMA) as fetching the same record today would return them: SCAN_SCHEMA."""
    # A cleared alert shows the meaning of its highest verdict; its current one is low.
    current = pl.when(pl.col("cleared_at").is_not_null()).then(pl.lit("low")).otherwise("priority")
    rows = stored.with_columns(priority=current, place=pl.lit(0, pl.Int64))
    if "responses" in rules.what:
        rows, _ = respond(rows.drop("disposition"), rules.maps)
    if "priorities" in rules.what:
        judgement = (*PRIORITY_COLUMNS, "dangerous")
        rows, _ = prioritise(rows.rename({name: f"stored_{name}" for name in judgement}), rules.maps)
        unchanged = (pl.col("sub_classification") == NO_VERDICT) & (not rules.no_verdict_known)
        rows = rows.with_columns(
            pl.when(unchanged).then(f"stored_{name}").otherwise(name).alias(name) for name in judgement
        )
    return rows.select(list(SCAN_SCHEMA)).cast(SCAN_SCHEMA)


def rewrite_low_scans(
    transaction: Transaction, connector_id: UUID, tenant: str, kinds: pl.DataFrame, now: datetime
) -> None:
    """Update scans that stay without an alert to the new values of their kinds (`find_changed_kinds`).

    No group, exposure or ID depends on them, so two statements update millions of rows.
    """
    own = {"id": connector_id, "tenant": tenant, "now": now}
    of_kind = (
        "s.connector_id = $id AND s.tenant = $tenant AND s.verdict = k.verdict AND s.priority_rule = k.priority_rule "
        "AND s.sub_classification = k.sub_classification AND s.response IS NOT DISTINCT FROM k.response "
        "AND s.disposition = k.disposition"
    )
    transaction.run(
        "INSERT INTO internal.scan_changes "
        "SELECT s.tenant, s.scan_id, 'disposition', k.disposition, k.new_disposition, $now "
        f"FROM internal.low_scans s JOIN kinds k ON {of_kind} WHERE k.disposition <> k.new_disposition",
        own,
        kinds=kinds,
    )
    transaction.run(
        "UPDATE internal.low_scans s SET priority_rule = k.new_priority_rule, last_changed_at = $now, "
        "sub_classification = k.new_sub_classification, disposition = k.new_disposition "
        f"FROM kinds k WHERE {of_kind}",
        own,
        kinds=kinds,
    )
    transaction.changed = True
