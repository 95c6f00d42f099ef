"""Whether an export is imported: not if it is unchanged or would mark people as gone by mistake."""

from collections.abc import Sequence

import polars as pl

from tasks.directory.export import Export, ImportOutcome
from tasks.directory.imports import tables
from tasks.directory.merge.snapshot import share_gone
from tasks.sanitize import plain
from tasks.scratch import FrameCache
from tasks.store.store import Store


def decide(
    stored: tables.StoredDirectory,
    export: Export,
    exports: list[Export],
    cache: FrameCache,
    store: Store,
    confirmed: bool,
    unreadable: Sequence[str],
) -> ImportOutcome:
    """`unreadable`: files of the same import that could not be read."""
    source = export.parsed.source
    same_source = [other for other in exports if other.parsed.source == source]
    latest = stored.latest.filter(pl.col("source") == source)
    previous_digests = [] if latest.is_empty() else latest["digests"].item().to_list()
    if previous_digests and sorted(other.digest for other in same_source) == previous_digests:
        return ImportOutcome(export, "unchanged")
    if confirmed:
        return ImportOutcome(export, "imported")
    partial = not all(other.parsed.complete for other in same_source)
    limit = 0 if partial else store.settings.directory_max_gone_percent
    reason = None
    if unreadable and len(previous_digests) > len(same_source):
        reason = (
            f"The last import of {source} had more files, and one may be {plain(unreadable[0])}, which cannot be read: "
            "its objects would be marked as gone. Repair that file and import all of them together, or "
            "import this one with --confirm-gone."
        )
    reason = reason or _loss_reason(stored, source, cache, limit, partial=partial)
    return ImportOutcome(export, "refused" if reason else "imported", reason)


def _loss_reason(
    stored: tables.StoredDirectory, source: str, cache: FrameCache, limit: int, *, partial: bool
) -> str | None:
    """Why it is refused if it would mark more than `limit` percent of its source's people or devices as gone."""
    for name, key in tables.KEYS.items():
        held = stored.held[name].filter(pl.col("source") == source)
        share = share_gone(held, cache.get(f"{name} of {source}", key), key)
        if share * 100 > limit:
            return (
                f"It would mark {share:.0%} of the {name} of {source} as gone, "
                + (
                    "and is only a part of an export. "
                    if partial
                    else f"more than {limit} %: it may be filtered or cut. "
                )
                + "Import a complete export, or import this one with --confirm-gone."
            )
    return None


def refuse_whole_files(outcomes: list[ImportOutcome]) -> list[ImportOutcome]:
    """Also refuse exports that share a file or a source with a refused one, so that no file is imported in part."""
    while True:
        refused = [outcome.export for outcome in outcomes if outcome.state == "refused"]
        files, sources = {outcome.file_name for outcome in refused}, {outcome.parsed.source for outcome in refused}
        affected = {
            outcome.export.file_name
            for outcome in outcomes
            if outcome.state == "imported"
            and (outcome.export.file_name in files or outcome.export.parsed.source in sources)
        }
        if not affected:
            return outcomes
        outcomes = [
            ImportOutcome(
                outcome.export,
                "refused",
                f"It belongs together with {plain(refused[0].file_name)}, which was refused. Correct that file first.",
            )
            if outcome.state == "imported" and outcome.export.file_name in affected
            else outcome
            for outcome in outcomes
        ]
