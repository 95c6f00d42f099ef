"""Groups in the store after each step of any history, compared with the design's rules told in loops (`group_rules`).

The histories use limits of a few hours, so that few alerts make many groups. 200 of them are told;
`--hypothesis-profile=thorough` tells 5,000.
"""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.lookups import resolved
from tasks.database import Store, Transaction
from tasks.ledger import Source
from tasks.regroup import plan_groups, write_groups
from tasks.settings import Settings
from tests.group_rules import RANKS, Model, Rules
from tests.scans import HASH, begun, load_into, scan, source

OTHER_HASH = "cd" * 32
SOURCES = (source(1), source(2, "other"), source(3))
EXAMPLES = max(200, settings.default.max_examples)


class Load(NamedTuple):
    """A slice is loaded, in one batch or two; what is in it may have been read before, or belong in the past."""

    of: Source
    readings: list[tuple[float, str, str, str]]
    halves: bool


class Regroup(NamedTuple):
    """The site changes its rules and groups everything anew."""

    rules: Rules


Step = Load | Regroup

# At the whole hours the limits are met exactly; a second later they are passed.
hours = st.integers(0, 24).flatmap(lambda hour: st.sampled_from([hour, hour, hour + 1 / 3600]))
hashes, verdicts = st.sampled_from([HASH, HASH, OTHER_HASH]), st.sampled_from([*RANKS])
readings = st.tuples(hours, hashes, st.sampled_from("ab"), verdicts)
loads = st.builds(Load, st.sampled_from(SOURCES), st.lists(readings, min_size=1, max_size=8), st.booleans())
rules = st.builds(
    Rules, st.sampled_from(["hash", "hash+priority"]), st.sampled_from([0, 2, 3]), st.sampled_from([0, 6])
)
steps = st.lists(st.one_of(loads, loads, loads, st.builds(Regroup, rules)), min_size=1, max_size=4)


def as_settings(rules: Rules) -> dict[str, Any]:
    """By the names that settings have."""
    return {f"group_{name.removeprefix('group_')}": value for name, value in rules._asdict().items()}


class Undo(Exception):
    """Ends a transaction, so that the next history begins with an empty store."""


class Site:
    """The store within one transaction, and the model beside it."""

    def __init__(self, transaction: Transaction, of: Settings) -> None:
        self.transaction, self.settings = transaction, of
        self.model = Model()
        self.reads = 1000

    def take(self, step: Step) -> None:
        self.reads += 1
        match step:
            case Load(of, told, halves):
                self._load(of, told, halves)
            case Regroup(wanted):
                self.settings = self.settings.model_copy(update=as_settings(wanted))
                write_groups(self.transaction, plan_groups(self.transaction, self.settings), datetime.now(UTC))
                self.model.regroup(wanted)

    def _load(self, of: Source, told: list[tuple[float, str, str, str]], halves: bool) -> None:
        told_readings = [
            scan(hour, verdict, read=self.reads, file_sha256=file_hash, recipient=recipient)
            for hour, file_hash, recipient, verdict in told
        ]
        half = len(told_readings) // 2 if halves else 0
        load_into(self.transaction, self.settings, [told_readings[:half], told_readings[half:]], of)
        self.model.load(of, told_readings)


def told_by_command(transaction: Transaction, asked_for: str) -> tuple[str, ...]:
    """What `attachment-alerts group` makes of an id: the living group, and the id if it has ended."""
    return tuple(found.replace("-", "") for found in resolved(transaction, asked_for) if found)


def compare(transaction: Transaction, model: Model, groups: str = "internal.groups") -> None:
    """The store shows what the model says. Ids given for a second use of a name are known by when they were given."""
    ids_given = transaction.rows(
        "SELECT replace(group_id::VARCHAR, '-', '') FROM internal.group_ids ORDER BY created_no"
    )
    names = dict(zip((row[0] for row in ids_given), model.created, strict=True))
    assert all(theirs == ours or ours.startswith("fresh") for theirs, ours in names.items())
    assert len(names) == len(ids_given)  # no id was given twice

    def told(sql: str) -> list[tuple[Any, ...]]:
        plain = (
            (value.replace("-", "") if isinstance(value, str) else value for value in row)
            for row in transaction.rows(sql)
        )
        return [tuple(names.get(value, value) if place else value for place, value in enumerate(row)) for row in plain]

    alerts = told("SELECT scan_id::VARCHAR, group_id::VARCHAR, load_no FROM internal.alert_scans")
    assert {row[0]: row[1:] for row in alerts} == {name: (model.groups[name], n) for name, n in model.load_no.items()}
    living = told(
        "SELECT 0, group_id::VARCHAR, tenant, file_sha256, alert_count, recipient_count, first_detected_at, "
        f"last_detected_at, priority_rank, cleared_at IS NOT NULL, exposure_count FROM {groups}"
    )
    assert {row[1]: row[2:] for row in living} == {group: model.facts(group) for group in set(model.groups.values())}
    aliases = told("SELECT 0, old_group_id::VARCHAR, group_id::VARCHAR FROM group_aliases")
    ended = set(model.created) - set(model.groups.values())
    assert {row[1] for row in aliases} == ended
    assert {row[2] for row in aliases} <= set(model.groups.values())
    for _, old, group in aliases[:1]:  # … and by the command
        written = {ours: theirs for theirs, ours in names.items()}
        assert told_by_command(transaction, written[old]) == (written[group], written[old])
    moves = told("SELECT alert_id::VARCHAR, old_group_id::VARCHAR, new_group_id::VARCHAR FROM group_changes")
    assert Counter(moves) == model.moves
    exposures = told("SELECT scan_id::VARCHAR, recipient FROM exposures")
    assert dict(exposures) == {name: each.recipient for name, each in model.exposed().items()}
    assert transaction.rows("SELECT count(*) FROM internal.exposed_scans") == [(len(exposures),)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return begun(tmp_path_factory.mktemp("home"), *SOURCES, **as_settings(Rules()))


@settings(max_examples=EXAMPLES, deadline=None)
@given(history=steps)
def test_every_history_goes_as_the_rules_say(store: Store, history: list[Step]) -> None:
    with suppress(Undo), store.transaction() as transaction:
        site = Site(transaction, store.settings)
        for step in history:
            site.take(step)
            compare(transaction, site.model)
        compare(transaction, site.model, "alert_groups")
        raise Undo
