"""Groups in the store after each step of any history, compared with the same rules in plain loops (`group_rules`).

The histories use limits of a few hours, so that few alerts make many groups. Each begins with a load and goes on: a
load alone is told by all of them. The suite tells the same 70 each time; `--hypothesis-profile=thorough` tells 5,000
others.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.alerts import MOMENT
from tasks.errors import TriageRefused
from tasks.ingest.load import load_slice
from tasks.ingest.retention_limits import EPOCH, FIXED_DAYS, PERIODS
from tasks.maintenance.regroup import plan_groups, write_groups
from tasks.maintenance.retention import find_expired, remove_expired
from tasks.queries.lookups import resolve_group
from tasks.settings import Settings
from tasks.source import Source
from tasks.store.connection import Transaction
from tasks.store.store import Store
from tasks.triage.decision import Decision
from tasks.triage.decisions import write_decision
from tasks.triage.suppression import expire_entries, hide_matching
from tests.examples import examples
from tests.groups.group_rules import RANKS, Entry, Model, Rules, sender_of
from tests.scans import HASH, HOUR, START, Reading, begun, frame, scan, source

OTHER_HASH = "cd" * 32
SOURCES = (source(1), source(2, "other"), source(3))
LATER = timedelta(days=2)  # when every entry that ends by itself has ended
SUITE = 70
LONG = 4  # steps of the longest histories
THOROUGH = settings.get_current_profile_name() == "thorough"


Told = tuple[float, str, str, str]
"""A reading of a scan: hour, hash, recipient, verdict."""


class Load(NamedTuple):
    """A slice is loaded, in one batch or two; what is in it may have been read before, or belong in the past."""

    of: Source
    readings: list[Told]
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
HOURS = [place + second for place in range(15) for second in (0, 1 / 3600)]
hours = st.integers(0, 12).flatmap(lambda hour: st.sampled_from([hour, hour, hour + 1 / 3600]))
hashes, verdicts = st.sampled_from([HASH, HASH, OTHER_HASH]), st.sampled_from([*RANKS])
readings = st.tuples(hours, hashes, st.sampled_from("ab"), verdicts)
of_sources = st.sampled_from([SOURCES[0], *SOURCES])
loads = st.builds(Load, of_sources, st.lists(readings, min_size=1, max_size=6), st.sampled_from([False, False, True]))
rules = st.builds(
    Rules, st.sampled_from(["hash", "hash+priority"]), st.sampled_from([0, 2, 3]), st.sampled_from([0, 6])
)
by_hash = st.builds(Entry, st.just("default"), st.just("hash"), hashes, st.booleans())
senders = st.sampled_from("ab").map(sender_of)
by_sender = st.builds(Entry, st.just("default"), st.just("sender"), senders, st.booleans())
decisions = st.builds(Decide, st.integers(0, 3), st.sampled_from(["closed", "closed", "in_progress", "new"]))
allows = st.builds(Allow, st.one_of(by_hash, by_sender))
others = st.one_of(st.builds(Regroup, rules), allows, st.just(Expire()), decisions, decisions, st.just(Retire()))
any_step = st.one_of(loads, others, others)
histories = st.builds(lambda first, more: [first, *more], loads, st.lists(any_step, min_size=1, max_size=2))


def after_closing(first: Load, later: int, verdict: str, more: list[Step]) -> list[Step]:
    """Somebody closes a group; then news of its alerts, or of others beside them, come."""
    news = [(int(hour) + later, file_hash, recipient, verdict) for hour, file_hash, recipient, _ in first.readings[:2]]
    return [first, Decide(0, "closed"), Load(first.of, news, halves=False), *more]


comings_back = st.builds(after_closing, loads, st.sampled_from([0, 0, 1, 2]), verdicts, st.lists(any_step, max_size=1))
hidings = st.builds(
    lambda first, entry, step: [first, Allow(entry._replace(expires=True)), step, Expire()],
    loads,
    st.one_of(by_hash, by_sender),
    any_step,
)
# Groups that join end ids, and when they split again none of those may be given.
regroupings = st.builds(lambda first, then: [first, Regroup(Rules("hash", 0, 0)), Regroup(then)], loads, rules)


PLACES = {each: place for place, each in enumerate(product(HOURS, (HASH, OTHER_HASH), "ab", RANKS))}


def reading(hour: float, file_hash: str, recipient: str, verdict: str) -> Reading:
    """The same in the words of the tables."""
    return scan(hour, verdict, file_sha256=file_hash, recipient=recipient, sender=sender_of(recipient))


@cache
def all_readings(of: Source) -> pl.DataFrame:
    """Every reading that a history can tell, as rows: made once, since making them takes as long as loading them."""
    return frame([reading(*each) for each in PLACES], of)


def as_settings(rules: Rules) -> dict[str, Any]:
    """By the names that settings have."""
    return {f"group_{name.removeprefix('group_')}": value for name, value in rules._asdict().items()}


class Site:
    """The store within one transaction, and the model beside it."""

    def __init__(self, transaction: Transaction, of: Settings) -> None:
        self.transaction, self.settings = transaction, of
        self.model = Model()
        self.reads = 1000
        self.moments: list[tuple[datetime, datetime, tuple[bool, int]]] = []  # from, to, as the model says it

    def take(self, step: Step) -> None:
        self.reads += 1
        ahead = LATER if isinstance(step, Expire) else timedelta()
        moment, began = (bool(ahead), self.reads), datetime.now(UTC)
        self.model.begin(moment)
        self._do(step)
        self.model.end()
        self.moments.append((began + ahead, datetime.now(UTC) + ahead, moment))

    def moment(self, at: datetime | None) -> tuple[bool, int] | None:
        """The step in which that was."""
        return next((moment for start, end, moment in self.moments if at and start <= at <= end), None)

    def _do(self, step: Step) -> None:
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
                expire_entries(self.transaction, datetime.now(UTC) + LATER)
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
        hide_matching(self.transaction, entry.tenant, entry.kind, entry.value, now)
        self.model.entries.append(entry)

    def _decide(self, place: int, status: Any) -> None:
        groups = self.model.listed()
        if not groups:
            return
        group = groups[place % len(groups)]
        given = self.transaction.rows("SELECT group_id FROM internal.group_ids ORDER BY created_no")
        (group_id,) = given[self.model.created.index(group)]
        decision = Decision(status, "ann", "benign" if status == "closed" else None)
        try:
            write_decision(self.transaction, decision, datetime.now(UTC), groups=[UUID(str(group_id)).hex])
        except TriageRefused:  # it would change nothing
            assert self.model.status(group) == status
        else:
            self.model.decide(group, status)

    def _retire(self) -> None:
        later = datetime.now(UTC) + timedelta(days=731)
        find_expired(self.transaction, dict.fromkeys([*PERIODS, *FIXED_DAYS], EPOCH) | {"closed": later})
        remove_expired(self.transaction, later)
        self.model.remove_closed()

    def _load(self, of: Source, told: list[Told], halves: bool) -> None:
        half = len(told) // 2 if halves else 0
        batches = [self._read(of, part) for part in (told[:half], told[half:]) if part]
        load_slice(self.transaction, of, batches, [], [], self.settings)
        self.model.load(of, pl.concat(each["scan_id"] for each in batches).to_list(), [reading(*each) for each in told])

    def _read(self, of: Source, told: list[Told]) -> pl.DataFrame:
        """What a connector's transform makes of these readings."""
        known = all_readings(of)
        at = pl.lit(START + self.reads * HOUR, MOMENT)
        return known[[PLACES[each] for each in told]].with_columns(fetched_at=at, place=pl.int_range(pl.len()))


def told_by_command(transaction: Transaction, asked_for: str) -> tuple[str, ...]:
    """What `attachment-alerts group` makes of an id: the living group, and the id if it has ended."""
    return tuple(found.replace("-", "") for found in resolve_group(transaction, asked_for) if found)


FACTS = """
    SELECT
        group_id::VARCHAR, tenant, file_sha256, alert_count, recipient_count, first_detected_at, last_detected_at,
        priority_rank, cleared_at IS NOT NULL, exposure_count, suppressed_count, status, reopened_at, reopened_by
    FROM {} WHERE alert_count > 0
"""


class Shown:
    """What the store shows, in the model's words: ids given for a second use of a name are known by their order."""

    def __init__(self, site: Site) -> None:
        self.site, self.model = site, site.model
        given = self._rows("SELECT group_id::VARCHAR FROM internal.group_ids ORDER BY created_no")
        self.ids = dict(zip(self.model.created, (row[0] for row in given), strict=True))
        self.names = {theirs: ours for ours, theirs in self.ids.items()}
        assert all(theirs == ours or ours.startswith("fresh") for theirs, ours in self.names.items())
        assert len(self.names) == len(given)  # no id was given twice

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        found = self.site.transaction.rows(sql)
        return [tuple(value.replace("-", "") if isinstance(value, str) else value for value in row) for row in found]

    def pairs(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a scan or group and its groups."""
        return [(row[0], *(self.names.get(value, value) for value in row[1:])) for row in self._rows(sql)]

    def groups(self, relation: str) -> dict[str, tuple[Any, ...]]:
        rows = self._rows(FACTS.format(relation))
        return {self.names[row[0]]: (*row[1:-2], self.site.moment(row[-2]), row[-1]) for row in rows}


def compare(site: Site) -> None:
    """The tables say what the model says."""
    shown, model = Shown(site), site.model
    alerts = shown.pairs("SELECT scan_id::VARCHAR, group_id::VARCHAR, load_no FROM internal.alert_scans")
    assert {row[0]: row[1:] for row in alerts} == {name: (model.groups[name], n) for name, n in model.load_no.items()}
    assert shown.groups("internal.groups") == {group: model.facts(group) for group in model.listed()}
    moves = shown.pairs("SELECT alert_id::VARCHAR, old_group_id::VARCHAR, new_group_id::VARCHAR FROM group_changes")
    assert Counter(moves) == model.moves
    exposed = shown.pairs("SELECT scan_id::VARCHAR, recipient FROM internal.exposed_scans")
    assert sorted(exposed) == sorted((name, each.recipient) for name, each in model.exposed().items())


def compare_ended(site: Site) -> None:
    """Ended ids lead to living groups, in SQL and by the command."""
    shown, model = Shown(site), site.model
    aliases = shown.pairs("SELECT NULL, old_group_id::VARCHAR, group_id::VARCHAR FROM group_aliases")
    assert {old for _, old, _ in aliases} == set(model.created) - set(model.groups.values())
    assert {group for _, _, group in aliases} <= {*model.groups.values(), None}
    for _, old, group in [row for row in aliases if row[2] in model.listed()][:1]:
        assert told_by_command(site.transaction, shown.ids[old]) == (shown.ids[group], shown.ids[old])


def compare_shown(site: Site) -> None:
    """The relations that analysts read say it, too."""
    shown, model = Shown(site), site.model
    assert shown.groups("alert_groups") == {group: model.facts(group) for group in model.listed()}
    exposures = shown.pairs("SELECT scan_id::VARCHAR, recipient FROM exposures")
    assert dict(exposures) == {name: each.recipient for name, each in model.exposed().items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return begun(tmp_path_factory.mktemp("home"), *SOURCES, **as_settings(Rules()))


@pytest.fixture(scope="module")
def opened(store: Store) -> Iterator[Transaction]:
    """Opened once: each history is a transaction of it that is undone."""
    with store.transaction() as connection:
        connection.run("PRAGMA disable_optimizer")  # for a dozen rows it takes longer than it saves
        connection.run("ROLLBACK")
        yield connection
        connection.run("BEGIN")


@settings(examples(SUITE), derandomize=not THOROUGH)
@given(history=st.one_of(histories, comings_back, hidings, regroupings))
def test_random_history_matches_rules(store: Store, opened: Transaction, history: list[Step]) -> None:
    opened.run("BEGIN")
    try:
        site = Site(opened, store.settings)
        for step in history:
            site.take(step)
            compare(site)
        compare_ended(site)
        if len(history) == LONG:  # these views take as long as a load, and are made of what was compared
            compare_shown(site)
    finally:
        opened.run("ROLLBACK")
        opened.has_snapshots = False  # what it kept is undone, too
