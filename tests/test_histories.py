"""Groups in the store after each step of any history, compared with the design's rules told in loops (`group_rules`).

The histories use limits of a few hours, so that few alerts make many groups. 200 of them are told;
`--hypothesis-profile=thorough` tells 5,000.
"""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.lookups import resolved
from tasks import triage
from tasks.database import Store, Transaction
from tasks.groups import refresh_status
from tasks.keeping import BEGINNING, PERIODS
from tasks.ledger import Source
from tasks.regroup import plan_groups, write_groups
from tasks.retention import find_expired, remove_found
from tasks.settings import Settings
from tasks.suppression import end_due, hide
from tests.group_rules import RANKS, Entry, Model, Rules, sender_of
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


class Allow(NamedTuple):
    """An entry is added to the allow-list."""

    entry: Entry


class Expire(NamedTuple):
    """The time of every entry that has one is over."""


class Decide(NamedTuple):
    """Somebody decides on one of the listed groups."""

    place: int
    status: Any


class Retire(NamedTuple):
    """Retention removes the groups that are closed."""


Step = Load | Regroup | Allow | Expire | Decide | Retire

# At the whole hours the limits are met exactly; a second later they are passed.
hours = st.integers(0, 24).flatmap(lambda hour: st.sampled_from([hour, hour, hour + 1 / 3600]))
hashes, verdicts = st.sampled_from([HASH, HASH, OTHER_HASH]), st.sampled_from([*RANKS])
readings = st.tuples(hours, hashes, st.sampled_from("ab"), verdicts)
loads = st.builds(Load, st.sampled_from(SOURCES), st.lists(readings, min_size=1, max_size=6), st.booleans())
rules = st.builds(
    Rules, st.sampled_from(["hash", "hash+priority"]), st.sampled_from([0, 2, 3]), st.sampled_from([0, 6])
)
by_hash = st.builds(Entry, st.just("default"), st.just("hash"), hashes, st.booleans())
senders = st.sampled_from("ab").map(sender_of)
by_sender = st.builds(Entry, st.just("default"), st.just("sender"), senders, st.booleans())
decisions = st.builds(Decide, st.integers(0, 3), st.sampled_from(["closed", "closed", "in_progress", "new"]))
allows = st.builds(Allow, st.one_of(by_hash, by_sender))
others = st.one_of(st.builds(Regroup, rules), allows, st.just(Expire()), decisions, decisions, st.just(Retire()))
steps = st.lists(st.one_of(loads, others, others), max_size=3)
histories = st.builds(lambda first, more: [first, *more], loads, steps)


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

            case Allow(entry):
                self._allow(entry)
            case Expire():
                end_due(self.transaction, datetime.now(UTC) + timedelta(days=2))
                self.model.entries = [each for each in self.model.entries if not each.expires]
            case Decide(place, status):
                self._decide(place, status)
            case Retire():
                self._retire()

    def _allow(self, entry: Entry) -> None:
        now = datetime.now(UTC)
        until = now + timedelta(days=1) if entry.expires else None
        self.transaction.run(
            "INSERT INTO internal.allow_list VALUES ($id, $tenant, $kind, $value, 'ours', 'ann', $now, $until, NULL)",
            {"id": uuid4(), "now": now, "until": until, **{k: v for k, v in entry._asdict().items() if k != "expires"}},
        )
        hide(self.transaction, entry.tenant, entry.kind, entry.value, now)
        self.model.entries.append(entry)

    def _decide(self, place: int, status: Any) -> None:
        groups = self.model.listed()
        if not groups:
            return
        group = groups[place % len(groups)]
        given = self.transaction.rows("SELECT group_id FROM internal.group_ids ORDER BY created_no")
        (group_id,) = given[self.model.created.index(group)]
        seen = self.transaction.frame(f"{triage.SEEN} WHERE a.shown AND a.group_id = $id", {"id": UUID(str(group_id))})
        decision, now = triage.Decision(status, "ann", "benign" if status == "closed" else None), datetime.now(UTC)
        triage._write(self.transaction, seen, decision, now)
        refresh_status(self.transaction, seen["group_id"].unique(), now)
        self.model.decide(group, status)

    def _retire(self) -> None:
        later = datetime.now(UTC) + timedelta(days=731)
        find_expired(self.transaction, dict.fromkeys(PERIODS, BEGINNING) | {"closed": later})
        remove_found(self.transaction, later)
        self.model.remove_closed()

    def _load(self, of: Source, told: list[tuple[float, str, str, str]], halves: bool) -> None:
        told_readings = [
            scan(
                hour,
                verdict,
                read=self.reads,
                file_sha256=file_hash,
                recipient=recipient,
                sender=sender_of(recipient),
            )
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
        f"last_detected_at, priority_rank, cleared_at IS NOT NULL, exposure_count, suppressed_count, status "
        f"FROM {groups} WHERE alert_count > 0"
    )
    assert {row[1]: row[2:] for row in living} == {group: model.facts(group) for group in model.listed()}
    aliases = told("SELECT 0, old_group_id::VARCHAR, group_id::VARCHAR FROM group_aliases")
    ended = set(model.created) - set(model.groups.values())
    assert {row[1] for row in aliases} == ended
    assert {row[2] for row in aliases} <= {*model.groups.values(), None}
    for _, old, group in [row for row in aliases if row[2] in model.listed()][:1]:  # … and by the command
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
@given(history=histories)
def test_every_history_goes_as_the_rules_say(store: Store, history: list[Step]) -> None:
    with suppress(Undo), store.transaction() as transaction:
        site = Site(transaction, store.settings)
        for step in history:
            site.take(step)
            compare(transaction, site.model)
        compare(transaction, site.model, "alert_groups")
        raise Undo
