"""Our words as schemas: the columns of scans and rejects between transform and load.

Frames that cross a stage have exactly these columns, so a connector's transform and the shared load agree by name.
"""

import polars as pl
import polars_hash  # noqa: F401 - adds the `chash` namespace to expressions

MOMENT = pl.Datetime("us", "UTC")

SCAN_SCHEMA = pl.Schema(
    {
        "scan_id": pl.String(),  # 32 hex digits
        "detected_at": MOMENT,  # in whole seconds, as identity knows it
        "verdict": pl.String(),
        "dangerous": pl.Boolean(),
        "priority": pl.String(),
        "priority_rank": pl.Int8(),
        "priority_rule": pl.String(),
        "sub_classification": pl.String(),
        "response": pl.String(),
        "disposition": pl.String(),
        "file_sha256": pl.String(),
        "file_name": pl.String(),
        "file_type": pl.String(),
        "sender": pl.String(),
        "recipient": pl.String(),
        "subject": pl.String(),
        "message_id": pl.String(),
        "route": pl.String(),
        "definition": pl.String(),
        "details": pl.String(),
        "scan_seconds": pl.Int32(),
        "raw": pl.String(),
        "fetched_at": MOMENT,  # when the page was requested: later news wins
        "place": pl.Int64(),  # place in the answers of the slice: decides within a page
    }
)

REJECT_SCHEMA = pl.Schema(
    {
        "reject_id": pl.String(),  # 32 hex digits
        "reason": pl.String(),
        "raw": pl.String(),
        "dangerous": pl.Boolean(),
        "fetched_at": MOMENT,
    }
)

# What a later reading of the same record may change. The rest of the record is its identity.
CHANGING = (
    "verdict",
    "response",
    "file_type",
    "subject",
    "route",
    "definition",
    "details",
    "scan_seconds",
)

# Kept of scans that raise no alert only if the site asks for it (design: Privacy).
PRIVATE = ("subject", "details", "raw")

JUDGED = ("priority", "priority_rank", "priority_rule", "sub_classification")

LEVELS = {"low": 0, "medium": 1, "high": 2}


def scan_id(
    connector_id: pl.Expr,
    message_id: pl.Expr,
    sender: pl.Expr,
    recipient: pl.Expr,
    file_name: pl.Expr,
    file_hash: pl.Expr,
    date: pl.Expr,
) -> pl.Expr:
    """Identity of a scan (design: Identity). Texts as the vendor sent them; `date` is a UTC datetime.

    Normalised here and nowhere else: blanks trimmed, addresses and hash lower-cased, date as epoch seconds.
    """
    return fingerprint(
        [
            connector_id,
            message_id.str.strip_chars(),
            sender.str.strip_chars().str.to_lowercase(),
            recipient.str.strip_chars().str.to_lowercase(),
            file_name.str.strip_chars(),
            file_hash.str.strip_chars().str.to_lowercase(),
            date.dt.epoch("s"),
        ]
    )


def fingerprint(parts: list[pl.Expr]) -> pl.Expr:
    """First 128 bits of SHA-256 over `parts`, each with its length in bytes before it, as 32 hex digits.

    The lengths keep ("ab", "c") and ("a", "bc") apart. Null counts as empty (design: Identity).
    """
    texts = [part.cast(pl.String).fill_null("") for part in parts]
    prefixed = [piece for text in texts for piece in (text.str.len_bytes().cast(pl.String), pl.lit(":"), text)]
    digest: pl.Expr = pl.concat_str(prefixed).chash.sha2_256()  # type: ignore[attr-defined]
    return digest.str.slice(0, 32)
