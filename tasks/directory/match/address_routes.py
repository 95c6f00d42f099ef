"""Every address that a recipient may stand for: as it is, by a domain alias, without its tag."""

import polars as pl

from tasks.directory.formats.values import address_key

ROUTES = ("exact", "domain alias", "without tag", "domain alias, without tag")
"""Ways from a recipient to an address, tried in this order."""


def candidate_addresses(
    recipients: pl.Series, domain_aliases: dict[str, str], *, plus_addressing: bool
) -> pl.DataFrame:
    """recipient, route (place in ROUTES), address: every address that each recipient may stand for."""
    rows = (
        recipients.drop_nulls()
        .unique(maintain_order=True)
        .alias("recipient")
        .to_frame()
        .with_columns(address=address_key(pl.col("recipient")))
        .drop_nulls()
    )
    rows = rows.with_columns(
        local=pl.col("address").str.extract(r"^(.*)@"), domain=pl.col("address").str.extract(r"@([^@]*)$")
    )
    # Exchange tries the whole address first and strips from the first `+` on only if nobody has it.
    untagged = pl.when(pl.col("local").str.contains(r"^[^+]+\+")).then(pl.col("local").str.extract(r"^([^+]+)\+"))
    rows = rows.with_columns(bare=untagged if plus_addressing else pl.lit(None, pl.String))
    aliased_domain = pl.col("domain").replace_strict(domain_aliases, default=None, return_dtype=pl.String)
    rows = rows.with_columns(other=aliased_domain)
    texts = [
        pl.col("address"),
        pl.format("{}@{}", "local", "other"),
        pl.format("{}@{}", "bare", "domain"),
        pl.format("{}@{}", "bare", "other"),
    ]
    parts = [rows.select("recipient", route=pl.lit(place, pl.Int8), address=text) for place, text in enumerate(texts)]
    return pl.concat(parts).drop_nulls()
