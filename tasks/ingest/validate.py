"""Records → accepted records, and rejects with reasons.

Every field is an optional text; unknown fields and values never reject a record.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from tasks.alerts import MOMENT, REJECT_SCHEMA, fingerprint
from tasks.errors import AnswerNotUnderstood
from tasks.ingest.batches import Batches, Validated, drop_rows, write_batches
from tasks.ingest.record_format import RecordFormat

MAX_AHEAD = timedelta(days=1)


def record_schema(record_format: RecordFormat, now: datetime) -> pa.DataFrameSchema:
    """The rules for a product's records, after `read_dates`."""
    texts = {name: pa.Column(pl.String, nullable=True) for name in record_format.reader.fields}
    return pa.DataFrameSchema(
        {
            **texts,
            "usable": pa.Column(pl.Boolean, pa.Check.eq(True, error="not usable")),
            "detected_at": pa.Column(
                MOMENT,
                [
                    pa.Check.ge(record_format.oldest, error=f"the date lies before {record_format.oldest.year}"),
                    pa.Check.le(now + MAX_AHEAD, error="the date lies more than a day ahead"),
                ],
                nullable=True,
            ),
            "dated": pa.Column(pl.Boolean, pa.Check.eq(True, error="the date does not parse")),
            "identified": _one_filled(record_format.identifying, "empty"),
            "characteristic": _one_filled(record_format.characteristic, "missing"),
        },
        strict=False,
    )


def _one_filled(fields: Mapping[str, str], otherwise: str) -> pa.Column:
    *names, last = fields.values()
    return pa.Column(pl.Boolean, pa.Check.eq(True, error=f"{', '.join(names)} and {last} are all {otherwise}"))


def validate(
    records: Batches,
    record_format: RecordFormat,
    scratch: Path,
    connector_id: UUID,
    dangerous: list[str],
    open_rejects: frozenset[str],
    now: datetime,
) -> Validated:
    """Separate accepted records from rejects.

    `dangerous`: verdicts to look for in the text of rejects. `open_rejects`: ids of the connector's unresolved rejects.
    `now`: by the service's clock.
    """
    excluded: list[pl.Series] = []
    resolved: set[str] = set()
    unknown: set[str] = set()

    def rejected() -> Iterator[pl.DataFrame]:
        for batch in records:
            bad = find_faults(batch, record_format, now)
            excluded.append(bad["index"])
            if open_rejects:
                good = drop_rows(batch, bad["index"])
                resolved.update(open_rejects & set(good.select(_record_id(record_format, connector_id)).to_series()))
            names = batch["leftover"].drop_nulls().unique()
            unknown.update(name for text in names for name in text.split(","))
            yield to_rejects(batch[bad["index"]].hstack([bad["reason"]]), record_format, connector_id, dangerous)

    rejects = write_batches(rejected(), scratch / "rejects")
    accepted = Batches(records.parts, tuple(excluded))
    return Validated(accepted, rejects, tuple(sorted(resolved)), tuple(sorted(unknown)))


def find_faults(batch: pl.DataFrame, record_format: RecordFormat, now: datetime) -> pl.DataFrame:
    """The rows that are rejected: index (row number), reason.

    Raises AnswerNotUnderstood if the frame lacks expected columns: a defect of the program, not of a record.
    """
    rows = read_dates(batch, record_format).with_columns(
        # pandera reports values as Python datetimes, which only reach from year 1 to 9999
        detected_at=pl.col("detected_at").clip(record_format.oldest - MAX_AHEAD, now + 2 * MAX_AHEAD),
        usable=pl.col("problem").is_null(),
        identified=_any_filled(record_format.identifying),
        characteristic=_any_filled(record_format.characteristic),
        dated=pl.col("detected_at").is_not_null(),
    )
    try:
        record_schema(record_format, now).validate(rows, lazy=True)
    except SchemaErrors as failures:
        reasons = _reasons(failures.failure_cases)
        problems = batch["problem"].gather(reasons["index"])
        return reasons.with_columns(reason=pl.coalesce(problems, "reason"))
    return pl.DataFrame(schema={"index": pl.UInt32, "reason": pl.String})


def _any_filled(fields: Iterable[str]) -> pl.Expr:
    filled = (pl.col(name).str.strip_chars().str.len_bytes() > 0 for name in fields)
    return pl.any_horizontal(filled).fill_null(value=False)


def _reasons(cases: pl.DataFrame) -> pl.DataFrame:
    if cases["index"].null_count():
        raise AnswerNotUnderstood(
            f"A page has unexpected columns: {cases['check'].unique().to_list()}. Report this defect of the program."
        )
    by_row = cases.group_by(pl.col("index").cast(pl.UInt32)).agg(
        reason=pl.col("check").cast(pl.String).unique(maintain_order=True).str.join("; ")
    )
    return by_row.sort("index")


def read_dates(batch: pl.DataFrame, record_format: RecordFormat) -> pl.DataFrame:
    """Add `detected_at` (UTC) from the date in any known format; null where it does not parse."""
    date = pl.col(record_format.date)
    first = date.str.to_datetime(record_format.date_formats[0], time_unit="us", strict=False).dt.convert_time_zone(
        "UTC"
    )
    rows = batch.with_columns(detected_at=first)
    unusual = pl.col("detected_at").is_null() & date.is_not_null()
    if not rows.select(unusual.any()).item():
        return rows
    # Only unusual dates cost more: blanks, Z as the zone, no zone (UTC), fractions, a blank instead of T.
    text = date.str.strip_chars().str.replace(r"[zZ]$", "+0000")
    text = pl.when(text.str.contains(r"[+-]\d\d:?\d\d$")).then(text).otherwise(text + "+0000")
    parsed = [
        text.str.to_datetime(form, time_unit="us", strict=False).dt.convert_time_zone("UTC")
        for form in record_format.date_formats
    ]
    seconds = pl.coalesce(parsed).dt.truncate("1s")  # the identity of a scan has whole seconds
    return rows.with_columns(detected_at=pl.coalesce("detected_at", pl.when(unusual).then(seconds)))


def to_rejects(
    bad: pl.DataFrame, record_format: RecordFormat, connector_id: UUID, dangerous: list[str]
) -> pl.DataFrame:
    """REJECT_SCHEMA: the whole record, with an id that is the same each time it is received."""
    if bad.is_empty():
        return pl.DataFrame(schema=REJECT_SCHEMA)
    return bad.with_columns(raw=raw_record(record_format)).select(
        reject_id=_record_id(record_format, connector_id),
        reason="reason",
        raw="raw",
        dangerous=pl.col("raw").str.to_lowercase().str.contains_any(dangerous),
        fetched_at="fetched_at",
    )


def raw_record(record_format: RecordFormat) -> pl.Expr:
    """The record as JSON with sorted keys: the original of an unusual record, otherwise rebuilt from its fields."""
    return pl.coalesce("raw", pl.struct(sorted(record_format.reader.fields)).struct.json_encode())


def _record_id(record_format: RecordFormat, connector_id: UUID) -> pl.Expr:
    return fingerprint([pl.lit(connector_id.hex), raw_record(record_format)])
