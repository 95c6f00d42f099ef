"""The design's rules of grouping, ids and exposures over all alerts there are: nothing but dicts and loops."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tasks.ledger import Source
from tests.scans import Reading, frame

HOUR = timedelta(hours=1)
DANGEROUS, LOW = {"malicious", "unsafe"}, {"safe"}
RANKS = {"malicious": 1, "unsafe": 2, "safe": 9}


class Rules(NamedTuple):
    """What alerts must share to be one group, and for how long; no hours: no limit."""

    group_by: str = "hash"
    gap_hours: int = 2
    span_hours: int = 6


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

    @property
    def rank(self) -> int:
        """Of the highest priority it ever had."""
        return min(RANKS[verdict] for verdict in self.verdicts)


class Model:
    """The design's rules over all alerts there are, after each step of a history."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
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

    def regroup(self, rules: Rules) -> None:
        self.rules = rules
        self._name(self.parts())

    def _place(self, name: str) -> tuple[datetime, str]:
        return self.scans[name].detected_at, name

    def _key(self, name: str) -> tuple[Any, ...]:
        each = self.scans[name]
        return (*each.key, each.rank) if self.rules.group_by == "hash+priority" else each.key

    def parts(self) -> list[list[str]]:
        """The sweep over all alerts, key by key."""
        gap, span = self.rules.gap_hours * HOUR, self.rules.span_hours * HOUR
        found: list[list[str]] = []
        for name in sorted(self.load_no, key=lambda name: (self._key(name), *self._place(name))):
            at, part = self.scans[name].detected_at, found[-1] if found else []
            if (
                not part
                or self._key(part[0]) != self._key(name)
                or (gap and at - self.scans[part[-1]].detected_at > gap)
                or (span and at - self.scans[part[0]].detected_at > span)
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
            min(each.rank for each in standing or members),
            not standing,
            len(exposed - alerted),
        )
