"""Triage decisions and changes of the allow-list that a person starts in the Prefect UI."""

import re
from typing import Any, Literal

from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.artifacts.dashboard_writer import write_urgent_after_change
from flows.runs.events import send_pending_of_home
from flows.runs.maintenance_run import failed
from tasks.errors import AlertsError, TriageRefused
from tasks.formatting import format_count
from tasks.settings import load_settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tasks.triage import allow_list
from tasks.triage.decision import Decision
from tasks.triage.decisions import decide, find_alerts
from tasks.triage.selection import Filter


def run_triage(decision: Decision, groups: str, alerts: str, selected: Filter, confirm: int) -> State[Any]:
    """Decide on groups and alerts by ID, or on `confirm` alerts of a filter; with 0, only count them."""
    try:
        store = open_store(load_settings())
        if groups.strip() or alerts.strip():
            selected.check_unset()
            decided = decide(store, decision, groups=split_ids(groups), alerts=split_ids(alerts))
        else:
            found = find_alerts(store, selected, decision)
            if not confirm:
                return _counted(len(found.alerts), found.groups)
            _require_count(len(found.alerts), confirm)
            decided = decide(store, decision, found=found)
    except AlertsError as error:
        return failed(error)
    _after_change(store)
    alerts_of_groups = f"{format_count(decided.alerts, 'alert')} of {format_count(len(decided.groups), 'group')}"
    verb, status = "is" if decided.alerts == 1 else "are", decision.status.replace("_", " ")
    data = {**decided._asdict(), "decision_id": str(decided.decision_id)}
    return Completed(message=f"{alerts_of_groups} {verb} now {status}.", data=data)


def run_allow_list(action: Literal["add", "remove"], entry: allow_list.Entry, *, confirm: bool) -> State[Any]:
    """Add or remove an entry; without `confirm`, adding only counts what the entry would hide."""
    try:
        store = open_store(load_settings())
        if action == "remove":
            ended = allow_list.remove(store, [allow_list.find_active_entry(store, entry)])
            _after_change(store)
            return Completed(message=f"{format_count(ended.shown_again, 'alert')} visible again.", data=ended._asdict())
        hidden = allow_list.preview_entry(store, entry)
        if not confirm:
            return Completed(
                name="Counted",
                message=f"The entry would hide {hidden.describe()}. Start the run again with `confirm` to add it.",
                data=hidden._asdict(),
            )
        entry_id, hidden = allow_list.add(store, entry)
    except AlertsError as error:
        return failed(error)
    _after_change(store)
    data = {"entry_id": str(entry_id), **hidden._asdict()}
    return Completed(message=f"The entry hides {hidden.describe()}.", data=data)


def _after_change(store: Store) -> None:
    """Send what earlier changes without Prefect have left in the outbox, and update the page of urgent groups."""
    send_pending_of_home()
    write_urgent_after_change(store)


def split_ids(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", text) if word]


def _require_count(alerts: int, expected: int) -> None:
    """Raises TriageRefused if the filters find another number of alerts than the person confirmed."""
    if alerts != expected:
        raise TriageRefused(
            f"The filters find {alerts} alerts now, not {expected}. Nothing was changed: start the run again with "
            f"{alerts} as `confirm` if that is intended."
        )


def _counted(alerts: int, groups: int) -> State[Any]:
    message = (
        f"{format_count(alerts, 'alert')} of {format_count(groups, 'group')} would change. "
        f"Start the run again with {alerts} as `confirm` to decide."
    )
    return Completed(name="Counted", message=message, data={"alerts": alerts, "groups": groups})
