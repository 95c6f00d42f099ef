"""The rules of groups, ids, triage, suppression and exposures over all alerts, written with dicts and loops only."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tasks.source import Source
from tests.scans import Reading

HOUR = timedelta(hours=1)
DANGEROUS, LOW = {"malicious", "unsafe"}, {"safe"}
RANKS = {"malicious": 1, "unsafe": 2, "safe": 9}


class Rules(NamedTuple):
    """What alerts must share to be one group, and for how long; no hours: no limit."""

    group_by: str = "hash"
    gap_hours: int = 2
    span_hours: int = 6


class Entry(NamedTuple):
    """An entry of the allow-list."""

    tenant: str
    kind: str
    value: str
    expires: bool


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
    def sender(self) -> str:
        return sender_of(self.recipient)

    @property
    def rank(self) -> int:
        """Of the highest priority it ever had."""
        return min(RANKS[verdict] for verdict in self.verdicts)


def sender_of(recipient: str) -> str:
    """In these histories everybody has somebody who writes to them."""
    return f"{recipient}@evil.example"


class Standing(NamedTuple):
    """What a group's row keeps of its past: its status while it is hidden, and when and why it came back."""

    status: str = "new"
    reopened_at: tuple[bool, int] | None = None
    reopened_by: str | None = None


class Model:
    """The rules over all alerts, after each step of a history."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.scans: dict[str, Known] = {}
        self.load_no: dict[str, int] = {}
        self.groups: dict[str, str] = {}  # alert → group
        self.created: list[str] = []  # every id ever given, in order
        self.moves: Counter[tuple[str, str, str]] = Counter()
        self.entries: list[Entry] = []  # those that hide
        self.decided: dict[str, tuple[str, int]] = {}  # alert → status and the rank it had then
        self.removed: set[str] = set()
        self.past: dict[str, Standing] = {}
        self.begin((False, 0))

    def begin(self, moment: tuple[bool, int]) -> None:
        """A step begins; moments sort by time."""
        self.moment, self.groups_before = moment, dict(self.groups)
        self.hidden_before = {name for name in self.groups if self.hides(name)}
        self.changed: set[str] = set()  # scans whose reading is another one
        self.raised: set[str] = set()  # … that became an alert or a more urgent one

    def end(self) -> None:
        """A step ends: closed groups that are not closed any more have come back."""
        self.past = {group: self._present(group) for group in set(self.groups.values())}

    def _present(self, group: str) -> Standing:
        members, shown = self.members(group, shown=False), self.members(group)
        names = {group, *(self.groups_before[name] for name in members if name in self.groups_before)}
        origins = [self.past[name] for name in names if name in self.past]
        status = self.status(group) if shown else self.past.get(group, Standing()).status
        if shown and status == "closed":
            return Standing(status)
        if shown and any(each.status == "closed" for each in origins):
            return Standing(status, self.moment, self._reason(shown, joined=len(origins) > 1))
        earlier = [each for each in origins if each.reopened_at]
        latest = max(earlier, key=lambda each: each.reopened_at or (False, 0), default=Standing())
        return latest._replace(status=status)

    def _reason(self, shown: list[str], *, joined: bool) -> str:
        if any(name in self.changed and self._risen(name) for name in shown):
            return "raised_priority"
        if any(name in self.raised and name not in self.decided for name in shown):
            return "new_alert"
        if self.hidden_before & set(shown):
            return "suppression_ended"
        return "joined_group" if joined else "person"

    def load(self, of: Source, names: list[str], readings: list[Reading]) -> None:
        """`names`: the ids of what was read."""
        told = [(name, each) for name, each in zip(names, readings, strict=True) if name not in self.removed]
        for name, each in told:
            before = self.scans[name].verdicts if name in self.scans else ()
            key = (of.tenant, each["file_sha256"])
            self.scans[name] = Known(key, each["detected_at"], each["recipient"], (*before, each["verdict"]))
            if before and before[-1] != each["verdict"]:
                self.changed.add(name)
            if self.scans[name].rank < min((RANKS[verdict] for verdict in before), default=RANKS["safe"]):
                self.raised.add(name)
        fresh = [name for name, each in self.scans.items() if each.alert and name not in self.load_no]
        for name in sorted(fresh, key=self._place):
            self.load_no[name] = max(self.load_no.values(), default=0) + 1
        self._name(self.parts())

    def regroup(self, rules: Rules) -> None:
        self.rules = rules
        self._name(self.parts())

    def hides(self, name: str) -> bool:
        each = self.scans[name]
        named = {("hash", each.key[1]), ("sender", each.sender)}
        return any(entry.tenant == each.key[0] and (entry.kind, entry.value) in named for entry in self.entries)

    def members(self, group: str, *, shown: bool = True) -> list[str]:
        return [name for name, each in self.groups.items() if each == group and not (shown and self.hides(name))]

    def listed(self) -> list[str]:
        """Groups with an alert that nobody hides, in the order in which they came."""
        return [group for group in self.created if self.members(group)]

    def decide(self, group: str, status: str) -> None:
        self.decided |= {name: (status, self.scans[name].rank) for name in self.members(group)}

    def _risen(self, name: str) -> bool:
        """Whether it is more urgent than when somebody decided."""
        return self.scans[name].rank < self.decided.get(name, ("new", 0))[1]

    def _status(self, name: str) -> str:
        return "new" if self._risen(name) else self.decided.get(name, ("new", 0))[0]

    def status(self, group: str) -> str:
        found = {self._status(name) for name in self.members(group)}
        return next(status for status in ("in_progress", "new", "closed") if status in found)

    def remove_closed(self) -> None:
        """Groups that people have closed go, with all that is known of their alerts."""
        members = {group: self.members(group, shown=False) for group in set(self.groups.values())}
        gone = {name for names in members.values() if {*map(self._status, names)} == {"closed"} for name in names}
        self.removed |= gone
        for of_alerts in (self.scans, self.load_no, self.groups, self.decided):
            for name in gone:
                of_alerts.pop(name, None)  # type: ignore[attr-defined]
        self.moves = Counter({move: count for move, count in self.moves.items() if move[0] not in gone})

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
        alerts = [each for name, each in self.scans.items() if each.alert and not self.hides(name)]
        dangerous = {each.key for each in alerts if each.verdicts[-1] in DANGEROUS}
        return {name: each for name, each in self.scans.items() if not each.alert and each.key in dangerous}

    def facts(self, group: str) -> tuple[Any, ...]:
        members = [self.scans[name] for name in self.members(group)]
        key, standing = members[0].key, [each for each in members if each.standing]
        alerted = {
            each.recipient
            for name, each in self.scans.items()
            if each.alert and each.key == key and not self.hides(name)
        }
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
            len(self.members(group, shown=False)) - len(members),
            self.status(group),
            self.past[group].reopened_at,
            self.past[group].reopened_by,
        )
