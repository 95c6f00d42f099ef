"""System and precedence of a source, by its name."""

import polars as pl


def system(source: str | pl.Expr = "source") -> pl.Expr:
    """`ad` for exports of Active Directory, `okta`, `google`; `entra` for all others, the same cloud directory."""
    column = pl.col(source) if isinstance(source, str) else source
    own = column.str.extract(r"^(ad|okta|google)(?:-|$)")
    return own.fill_null("entra")


def people_rank() -> pl.Expr:
    """0 Graph, 1 Entra's own files, 2 Active Directory, 3 others, which have people only as users of devices."""
    source = pl.col("source")
    graph = source.str.starts_with("graph-") & (source != "graph-managed-devices")
    return (
        pl.when(graph)
        .then(0)
        .when(source.str.starts_with("entra-"))
        .then(1)
        .when(system() == "ad")
        .then(2)
        .otherwise(3)
    )


def device_rank() -> pl.Expr:
    """0 Intune, which manages the device, 1 Entra, 2 Active Directory."""
    source = pl.col("source")
    managed = source.str.starts_with("intune-") | (source == "graph-managed-devices")
    return pl.when(managed).then(0).when(system() == "entra").then(1).otherwise(2)
