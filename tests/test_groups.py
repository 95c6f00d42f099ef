"""Groups in the store under any history of loads: partition, ids, counts and exposures as the rules say."""

from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.database import Store, Transaction
from tasks.ledger import Source
from tests.scans import HASH, Reading, begun, frame, load_into, scan, source

GAP, SPAN = timedelta(hours=2), timedelta(hours=6)
OTHER_HASH = "cd" * 32
SOURCES = (source(1), source(2, "other"), source(3))
DANGEROUS, LOW = {"malicious", "unsafe"}, {"safe"}
RANKS = {"malicious": 1, "unsafe": 2, "safe": 9}


class Known(NamedTuple):
    """A scan as the model knows it."""

    key: tuple[str, str]  # tenant, hash
    detected_at: datetime
    recipient: str
    verdicts: tuple[str, ...]

    @property
    def alert(self) -> bool:
        return any(verdict not in LOW for verdict in self.verdicts)

    @property
    def standing(self) -> bool:
        return self.verdicts[-1] not in LOW


class Model:
    """The design's rules over all alerts there are, after each load."""

    def __init__(self) -> None:
        self.scans: dict[str, Known] = {}
        self.load_no: dict[str, int] = {}
        self.groups: dict[str, str] = {}  # alert → group
        self.created: list[str] = []  # every id ever given, in order
        self.moves: Counter[tuple[str, str, str]] = Counter()

    def load(self, of: Source, readings: list[Reading]) -> None:
        names = frame(readings, of)["scan_id"].to_list()
        for name, each in zip(names, readings, strict=True):
            before = self.scans[name].verdicts if name in self.scans else ()
            key = (of.tenant, each["file_sha256"])
            self.scans[name] = Known(key, each["detected_at"], each["recipient"], (*before, each["verdict"]))
        fresh = [name for name, each in self.scans.items() if each.alert and name not in self.load_no]
        for name in sorted(fresh, key=self._place):
            self.load_no[name] = len(self.load_no) + 1
        self._name(self.parts())

    def _place(self, name: str) -> tuple[datetime, str]:
        return self.scans[name].detected_at, name

    def parts(self) -> list[list[str]]:
        """The sweep over all alerts, key by key."""
        found: list[list[str]] = []
        for name in sorted(self.load_no, key=lambda name: (self.scans[name].key, *self._place(name))):
            each, part = self.scans[name], found[-1] if found else []
            if (
                not part
                or self.scans[part[0]].key != each.key
                or each.detected_at - self.scans[part[-1]].detected_at > GAP
                or each.detected_at - self.scans[part[0]].detected_at > SPAN
            ):
                found.append([])
            found[-1].append(name)
        return found

    def _name(self, parts: list[list[str]]) -> None:
        first = {id(part): min(part, key=self.load_no.__getitem__) for part in parts}
        holder = {name: part for part in parts for name in part}
        claims: dict[int, list[str]] = {}
        for group in set(self.groups.values()):
            members = [name for name, old in self.groups.items() if old == group]
            claims.setdefault(id(holder[min(members, key=self.load_no.__getitem__)]), []).append(group)
        before = dict(self.groups)
        for part in sorted(parts, key=lambda part: self.load_no[first[id(part)]]):
            if id(part) in claims:
                group = min(claims[id(part)], key=self.created.index)
            else:
                group = first[id(part)]
                group = f"fresh {len(self.created)}" if group in self.created else group
                self.created.append(group)
            self.groups |= dict.fromkeys(part, group)
        self.moves.update((name, old, self.groups[name]) for name, old in before.items() if old != self.groups[name])

    def exposed(self) -> dict[str, Known]:
        dangerous = {each.key for each in self.scans.values() if each.verdicts[-1] in DANGEROUS}
        return {name: each for name, each in self.scans.items() if not each.alert and each.key in dangerous}

    def facts(self, group: str) -> tuple[Any, ...]:
        members = [self.scans[name] for name, each in self.groups.items() if each == group]
        key, standing = members[0].key, [each for each in members if each.standing]
        alerted = {each.recipient for each in self.scans.values() if each.alert and each.key == key}
        exposed = {each.recipient for each in self.exposed().values() if each.key == key}
        return (
            *key,
            len(members),
            len({each.recipient for each in members}),
            min(each.detected_at for each in members),
            max(each.detected_at for each in members),
            min(RANKS[verdict] for each in standing or members for verdict in each.verdicts),
            not standing,
            len(exposed - alerted),
        )


def compare(transaction: Transaction, model: Model) -> None:
    """The store shows what the model says. Ids given for a second use of a name are known by when they were given."""
    given_ids = transaction.rows(
        "SELECT replace(group_id::VARCHAR, '-', '') FROM internal.group_ids ORDER BY created_no"
    )
    names = dict(zip((row[0] for row in given_ids), model.created, strict=True))
    assert all(theirs == ours or ours.startswith("fresh") for theirs, ours in names.items())
    assert len(names) == len(given_ids)  # no id was given twice

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
        "last_detected_at, priority_rank, cleared_at IS NOT NULL, exposure_count FROM alert_groups"
    )
    assert {row[1]: row[2:] for row in living} == {group: model.facts(group) for group in set(model.groups.values())}
    aliases = told("SELECT 0, old_group_id::VARCHAR, group_id::VARCHAR FROM group_aliases")
    ended = set(model.created) - set(model.groups.values())
    assert {row[1] for row in aliases} == ended
    assert {row[2] for row in aliases} <= set(model.groups.values())
    moves = told("SELECT alert_id::VARCHAR, old_group_id::VARCHAR, new_group_id::VARCHAR FROM group_changes")
    assert Counter(moves) == model.moves
    exposures = told("SELECT scan_id::VARCHAR, recipient FROM exposures")
    assert dict(exposures) == {name: each.recipient for name, each in model.exposed().items()}


class Undo(Exception):
    """Ends a transaction, so that the next history begins with an empty store."""


readings = st.tuples(
    st.integers(0, 30), st.sampled_from([HASH, HASH, OTHER_HASH]), st.sampled_from("ab"), st.sampled_from(list(RANKS))
)
loads = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.lists(readings, min_size=1, max_size=14)), min_size=1, max_size=5
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return begun(tmp_path_factory.mktemp("home"), *SOURCES, group_gap_hours=2, group_span_hours=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=loads)
def test_any_history_ends_as_the_rules_say(store: Store, history: list[tuple[Source, list[Any]]]) -> None:
    model = Model()
    with suppress(Undo), store.transaction() as transaction:
        for number, (of, told) in enumerate(history):
            told_readings = [
                scan(hour, verdict, read=1000 + number, file_sha256=file_hash, recipient=recipient)
                for hour, file_hash, recipient, verdict in told
            ]
            model.load(of, told_readings)
            half = len(told_readings) // 2
            load_into(transaction, store.settings, [told_readings[:half], told_readings[half:]], of)
            compare(transaction, model)
        raise Undo
