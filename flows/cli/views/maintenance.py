"""What regroup, replay and retention found, on the terminal."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.cli.views.groups import FILE, SHORT_ID
from flows.console.tables import Fact, Form, broken, facts, folded, heading
from flows.console.terminal import number, out, shown

VARIABLE = "ATTACHMENT_ALERTS_"
JOINT = "\N{NO-BREAK SPACE}"  # an id and its count stay in one line
TWO_PARTS = 36  # columns for two ids with counts of four digits
WORDS = 20  # columns that what a map says may take


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
    """A line per group, or as many as its parts take; fits the console in use."""
    name, file = _id("Group", "group_id"), Fact("File", lambda each: shown(each["file_name"]), least=FILE)
    alerts = Fact("Alerts", lambda each: number(each["alerts"]), right=True)
    parts = Fact(f"{column} (alerts)", _parts)
    forms: list[Form] = [
        [(name,), (file,), (alerts,), (parts,)],
        [(name,), (file,), (alerts,), (broken(parts, TWO_PARTS),)],
    ]
    return folded(groups, forms, out.width)


def _parts(group: dict[str, Any]) -> Text:
    more = group["parts"] - len(group["largest"])
    largest = [f"{part['group_id'][:SHORT_ID]}{JOINT}({part['alerts']:,})" for part in group["largest"]]
    return Text(", ".join(largest) + (f" and {more:,} more" if more else ""))


def _id(title: str, name: str) -> Fact:
    return Fact(title, lambda each: Text(each[name][:SHORT_ID], style="cyan"))


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
    """A line per change, or as many as its words take; fits the console in use."""
    kind, said = Fact("Map", lambda each: Text(each["what"])), Fact("Said", lambda each: shown(each["said"]), least=12)
    was, becomes = Fact("Was", lambda each: shown(each["old"])), Fact("Becomes", lambda each: shown(each["new"]))
    count = Fact("Count", lambda each: number(each["count"]), right=True)
    example = _id("For example", "example")
    forms: list[Form] = [
        [(fact,) for fact in (kind, said, was, becomes, count, example)],
        [(kind, said), (broken(was, WORDS),), (broken(becomes, WORDS),), (count,), (example,)],
    ]
    return folded(changes, forms, out.width)


def retention_page(counts: dict[str, Any]) -> RenderableType:
    """How much of each kind is too old."""
    return facts([(kind, number(count)) for kind, count in counts["removed"].items()])
