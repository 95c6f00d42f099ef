"""Verdict → priority, response → disposition. Both maps are data: `data/priorities.csv`, `data/responses.csv`.

Comparison ignores case and surrounding blanks. A verdict or action that no row names is mapped to the
unrecognised row or to `unknown` and reported once per run.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl

from tasks.errors import SettingsError
from tasks.settings import Settings

# Lists sort by rank: most urgent first, scans without a verdict last within medium, low never listed.
RANKS = {"high": 1, "medium": 2, "low": 9}
RANK_NO_VERDICT = 3
NO_VERDICT = "No verdict"
UNRECOGNISED = "*"

# Worst first; a group shows its worst. A delivered attachment outranks everything that was stopped.
DISPOSITIONS = ("released", "no_action", "unknown", "delayed", "sanitised", "removed", "blocked", "held")


class Maps(NamedTuple):
    """Both maps of a site, ready for a join."""

    priorities: pl.DataFrame
    """verdict, priority, priority_rank, sub_classification, dangerous, priority_rule"""
    responses: pl.DataFrame
    """action, disposition_rank"""


def load_maps(settings: Settings, no_verdict: Literal["medium", "low"] = "medium") -> Maps:
    """Read both maps; `no_verdict` is the connector's choice for timeout, error and missing.

    Raises SettingsError naming file and fault.
    """
    return Maps(
        _read_priorities(settings.data_file("priorities.csv"), no_verdict),
        _read_responses(settings.data_file("responses.csv")),
    )


def _read_priorities(path: Path, no_verdict: str) -> pl.DataFrame:
    rows = _read(path, ["verdict", "priority", "sub_classification", "dangerous", "rule_id"])
    _require(path, rows["priority"].is_in(list(RANKS)).all(), f"priority must be one of {', '.join(RANKS)}")
    _require(path, rows["dangerous"].is_in(["true", "false"]).all(), "dangerous must be true or false")
    _require(path, UNRECOGNISED in rows["verdict"], f"missing row for the verdict {UNRECOGNISED} (all others)")
    undecided = pl.col("sub_classification") == NO_VERDICT
    if no_verdict == "low":  # else the file decides: a site may have made it high
        rows = rows.with_columns(priority=pl.when(undecided).then(pl.lit("low")).otherwise("priority"))
    harmless = (pl.col("dangerous") == "true") & (pl.col("priority") == "low")
    _require(path, rows.filter(harmless).is_empty(), "a dangerous verdict cannot have priority low")
    rank = pl.col("priority").replace_strict(RANKS, return_dtype=pl.Int8)
    return rows.select(
        "verdict",
        "priority",
        pl.when(undecided & (pl.col("priority") == "medium")).then(RANK_NO_VERDICT).otherwise(rank).cast(pl.Int8)
        .alias("priority_rank"),
        "sub_classification",
        (pl.col("dangerous") == "true").alias("dangerous"),
        pl.col("rule_id").alias("priority_rule"),
    )  # fmt: skip


def _read_responses(path: Path) -> pl.DataFrame:
    rows = _read(path, ["action", "disposition"])
    _require(
        path,
        rows["disposition"].is_in(DISPOSITIONS).all(),
        f"disposition must be one of {', '.join(DISPOSITIONS)}",
    )
    order = {name: rank for rank, name in enumerate(DISPOSITIONS)}
    return rows.select("action", disposition_rank=pl.col("disposition").replace_strict(order, return_dtype=pl.Int8))


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    try:
        rows = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as cause:
        raise SettingsError(f"{path} cannot be read as CSV ({cause}). Correct it or remove it.") from cause
    missing = [name for name in columns if name not in rows.columns]
    _require(path, not missing, f"missing column {', '.join(missing)}")
    rows = rows.select(pl.col(columns).str.strip_chars())
    rows = rows.with_columns(pl.col(columns[0]).str.to_lowercase())
    _require(path, rows[columns[0]].is_unique().all(), f"duplicate {columns[0]}")
    filled = pl.all().fill_null("") != ""
    _require(path, rows.select(pl.all_horizontal(filled)).to_series().all(), "empty cell")
    return rows


def _require(path: Path, holds: bool, fault: str) -> None:
    if not holds:
        raise SettingsError(f"{path}: {fault}. Correct the file or remove it to use the default.")


def prioritise(scans: pl.DataFrame, maps: Maps) -> tuple[pl.DataFrame, list[str]]:
    """Add priority, priority_rank, priority_rule, sub_classification, dangerous; also return unknown verdicts.

    Needs `verdict`: lower case, trimmed, `missing` if the vendor gave none.
    """
    verdicts = scans.select("verdict").unique()
    known = verdicts["verdict"].is_in(maps.priorities["verdict"].implode()) & (verdicts["verdict"] != UNRECOGNISED)
    unseen = verdicts.filter(~known)["verdict"].sort().to_list()
    key = pl.when(pl.col("verdict").is_in(unseen)).then(pl.lit(UNRECOGNISED)).otherwise("verdict")
    table = verdicts.with_columns(key=key).join(maps.priorities, left_on="key", right_on="verdict").drop("key")
    return scans.join(table, on="verdict", how="left", maintain_order="left"), unseen


def respond(scans: pl.DataFrame, maps: Maps) -> tuple[pl.DataFrame, list[str]]:
    """Add disposition and disposition_rank; also return unknown actions.

    Needs `response`: the vendor's actions, separated by commas, or null.
    `none` means that nothing was done, so any other action of the same scan decides, the worst of them.
    """
    texts = scans.select("response").unique()
    actions = texts.with_columns(action=pl.col("response").str.to_lowercase().str.split(",")).explode("action")
    actions = actions.with_columns(pl.col("action").str.strip_chars()).filter(pl.col("action") != "")
    actions = actions.join(maps.responses, on="action", how="left")
    unseen = actions.filter(pl.col("disposition_rank").is_null())["action"].unique().sort().to_list()
    rank = pl.col("disposition_rank").fill_null(DISPOSITIONS.index("unknown"))
    idle = DISPOSITIONS.index("no_action")
    worst = actions.group_by("response").agg(
        disposition_rank=pl.coalesce(rank.filter(rank != idle).min(), rank.min()).cast(pl.Int8)
    )
    table = texts.join(worst, on="response", how="left").with_columns(rank)
    names = dict(enumerate(DISPOSITIONS))
    table = table.with_columns(disposition=pl.col("disposition_rank").replace_strict(names, return_dtype=pl.String))
    return scans.join(table, on="response", how="left", nulls_equal=True, maintain_order="left"), unseen
