"""The pages of `regroup`, `replay` and `retention`."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.console.tables import SHORT_ID, Fact, facts, heading, responsive_table
from flows.console.terminal import number, out, shown

VARIABLE = "ATTACHMENT_ALERTS_"
LABELS = {
    "told notices": "sent notifications",
    "gone directory rows": "directory rows of people and devices that are gone",
}


def regroup_page(counts: dict[str, Any]) -> RenderableType:
    """Groups before and after, then the largest that split and the largest that merge."""
    rules = f"{counts['group_by']}, gap {counts['group_gap_hours']} h, span {counts['group_span_hours']} h"
    change = Text(f"{counts['groups_before']:,} → {counts['groups_after']:,}")
    parts: list[RenderableType] = [
        facts(
            [
                ("rules", Text(rules)),
                ("groups", change.append(f"   of {counts['alerts']:,} alerts", style="dim")),
                ("alerts moved", number(counts["alerts_moved"])),
            ]
        )
    ]
    for kind, title, column in (("split", "Groups that split", "Into"), ("joined", "Groups that merge", "From")):
        if counts[kind]:
            note = f"{counts[f'groups_{kind}']:,}, the largest first"
            parts += [heading(title, note), _examples(counts[kind], column)]
    if counts["unlike_settings"]:
        names = ", ".join(f"{VARIABLE}{name.upper()}={counts[name]}" for name in counts["unlike_settings"])
        parts.append(Text(f"\nThese rules differ from the settings, which later runs use. Set {names}.", "yellow"))
    return Group(*parts)


def _examples(groups: list[dict[str, Any]], column: str) -> Table:
    """One row per group, with the groups it splits into or is merged from."""
    name, file = _id("Group", "group_id"), Fact("File", lambda row: shown(row["file_name"]), wraps=True)
    alerts = Fact("Alerts", lambda row: number(row["alerts"]), right=True)
    parts = Fact(f"{column} (alerts)", _parts)
    columns = [(name,), (file,), (alerts,), (parts,)]
    return responsive_table(groups, columns, columns, out.width)


def _parts(group: dict[str, Any]) -> Text:
    lines = [f"{part['group_id'][:SHORT_ID]} ({part['alerts']:,})" for part in group["largest"]]
    more = group["parts"] - len(lines)
    return Text("\n".join([*lines, f"and {more:,} more"] if more else lines))


def _id(title: str, name: str) -> Fact:
    return Fact(title, lambda row: Text(row[name][:SHORT_ID], style="cyan"))


def replay_page(counts: dict[str, Any]) -> RenderableType:
    """Totals, then the kinds of changes, those of the most scans first."""
    accepted = Text(f"{counts['rejects_accepted']:,}").append(
        f"   {counts['rejects_left']:,} stay rejected", style="dim"
    )
    parts: list[RenderableType] = [
        facts(
            [
                ("applied", Text(", ".join(counts["what"]))),
                ("scans changed", number(counts["scans_changed"])),
                ("alerts raised", number(counts["alerts_raised"], "yellow")),
                ("alerts cleared", number(counts["alerts_cleared"])),
                ("rejects accepted", accepted),
            ]
        )
    ]
    if counts["changes"]:
        more = f"{counts['changes_not_told']:,} smaller changes are not listed" if counts["changes_not_told"] else ""
        parts += [heading("Changes", more), _changes(counts["changes"])]
    return Group(*parts)


def _changes(changes: list[dict[str, Any]]) -> Table:
    """One row per kind of change."""
    kind = Fact("Map", lambda row: Text(row["what"]))
    value = Fact("Value", lambda row: shown(row["said"]), wraps=True)
    before = Fact("Before", lambda row: shown(row["old"]), wraps=True)
    after = Fact("After", lambda row: shown(row["new"]), wraps=True)
    count = Fact("Count", lambda row: number(row["count"]), right=True)
    example = _id("Example", "example")
    wide = [(fact,) for fact in (kind, value, before, after, count, example)]
    narrow = [(kind, value), (before,), (after,), (count,), (example,)]
    return responsive_table(changes, wide, narrow, out.width)


def retention_page(counts: dict[str, Any]) -> RenderableType:
    """The number of rows that are older than the retention settings allow, by kind of data."""
    return facts([(LABELS.get(kind, kind), number(count)) for kind, count in counts["removed"].items()])
