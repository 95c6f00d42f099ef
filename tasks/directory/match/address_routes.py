"""The addresses that a recipient may mean: exact, by a domain alias, without its tag."""

import polars as pl

from tasks.directory.formats.values import address_key

ROUTES = ("exact", "domain alias", "without tag", "domain alias, without tag")
"""in order of precedence"""


def candidate_addresses(
    recipients: pl.Series, domain_aliases: dict[str, str], *, plus_addressing: bool
) -> pl.DataFrame:
    """recipient, route (index in ROUTES), address."""
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
    # Exchange tries the full address first and strips the part from the first `+` only if nobody has it.
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
