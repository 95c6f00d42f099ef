"""What regroup, replay and retention found, on the terminal."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.group_table import SHORT_ID
from flows.layout import facts, heading, plain_table
from flows.terminal import number, shown

VARIABLE = "ATTACHMENT_ALERTS_"


def regroup_page(counts: dict[str, Any]) -> RenderableType:
    """Groups before and after, then the largest that split and that join."""
    rules = f"{counts['group_by']}, gap {counts['group_gap_hours']} h, span {counts['group_span_hours']} h"
    change = Text(f"{counts['groups_before']:,} → {counts['groups_after']:,}")
    parts: list[RenderableType] = [
        facts(
            [
                ("rules", Text(rules)),
                ("groups", change.append(f"   of {counts['alerts']:,} alerts", style="dim")),
                ("alerts that move", number(counts["alerts_moved"])),
            ]
        )
    ]
    for kind, title, column in (("split", "Groups that split", "Into"), ("joined", "Groups that join", "Out of")):
        if counts[kind]:
            note = f"{counts[f'groups_{kind}']:,}, the largest first"
            parts += [heading(title, note), _examples(counts[kind], column)]
    if counts["unlike_settings"]:
        names = ", ".join(f"{VARIABLE}{name.upper()}={counts[name]}" for name in counts["unlike_settings"])
        parts.append(Text(f"\nThese are not the settings. Later runs group by the settings: set {names}.", "yellow"))
    return Group(*parts)


def _examples(groups: list[dict[str, Any]], column: str) -> Table:
    table = plain_table(expand=False)
    for title in ("Group", "File"):
        table.add_column(title, overflow="ellipsis", no_wrap=True, max_width=40)
    table.add_column("Alerts", justify="right")
    table.add_column(f"{column} (alerts)", overflow="ellipsis", no_wrap=True)
    for each in groups:
        more = each["parts"] - len(each["largest"])
        largest = [f"{part['group_id'][:SHORT_ID]} ({part['alerts']:,})" for part in each["largest"]]
        table.add_row(
            Text(each["group_id"][:SHORT_ID], style="cyan"),
            shown(each["file_name"]),
            number(each["alerts"]),
            Text(", ".join(largest) + (f" and {more:,} more" if more else "")),
        )
    return table


def replay_page(counts: dict[str, Any]) -> RenderableType:
    """What changes in all, then change by change, those of the most scans first."""
    kept = Text(f"{counts['rejects_accepted']:,}").append(f"   {counts['rejects_left']:,} stay rejected", style="dim")
    parts: list[RenderableType] = [
        facts(
            [
                ("applied", Text(", ".join(counts["what"]))),
                ("scans that change", number(counts["scans_changed"])),
                ("alerts raised", number(counts["alerts_raised"], "yellow")),
                ("alerts cleared", number(counts["alerts_cleared"])),
                ("rejects accepted", kept),
            ]
        )
    ]
    if counts["changes"]:
        more = f"{counts['changes_not_told']:,} smaller ones are not listed" if counts["changes_not_told"] else ""
        parts += [heading("Changes", more), _changes(counts["changes"])]
    return Group(*parts)


def _changes(changes: list[dict[str, Any]]) -> Table:
    table = plain_table(expand=False)
    table.add_column("Map", no_wrap=True)
    table.add_column("Said", overflow="ellipsis", no_wrap=True, max_width=40)
    for title in ("Was", "Becomes"):
        table.add_column(title, overflow="fold")
    table.add_column("Count", justify="right", no_wrap=True)
    table.add_column("For example", no_wrap=True)
    for each in changes:
        table.add_row(
            Text(each["what"]),
            shown(each["said"]),
            shown(each["old"]),
            shown(each["new"]),
            number(each["count"]),
            Text(each["example"][:SHORT_ID], style="cyan"),
        )
    return table


def retention_page(counts: dict[str, Any]) -> RenderableType:
    """How much of each kind is too old."""
    return facts([(kind, number(count)) for kind, count in counts["removed"].items()])
