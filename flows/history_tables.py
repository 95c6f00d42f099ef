"""What regroup found, on the terminal."""

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
