"""Which exports are taken: one that says nothing new, or would mark people as gone by mistake, is not."""

from collections.abc import Sequence

import polars as pl

from tasks.directory.export import Export, Imported
from tasks.directory.imports import tables
from tasks.directory.merge.snapshot import share_gone
from tasks.sanitize import plain
from tasks.scratch import FrameCache
from tasks.store.store import Store


def judged(
    stored: tables.Stored,
    export: Export,
    exports: list[Export],
    shelf: FrameCache,
    store: Store,
    confirmed: bool,
    unread: Sequence[str],
) -> Imported:
    """Whether this export is taken, and why not."""
    source = export.parsed.source
    together = [each for each in exports if each.parsed.source == source]
    latest = stored.latest.filter(pl.col("source") == source)
    before = [] if latest.is_empty() else latest["digests"].item().to_list()
    if before and sorted(each.digest for each in together) == before:
        return Imported(export, "unchanged")
    if confirmed:
        return Imported(export, "imported")
    part = not all(each.parsed.complete for each in together)
    limit = 0 if part else store.settings.directory_max_gone_percent
    why = None
    if unread and len(before) > len(together):
        why = (
            f"The last import of {source} had more files, and one of them may be {plain(unread[0])}, which cannot be "
            "read: who is in it would be marked as gone. Mend it and import all together, or this one with "
            "--confirm-gone."
        )
    why = why or _gone(stored, source, shelf, limit, part=part)
    return Imported(export, "refused" if why else "imported", why)


def _gone(stored: tables.Stored, source: str, shelf: FrameCache, limit: int, *, part: bool) -> str | None:
    """That it would mark more than this share of the people or devices of its source as gone; None if it would not."""
    for name, key in tables.KEYS.items():
        held = stored.held[name].filter(pl.col("source") == source)
        share = share_gone(held, shelf.get(f"{name} of {source}", key), key)
        if share * 100 > limit:
            return (
                f"It would mark {share:.0%} of the {name} of {source} as gone, "
                + ("and is a part of an export only. " if part else f"more than {limit} %: it may be filtered or cut. ")
                + "Export all of it, or import it again with --confirm-gone."
            )
    return None


def whole_files(outcomes: list[Imported]) -> list[Imported]:
    """Refuse what shares a file or a source with what is refused: of a file all or nothing is taken."""
    while True:
        refused = [each.export for each in outcomes if each.state == "refused"]
        files, sources = {each.file_name for each in refused}, {each.parsed.source for each in refused}
        also = {
            each.export.file_name
            for each in outcomes
            if each.state == "imported" and (each.export.file_name in files or each.export.parsed.source in sources)
        }
        if not also:
            return outcomes
        outcomes = [
            Imported(each.export, "refused", f"It comes with {plain(refused[0].file_name)}, which is refused.")
            if each.state == "imported" and each.export.file_name in also
            else each
            for each in outcomes
        ]
