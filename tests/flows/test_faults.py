"""Bad input of every kind through the real flow and real HTTP: the right table, or the right error and nothing lost.

Each case has an hour of records and so a slice of its own, and one poll meets them all: with the trouble lasting, then
passing after one time, then gone. What ends a whole run, keys that are refused, has tests of its own.
"""

import json
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prefect.client.schemas.objects import State

from tasks.mimecast.simulator import Faults, Simulator, Switches, World, fault_lines, serve
from tasks.mimecast.simulator.answers import Answer
from tasks.mimecast.simulator.faults import Fault
from tasks.mimecast.simulator.incoming import LOGS_PATH, TOKEN_PATH, Incoming
from tests.flows.conftest import MakeSite
from tasks.connectors import remove
from tests.flows.site import Clock, Site, change, connector, differences, noon, save, scan

PAGE = 4  # records: every case has several pages
ONE_PAGE = Switches(max_page_size=500)
Change = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Case:
    """One hour of records, and what is special about asking for it."""

    name: str
    fault: str | None = None
    after: int = 0  # pages that come through before
    switches: Switches = field(default_factory=Switches)
    change: Change | None = None  # of the JSON of each answer
    error: str | None = None  # the slice's error while the trouble lasts
    costs: bool = False  # the slice even where it happens only once
    generation: int | None = None


def _pagination(change: Callable[[dict[str, Any]], Any]) -> Change:
    def changed(body: dict[str, Any]) -> dict[str, Any]:
        pagination = change(body["meta"]["pagination"])
        meta = {name: value for name, value in body["meta"].items() if name != "pagination"}
        return {**body, "meta": meta if pagination is NOTHING else meta | {"pagination": pagination}}

    return changed


NOTHING = object()


def _at_the_end(instead: object) -> Change:
    """`meta.pagination` of the page without a `next`."""
    return _pagination(lambda pagination: pagination if "next" in pagination else instead)


def _reversed(body: dict[str, Any]) -> dict[str, Any]:
    logs = [dict(reversed(record.items())) for record in body["data"][0]["attachmentLogs"]]
    return {"fail": body["fail"], "data": [{"attachmentLogs": logs}], "meta": dict(reversed(body["meta"].items()))}


def _throttled(header: Any, body: Any = "fail") -> Case:
    return Case(
        f"429 tells the wait by {header}", "429", switches=Switches(reset_header=header, rate_limit_body=body),
        error="ServiceUnavailable",
    )  # fmt: skip


QUIRKS = [
    Case("as it should be"),
    Case("data [] with next", switches=Switches(empty_page_with_next=True, empty_form="list")),
    Case("empty page with next", switches=Switches(empty_page_with_next=True)),
    Case("pageSize as asked", switches=Switches(page_size_form="asked")),
    Case("totalCount in both generations", switches=Switches(total_count_v1=True)),
    Case("`to` exclusive", switches=Switches(to_inclusive=False)),
    Case("token with other dates refused", switches=Switches(token_with_other_dates="fail")),
    Case("slashes and order of 2.0 in 1.0", switches=Switches(v1_escape_slashes=False, v1_fail_first=False)),
    Case("meta without pagination", change=_at_the_end(NOTHING)),
    Case("pagination null", change=_at_the_end(None)),
    Case("pagination empty", change=_at_the_end({})),
    Case("next empty", change=_pagination(lambda pagination: {"next": "", **pagination})),
    Case("next null", change=_pagination(lambda pagination: {"next": None, **pagination})),
    Case("pageSize 0", change=_pagination(lambda pagination: pagination | {"pageSize": 0})),
    Case("total as text", change=_pagination(lambda pagination: pagination | {"totalCount": "6322"})),
    Case("total null", change=_pagination(lambda pagination: pagination | {"totalCount": None})),
    Case("key order", change=_reversed),
    Case("resultCount and other keys", change=lambda body: {**body, "resultCount": 36, "page": None}),
    Case("fail null", change=lambda body: {**body, "fail": None}),
    Case("fail missing", change=lambda body: {"meta": body["meta"], "data": body["data"]}),
    Case("total too large", "total-too-large"),
    Case("slow", "slow"),
]
"""What the service may do without any harm."""

TROUBLES = [
    Case("429", "429", error="ServiceUnavailable"),
    Case("500", "500", error="ServiceUnavailable"),
    Case("502", "502", error="ServiceUnavailable"),
    Case("503", "503", error="ServiceUnavailable"),
    Case("405", "405", error="ServiceUnavailable"),
    Case("cut", "cut", error="ServiceUnavailable"),
    Case("truncated JSON", "truncated-json", error="AnswerNotUnderstood"),
    Case("HTML", "html-200", error="AnswerNotUnderstood"),
    Case("no body", "empty-200", error="AnswerNotUnderstood"),
    Case("500 later", "500", 1, error="ServiceUnavailable"),
    Case("cut later", "cut", 2, error="ServiceUnavailable"),
    Case("truncated JSON later", "truncated-json", 1, error="AnswerNotUnderstood"),
    Case("no body later", "empty-200", 2, error="AnswerNotUnderstood"),
    Case("fail under 200", "fail-200", error="ServiceError", costs=True),
    Case("fail under 200 later", "fail-200", 1, error="PageTokenRefused"),
    Case("page token refused", "token-refused", error="PageTokenRefused"),
    Case("page token refused later", "token-refused", 2, error="PageTokenRefused"),
    Case("page token repeated", "repeated-token", error="PagingBroken", costs=True),
    Case("empty pages for ever", "endless-pages", error="PagingBroken", costs=True, generation=2),
    Case("three empty pages", "empty-pages", error="PagingBroken", costs=True, generation=2),
    Case("dates ignored", "dates-ignored", switches=ONE_PAGE, error="DatesIgnored", costs=True),
    _throttled("x-ratelimit-reset"),
    _throttled("x-rate-limit-reset"),
    _throttled("retry-after"),
    _throttled("epoch-seconds"),
    _throttled("epoch-milliseconds"),
    _throttled("none", "empty"),
    Case("data is an object", change=lambda body: {**body, "data": body["data"][0]}, error="AnswerNotUnderstood"),
    Case("data missing", change=lambda body: {"meta": body["meta"], "fail": []}, error="AnswerNotUnderstood"),
    Case("logs under another name", change=lambda body: {**body, "data": [{"logs": []}]}, error="AnswerNotUnderstood"),
    Case("two objects in data", change=lambda body: {**body, "data": body["data"] * 2}, error="AnswerNotUnderstood"),
    Case("a list of pages", change=lambda body: [body], error="AnswerNotUnderstood"),
    Case("null", change=lambda body: None, error="AnswerNotUnderstood"),
]
"""What costs the slice while it lasts."""

KEYS = {
    "418": "KeyExpired", "403": "PermissionMissing", "wrong-region": "WrongRegion",
    "developer-key": "CredentialsRefused", "token-expired": "CredentialsRefused", "token-unverified": "CredentialsRefused",
}  # fmt: skip
"""What a person has to mend: the error while it lasts."""

EMPTY_END = ("endless-pages", "empty-pages")
SECONDS = {"429": 300.0, "slow": 0.05}
CASES = [*QUIRKS, *TROUBLES]
BEGIN = noon() - timedelta(hours=len(CASES))


def test_every_fault_of_the_simulator_is_here() -> None:
    assert {line.name for line in fault_lines()} == {case.fault for case in CASES if case.fault} | KEYS.keys()


def records_of(place: int) -> list[Any]:
    """Ten records, five minutes apart: two groups, exposures, a reject, words and fields never seen."""
    kinds: list[dict[str, Any]] = [
        *[{}] * 3,
        *[{"result": "safe"}] * 2,
        {"result": "Timeout", "fileHash": f"B{place:063}", "fileName": "statement (1).pdf"},
        {"result": "suspicious", "actionTriggered": "user release, teleport", "fileHash": f"c{place:063}"},
        {"result": "unsafe", "newField": "new", "fileHash": None, "subject": None, "definition": ""},
        {"result": "safe", "senderAddress": "<>", "fileType": "text\\/rtf"},
        {"result": "malicious", "fileName": ["an", "array"]},
    ]
    start = BEGIN + timedelta(hours=place)
    same = {"fileHash": f"a{place:063}"}
    return [
        scan(start + timedelta(minutes=5 * minute), number, **same | kind | {"messageId": f"<{place}-{minute}@supplier.example>"})
        for minute, (number, kind) in enumerate(enumerate(kinds, start=place * 100))
    ]


class CaseByCase(Simulator):
    """A simulator that treats each hour as its case says."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.cases: dict[str, Case] = {}
        self._faults: dict[str, Faults] = {}
        self._left: dict[str, int] = {}

    def plan(self, generation: int, times: int | None) -> None:
        """Let every trouble happen so many times (None: always)."""
        self.cases = {f"{BEGIN + timedelta(hours=place):%Y-%m-%dT%H}": case for place, case in enumerate(CASES)}
        self._left = dict.fromkeys(self.cases, 10**6 if times is None else times)
        self._faults = {hour: Faults() for hour in self.cases}
        for hour, case in self.cases.items():
            if case.fault and case.generation in (None, generation):
                seconds = SECONDS.get(case.fault)
                self._faults[hour].inject(case.fault, times, case.after, seconds=seconds)

    def answer(self, incoming: Incoming) -> Answer:
        hour = str(((incoming.body or {}).get("data") or [{}])[0].get("from"))[:13]
        case = self.cases.get(hour)
        if case is None or incoming.path != LOGS_PATH:
            return super().answer(incoming)
        as_asked = copy(self)
        ahead = self.switches.server_time_offset
        size = case.switches.max_page_size if case.switches is ONE_PAGE else PAGE
        as_asked.switches = replace(case.switches, max_page_size=size, server_time_offset=ahead)
        as_asked.faults = self._faults[hour]
        answer = Simulator.answer(as_asked, incoming)
        if case.change and self._left[hour]:
            self._left[hour] -= 1
            answer = replace(answer, body=json.dumps(case.change(json.loads(answer.body))).encode())
        return answer


@dataclass
class Campaign:
    """What three polls of all cases brought."""

    site: Site
    states: list[State[Any]] = field(default_factory=list)
    attempts: list[dict[Case, tuple[Any, ...]]] = field(default_factory=list)
    """per poll: state, error kind, error, received of each case's slice"""
    health: list[str] = field(default_factory=list)
    watermarks: list[Any] = field(default_factory=list)
    expected: dict[str, pl.DataFrame] = field(default_factory=dict)
    brought: dict[str, pl.DataFrame] = field(default_factory=dict)


def poll_all(campaign: Campaign) -> None:
    site = campaign.site
    before = site.stored("SELECT count(*) FROM internal.windows")[0][0]
    campaign.states.append(site.poll())
    rows = site.stored(
        "SELECT start_at, state, error_kind, error, received FROM internal.windows ORDER BY rowid OFFSET $before", before=before
    )
    found = {row[0]: row[1:] for row in rows}
    places = {BEGIN + timedelta(hours=place): case for place, case in enumerate(CASES)}
    campaign.attempts.append({case: found[start] for start, case in places.items() if start in found})
    campaign.health.append(site.health()[0])
    campaign.watermarks.append(site.watermark())


@pytest.fixture(scope="module")
def cases(prefect_api: None) -> Iterator[CaseByCase]:
    clock = Clock()
    world = World.of_records(record for place in range(len(CASES)) for record in records_of(place))
    world.clock = clock.now
    yield CaseByCase(world)


@pytest.fixture(scope="module", params=[1, 2], ids=["1.0", "2.0"])
def campaign(
    request: pytest.FixtureRequest, cases: CaseByCase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Campaign]:
    generation = request.param
    with serve(cases) as running, pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        cases.world.clock = clock.now
        save("bench", connector(running, generation, first_look_back_days=7))
        found = None
        for troubles in (False, True):
            home = tmp_path_factory.mktemp("home")
            patch.setenv("ATTACHMENT_ALERTS_HOME", str(home))
            patch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "168")
            site = Site(home, "bench", running, clock)
            cases.plan(generation, 0)
            site.at(BEGIN)
            assert site.poll().is_completed()
            site.at(noon())
            if not troubles:
                assert site.poll().is_completed()
                found = site.tables(moments=False)
        assert found
        patch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "1")
        campaign = Campaign(site, expected=found)
        for times in (None, 1, 0):
            cases.plan(generation, times)
            poll_all(campaign)
        campaign.brought = site.tables(moments=False)
        yield campaign
    remove("bench")


def test_x(campaign):
    for s in campaign.states: print(s.type, len(s.message), s.message)
    for a in campaign.attempts:
        for c, row in a.items(): print(c.name, row[0], row[1], row[3], (row[2] or "")[:60])
        print()
    print(campaign.health, campaign.watermarks)
    print(differences(campaign.brought, campaign.expected))
    for n,f in campaign.expected.items(): print(n, f.shape, campaign.brought[n].shape)
