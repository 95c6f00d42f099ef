"""Recipients → people, by time.

Pure functions on frames of one tenant. A recipient is resolved once for each period in which its directory data did not
change, not once for each scan.
"""

from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl

from tasks.alerts import MOMENT
from tasks.directory.match.address_routes import ROUTES, candidate_addresses

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""A source's first import is valid from here on, because earlier directory data is unknown."""
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)

RECIPIENT_SCHEMA = pl.Schema(
    {
        "recipient": pl.String(),
        "valid_from": MOMENT,
        "valid_to": MOMENT,  # null: current
        "user_id": pl.String(),  # null when unmatched, ambiguous or a mail group
        "match_state": pl.String(),  # matched, group, ambiguous, unmatched
        "match_rule": pl.String(),
        "reason": pl.String(),  # why nobody matched
        "snapshot_at": MOMENT,
    }
)
CANDIDATE_SCHEMA = pl.Schema(
    {
        "recipient": pl.String(),
        "valid_from": MOMENT,
        "user_id": pl.String(),
        "match_rule": pl.String(),
        "match_rank": pl.Int8(),
        "matched_value": pl.String(),
        "ambiguous": pl.Boolean(),
        "snapshot_at": MOMENT,
    }
)
PERIOD = ("recipient", "valid_from")
PART = (*PERIOD, "part")


class Directory(NamedTuple):
    addresses: pl.DataFrame
    """address, user_id, rank, rule, source, valid_from, gone_at"""
    people: pl.DataFrame
    """user_id, kind, account_enabled, mail_user, last_seen_at"""
    sources: pl.DataFrame
    """source, has_aliases, aliases_lost"""
    snapshots: pl.DataFrame
    """source, imported_at, snapshot_at of every import"""
    own_domains: pl.Series
    """domains of the tenant's own people; recipients in other domains are external, not unknown"""


class ResolvedRecipients(NamedTuple):
    recipients: pl.DataFrame
    """RECIPIENT_SCHEMA: the periods of each recipient, without gaps from BEGINNING on"""
    candidates: pl.DataFrame
    """CANDIDATE_SCHEMA: the people or groups of each period; several if it is ambiguous"""


def resolve_recipients(
    recipients: pl.Series, directory: Directory, domain_aliases: dict[str, str], *, plus_addressing: bool
) -> ResolvedRecipients:
    """The best route is used, then the best rank of address, then `_break_ties`; remaining ties are ambiguous.

    The addresses of a malformed recipient with several are resolved separately. A period without a valid address uses
    the newest one, which its rule states.
    """
    distinct = recipients.drop_nulls().unique(maintain_order=True).alias("recipient").to_frame()
    asked = candidate_addresses(recipients, domain_aliases, plus_addressing=plus_addressing)
    hits = asked.join(directory.addresses, on="address")
    hits = hits.join(directory.people, on="user_id", how="left")
    hits = _with_snapshot(hits, directory.snapshots)
    periods = _periods(distinct, hits)
    chosen = _break_ties(_best_hits(_valid_hits(periods, hits)))
    chosen = chosen.unique((*PERIOD, "user_id"), keep="first", maintain_order=True)
    candidates = chosen.with_columns(ambiguous=pl.len().over(PERIOD) > 1, match_rule=_rule_text())
    summary = periods.join(_summary(candidates), on=PERIOD, how="left", maintain_order="left")
    summary = summary.with_columns(pl.col("match_state").fill_null("unmatched"))
    summary = summary.join(_domains(asked), on="recipient", how="left", maintain_order="left")
    summary = summary.with_columns(reason=_reason(directory, domain_aliases))
    return ResolvedRecipients(
        summary.select(list(RECIPIENT_SCHEMA)).cast(RECIPIENT_SCHEMA),
        candidates.rename({"rank": "match_rank", "address": "matched_value"})
        .select(list(CANDIDATE_SCHEMA))
        .cast(CANDIDATE_SCHEMA),
    )


def _with_snapshot(hits: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """The hits with `snapshot_at`: the last snapshot that had the address."""
    ends = hits.select("source", "gone_at").unique().with_columns(until=pl.col("gone_at").fill_null(FOREVER))
    last = ends.sort("until").join_asof(
        snapshots.sort("imported_at"),
        left_on="until",
        right_on="imported_at",
        by="source",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    snapshot_times = last.select("source", "gone_at", "snapshot_at")
    return hits.join(snapshot_times, on=["source", "gone_at"], how="left", nulls_equal=True)


def _periods(distinct: pl.DataFrame, hits: pl.DataFrame) -> pl.DataFrame:
    """recipient, valid_from, valid_to: a new period wherever an address of the recipient was added or removed."""
    edges = pl.concat(
        [
            distinct.select("recipient", valid_from=pl.lit(BEGINNING, MOMENT)),
            hits.select("recipient", "valid_from"),
            hits.select("recipient", valid_from="gone_at").drop_nulls(),
        ]
    )
    edges = edges.unique().sort("recipient", "valid_from")
    return edges.with_columns(valid_to=pl.col("valid_from").shift(-1).over("recipient"))


def _valid_hits(periods: pl.DataFrame, hits: pl.DataFrame) -> pl.DataFrame:
    """The valid hits of each period and part, else the newest hit, marked as `untimely`."""
    rows = periods.drop("valid_to").join(hits.rename({"valid_from": "since"}), on="recipient")
    valid = (pl.col("since") <= pl.col("valid_from")) & (
        pl.col("gone_at").is_null() | (pl.col("gone_at") > pl.col("valid_from"))
    )
    rows = rows.with_columns(untimely=~valid)
    end = pl.col("gone_at").fill_null(FOREVER)
    newest = (end == end.max().over(PART)) & (
        pl.col("since") == pl.col("since").filter(end == end.max()).max().over(PART)
    )
    return rows.filter(valid | (valid.any().over(PART).not_() & newest))


def _best_hits(rows: pl.DataFrame) -> pl.DataFrame:
    """The hits of each period and part with the best route and rank; for each person the latest."""
    rows = rows.sort(
        "recipient", "valid_from", "part", "route", "rank", "source", "user_id", -pl.col("snapshot_at").to_physical()
    )
    best = pl.struct("route", "rank") == pl.struct("route", "rank").first().over(PART)
    return rows.filter(best).unique((*PART, "user_id"), keep="first", maintain_order=True)


def _break_ties(rows: pl.DataFrame) -> pl.DataFrame:
    """Enabled over disabled, member over guest, mailbox over contact or mail user, then the latest snapshot."""
    mailbox = (pl.col("kind") != "contact") & ~pl.col("mail_user").fill_null(value=False)
    for better in (
        pl.col("account_enabled").fill_null(value=True),
        pl.col("kind") != "guest",
        mailbox,
        pl.col("last_seen_at"),
    ):
        rows = rows.filter(better.eq_missing(better.max().over(PART)))
    return rows


def _rule_text() -> pl.Expr:
    """The rule, with the route unless exact, and whether the address was not valid at the time."""
    route = pl.col("route").replace_strict(dict(enumerate(ROUTES)), return_dtype=pl.String)
    by_route = pl.when(pl.col("route") == 0).then("rule").otherwise(pl.format("{}, {}", "rule", route))
    return pl.when("untimely").then(pl.format("{}, not valid then", by_route)).otherwise(by_route)


def _summary(candidates: pl.DataFrame) -> pl.DataFrame:
    one = ~pl.col("ambiguous").any()
    group = pl.col("kind").first() == "group"
    return candidates.group_by(PERIOD, maintain_order=True).agg(
        user_id=pl.when(one & ~group).then(pl.col("user_id").first()),
        match_state=pl.when(~one)
        .then(pl.lit("ambiguous"))
        .when(group)
        .then(pl.lit("group"))
        .otherwise(pl.lit("matched")),
        match_rule=pl.col("match_rule").first(),
        snapshot_at=pl.col("snapshot_at").max(),
    )


def _domains(asked: pl.DataFrame) -> pl.DataFrame:
    """recipient, domains: of all addresses that it may mean."""
    domain = pl.col("address").str.extract(r"@([^@]*)$")
    return asked.group_by("recipient").agg(domains=domain.unique())


def _reason(directory: Directory, domain_aliases: dict[str, str]) -> pl.Expr:
    """Why nobody matched: malformed address, external domain, or unknown address with what exports lost or lack."""
    own_domains = pl.lit([*directory.own_domains, *domain_aliases], pl.List(pl.String))
    own_domain = pl.col("domains").list.set_intersection(own_domains).list.len() > 0
    lost = directory.sources.filter("aliases_lost")["source"].sort()
    if not lost.is_empty():
        unknown = f"unknown address; type names instead of aliases in {', '.join(lost)}"
    elif directory.sources["has_aliases"].any():
        unknown = "unknown address"
    else:
        unknown = "unknown address; no imported source has aliases"
    return pl.when(pl.col("match_state") == "unmatched").then(
        pl.when(pl.col("domains").is_null())
        .then(pl.lit("malformed address"))
        .when(own_domain)
        .then(pl.lit(unknown))
        .otherwise(pl.lit("external domain"))
    )
