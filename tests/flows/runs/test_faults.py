"""Bad input of every kind over real HTTP: the right tables, or the right error and nothing lost. Without Prefect.

Each case has an hour of records and so a slice of its own, and one poll meets them all: with the trouble lasting, then
passing after one time, then gone. What ends a whole run, keys that are refused, has tests of its own.
`test_faults_in_prefect.py` has a few of them through the flow.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import settings

from tasks.errors import AlertsError
from tasks.ingest.run_stats import RunStats
from tasks.mimecast.connector import MimecastConnector
from tests.flows.site import Clock, Site, connector, differences, noon, scan
from tests.scans import prepare_home
from tests.simulator import Faults, Simulator, Switches, World, fault_lines, serve
from tests.simulator.answers import Answer
from tests.simulator.faults import Fault
from tests.simulator.incoming import LOGS_PATH, TOKEN_PATH, Incoming

THOROUGH = settings.get_current_profile_name() == "thorough"
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
    only: int | None = None  # API generation that has it, or for which it is enough to see it
    alike: bool = False  # nothing of it depends on the generation: API 2.0 will do, unless a run is to be thorough


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


def _page_says(**says: Any) -> Change:
    """Other values of `meta.pagination`; `next` only where there is none."""
    rest = {name: value for name, value in says.items() if name != "next"}
    return _pagination(lambda pagination: says | pagination | rest)


def _without_fail(body: dict[str, Any]) -> dict[str, Any]:
    return {"meta": body["meta"], "data": body["data"]}


def _reversed(body: dict[str, Any]) -> dict[str, Any]:
    logs = [dict(reversed(record.items())) for record in body["data"][0]["attachmentLogs"]]
    return {"fail": [], "data": [{"attachmentLogs": logs}], "meta": dict(reversed(body["meta"].items()))}


def _throttled(header: Any, body: Any = "fail") -> Case:
    switches = Switches(reset_header=header, rate_limit_body=body)
    return Case(f"429, wait by {header}", "429", switches=switches, error="ServiceUnavailable", only=2)


def _another(name: str, *changes: Change) -> Case:
    """Harmless differences of the JSON."""
    return Case(name, change=lambda body: reduce(lambda changed, change: change(changed), changes, body), only=2)


def _misshapen(name: str, change: Change) -> Case:
    return Case(name, change=change, error="AnswerNotUnderstood", costs=True, only=2)


QUIRKS = [
    Case("as it should be"),
    Case("data [] with next", switches=Switches(empty_page_with_next=True, empty_form="list"), alike=True),
    Case("empty page with next", switches=Switches(empty_page_with_next=True)),
    Case("pageSize as asked", switches=Switches(page_size_form="asked"), alike=True),
    Case("totalCount in API 1.0", switches=Switches(total_count_v1=True), only=1),
    Case("slashes and order of API 2.0", switches=Switches(v1_escape_slashes=False, v1_fail_first=False), only=1),
    Case("`to` exclusive", switches=Switches(to_inclusive=False), alike=True),
    Case("token with other dates refused", switches=Switches(token_with_other_dates="fail"), alike=True),
    _another("meta without pagination, fail missing", _at_the_end(NOTHING), _without_fail),
    _another("pagination null, fail null", _at_the_end(None), lambda body: {**body, "fail": None}),
    _another("pagination empty, other keys", _at_the_end({}), lambda body: {**body, "resultCount": 36, "page": None}),
    _another("next empty, total as text, another order", _page_says(next="", totalCount="6322"), _reversed),
    _another("next null, total null, pageSize 0", _page_says(next=None, totalCount=None, pageSize=0)),
    Case("total too large", "total-too-large", alike=True),
    _another("total that no column holds", _page_says(totalCount=10**28)),
    _another("total of 4,500 digits", _page_says(totalCount="9" * 4_500)),
    Case("slow", "slow", alike=True),
]
"""What the service may do without any harm."""

TROUBLES = [
    Case("429", "429", error="ServiceUnavailable"),
    Case("500", "500", error="ServiceUnavailable", alike=True),
    Case("502", "502", error="ServiceUnavailable", alike=True),
    Case("503", "503", error="ServiceUnavailable", alike=True),
    Case("405", "405", error="ServiceUnavailable", alike=True),
    Case("cut", "cut", error="ServiceUnavailable", alike=True),
    Case("truncated JSON", "truncated-json", error="AnswerNotUnderstood", alike=True),
    Case("HTML", "html-200", error="AnswerNotUnderstood", alike=True),
    Case("no body", "empty-200", error="AnswerNotUnderstood", alike=True),
    Case("500 later", "500", 1, error="ServiceUnavailable", only=2),
    Case("no body later", "empty-200", 2, error="AnswerNotUnderstood", only=2),
    Case("fail under 200", "fail-200", error="ServiceError", costs=True),
    Case("fail under 200 later", "fail-200", 1, error="ServiceError", only=2),
    Case("page token refused", "token-refused", error="PageTokenRefused"),
    Case("page token refused later", "token-refused", 2, error="PageTokenRefused", only=2),
    Case("page token repeated", "repeated-token", error="PagingBroken", costs=True),
    Case("dates ignored", "dates-ignored", switches=ONE_PAGE, error="DatesIgnored", costs=True),
    _throttled("retry-after"),
    _throttled("epoch-milliseconds"),
    _throttled("none", "empty"),
    _misshapen("data is an object", lambda body: {**body, "data": body["data"][0]}),
    _misshapen("data missing", lambda body: {"meta": body["meta"], "fail": []}),
    _misshapen("two objects in data", lambda body: {**body, "data": body["data"] * 2}),
    _misshapen("a list of pages", lambda body: [body]),
    Case("and good again"),
]
"""What costs the slice while it lasts, and a slice after it all."""

KEYS = {
    "418": "KeyExpired", "403": "PermissionMissing", "wrong-region": "WrongRegion",
    "developer-key": "CredentialsRefused", "token-expired": "CredentialsRefused",
    "token-unverified": "CredentialsRefused",
}  # fmt: skip
"""What a person has to mend: the error while it lasts."""

SECONDS = {"429": 300.0, "slow": 0.05}
GENERATIONS = (1, 2)
CASES = {
    generation: [
        case
        for case in (*QUIRKS, *TROUBLES)
        if case.only in (None, generation) and (generation == 2 or THOROUGH or not case.alike)
    ]
    for generation in GENERATIONS
}
END = noon()


def each(cases: list[Case]) -> list[Any]:
    """Parameters `generation, case`."""
    return [
        pytest.param(generation, case, id=f"{case.name}-{generation}.0")
        for generation in GENERATIONS
        for case in CASES[generation]
        if case in cases
    ]


EMPTY_TAILS = ("endless-pages", "empty-pages")
"""Faults that end a listing early: not a failure, so they have a test of their own."""


def starts(generation: int) -> dict[datetime, Case]:
    """When each case's hour begins: the last one ends at noon."""
    cases = CASES[generation]
    return {END - timedelta(hours=len(cases) - place): case for place, case in enumerate(cases)}


def test_every_fault_of_the_simulator_is_here() -> None:
    used = {case.fault for cases in CASES.values() for case in cases if case.fault}
    assert {line.name for line in fault_lines()} == used | KEYS.keys() | {*EMPTY_TAILS}


def records_of(start: datetime) -> list[Any]:
    """Ten records, five minutes apart: two groups, exposures, a reject, words and fields never seen."""
    hour = f"{start:%Y%m%d%H}"
    kinds: list[dict[str, Any]] = [
        *[{}] * 3,
        *[{"result": "safe"}] * 2,
        {"result": "Timeout", "fileHash": f"B{hour:>063}", "fileName": "statement (1).pdf"},
        {"result": "suspicious", "actionTriggered": "user release, teleport", "fileHash": f"c{hour:>063}"},
        {"result": "unsafe", "newField": "new", "fileHash": None, "subject": None, "definition": ""},
        {"result": "safe", "senderAddress": "<>", "fileType": "text\\/rtf"},
        {"result": "safe", "fileName": ["an", "array"]},
    ]
    same = {"fileHash": f"a{hour:>063}"}
    return [
        scan(start + timedelta(minutes=5 * number), f"{hour}-{number}", **same | kind)
        for number, kind in enumerate(kinds)
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
        self.cases = {f"{start:%Y-%m-%dT%H}": case for start, case in starts(generation).items()}
        self._left = dict.fromkeys(self.cases, 10**6 if times is None else times)
        self._faults = {hour: Faults() for hour in self.cases}
        for hour, case in self.cases.items():
            if case.fault:
                self._faults[hour].inject(case.fault, times, case.after, seconds=SECONDS.get(case.fault))

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
class Account:
    """A site and its connector, polled without Prefect."""

    site: Site
    connector: MimecastConnector

    def poll(self) -> RunStats:
        return self.site.pull(self.connector)


@dataclass
class Campaign:
    """What three polls of all cases brought: trouble lasting, happening once, gone."""

    account: Account
    starts: dict[datetime, Case]
    expected: dict[str, pl.DataFrame]
    stats: list[RunStats] = field(default_factory=list)
    attempts: list[dict[Case, tuple[Any, ...]]] = field(default_factory=list)
    """per poll and case: state, error kind, error of the slice"""
    watermarks: list[datetime] = field(default_factory=list)
    brought: dict[str, pl.DataFrame] = field(default_factory=dict)

    @property
    def site(self) -> Site:
        return self.account.site

    def poll(self) -> None:
        before = self.site.stored("SELECT count(*) FROM internal.windows")[0][0]
        self.stats.append(self.account.poll())
        attempts = self.site.stored(
            "SELECT start_at, state, error_kind, error FROM internal.windows ORDER BY rowid OFFSET $before",
            before=before,
        )
        found = {attempt[0]: attempt[1:] for attempt in attempts}
        self.attempts.append({case: found[start] for start, case in self.starts.items() if start in found})
        self.watermarks.append(self.site.watermark())


@pytest.fixture(scope="module")
def first_generation(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return run_campaign(1, lambda: tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def second_generation(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return run_campaign(2, lambda: tmp_path_factory.mktemp("home"))


@pytest.fixture
def campaign(generation: int, request: pytest.FixtureRequest) -> Campaign:
    found: Campaign = request.getfixturevalue(("first_generation", "second_generation")[generation - 1])
    return found


def run_campaign(generation: int, new_home: Callable[[], Path]) -> Campaign:
    clock = Clock()
    cases = starts(generation)
    simulator = CaseByCase(World.of_records(record for start in cases for record in records_of(start)))
    simulator.world.clock = clock.now
    with serve(simulator) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTACHMENT_ALERTS_RECHECK_HOURS", "0")

        def polled_until_the_cases_begin() -> Account:
            site = Site(new_home(), "campaign", running, clock)
            account = Account(site, connector(running, generation, first_look_back_days=7))
            patch.setenv("ATTACHMENT_ALERTS_HOME", str(site.home))
            patch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "168")
            simulator.plan(generation, 0)
            site.at(min(cases))
            assert not account.poll().failed
            site.at(END)
            return account

        without = polled_until_the_cases_begin()
        assert not without.poll().failed
        campaign = Campaign(polled_until_the_cases_begin(), cases, without.site.tables(moments=False))
        patch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "1")
        for times in (None, 1, 0):
            simulator.plan(generation, times)
            campaign.poll()
        campaign.brought = campaign.site.tables(moments=False)
    return campaign


@pytest.mark.parametrize(("generation", "case"), each(QUIRKS))
def test_a_quirk_does_no_harm(case: Case, campaign: Campaign) -> None:
    assert campaign.attempts[0][case] == ("complete", None, None)


@pytest.mark.parametrize(("generation", "case"), each(TROUBLES))
def test_trouble_costs_its_slice_while_it_lasts_and_no_record_in_the_end(case: Case, campaign: Campaign) -> None:
    lasting, once, gone = (attempts.get(case, ("complete",)) for attempts in campaign.attempts)
    assert lasting[:2] == (("failed", case.error) if case.error else ("complete", None))
    assert (lasting[-1] is None) == (case.error is None)
    assert once[0] == ("failed" if case.costs else "complete")
    assert gone[0] == "complete"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_in_the_end_the_tables_are_as_without_any_trouble(campaign: Campaign) -> None:
    assert differences(campaign.brought, campaign.expected) == []
    counts = {name: len(frame) / len(campaign.starts) for name, frame in campaign.brought.items() if len(frame)}
    assert counts == {"scans": 9, "alerts": 6, "alert_groups": 4, "rejects": 1, "exposures": 3}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_watermark_stops_before_the_first_slice_that_failed(campaign: Campaign) -> None:
    troubled = [start for start, case in campaign.starts.items() if case.error]
    costly = [start for start, case in campaign.starts.items() if case.costs]
    assert campaign.watermarks[:2] == [min(troubled), min(costly)]
    assert campaign.watermarks[2] > END - timedelta(minutes=3)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_run_stats_count_failed_slices_and_their_errors(campaign: Campaign) -> None:
    for stats, attempts in zip(campaign.stats, campaign.attempts, strict=True):
        errors = [error for state, _, error in attempts.values() if state == "failed"]
        assert (stats.failed, set(stats.errors)) == (len(errors), set(errors))


@pytest.fixture
def one_slice(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Account]]:
    """An account of an API generation whose first poll finds the first case's records in one slice of three pages."""
    hours = next(hours for hours in range(168, 24, -1) if _no_edge_in_the_last_day(hours))
    monkeypatch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", str(hours))
    prepare_home(home)
    with ExitStack() as stack:

        def make(generation: int, page_size: int = PAGE) -> Account:
            clock, world = Clock(), World.of_records(records_of(END - timedelta(hours=3)))
            world.clock = clock.now
            running = stack.enter_context(serve(Simulator(world)))
            site = Site(home, "account", running, clock)
            site.at(noon())
            return Account(site, connector(running, generation, page_size=page_size))

        yield make


def _no_edge_in_the_last_day(hours: int) -> bool:
    """Whether slices of that length, whose edges are multiples of it since 1970, have none in the day before END."""
    epoch, length = datetime(1970, 1, 1, tzinfo=UTC), timedelta(hours=hours)
    return (END - epoch) // length == (END - timedelta(days=1, minutes=1) - epoch) // length


def loaded(site: Site) -> bool:
    """Whether each of the records is there, once."""
    facts = site.query("SELECT count(*), count(DISTINCT scan_id) FROM scans")[0]
    return facts == (9, 9) and site.query("SELECT count(*) FROM rejects") == [(1,)]


@pytest.mark.parametrize(
    ("fault", "generation"),
    [
        (fault, generation)
        for fault in map(Fault, KEYS)
        for generation in GENERATIONS
        if fault.generation in (None, generation)
    ],
)
def test_refused_keys_end_the_run_until_they_are_accepted(
    fault: Fault, generation: int, one_slice: Callable[..., Account]
) -> None:
    account = one_slice(generation)
    site = account.site
    site.faults.inject(fault, times=None)
    kind, sentence = failure_of(account)
    assert kind == KEYS[fault]
    assert site.stored("SELECT DISTINCT state, error_kind, error FROM internal.windows") == [("failed", kind, sentence)]
    assert site.health()[::2] == ("auth_failed", sentence)
    assert site.stored("SELECT count(*) FROM coverage") == [(0,)]
    site.faults.clear()
    if fault in ("developer-key", "token-expired", "token-unverified"):  # once, the client passes these
        site.faults.inject(fault, after=1)
    assert not account.poll().failed
    assert loaded(site)
    assert site.health() == ("ok", 0, None)


def failure_of(account: Account) -> tuple[str, str]:
    """Kind and sentence of the error that a poll ends with: before its first slice, or in it."""
    try:
        (sentence,) = account.poll().errors
    except AlertsError as error:
        return type(error).__name__, str(error)
    return account.site.stored("SELECT error_kind FROM internal.windows ORDER BY rowid DESC LIMIT 1")[0][0], sentence


@pytest.mark.parametrize(("fault", "generation"), [("429", 1), ("429", 2), ("token-expired", 2), ("developer-key", 1)])
def test_in_the_middle_of_paging_the_same_page_is_asked_again(
    fault: str, generation: int, one_slice: Callable[..., Account]
) -> None:
    account = one_slice(generation)
    site = account.site
    site.faults.inject(fault, after=2)
    stats = account.poll()
    assert loaded(site)
    bodies = [asked.body for asked in site.simulator.requests if asked.path == LOGS_PATH and asked.status != 401]
    repeated = [body for place, body in enumerate(bodies) if body in bodies[:place]]
    refused = [asked for asked in site.simulator.requests if asked.path == LOGS_PATH and asked.status == 401]
    assert len(repeated) + len(refused) == 1
    assert all(body["meta"]["pagination"].get("pageToken") for body in repeated)
    assert stats.refusals == (fault == "429")


@pytest.mark.parametrize(("fault", "generation"), [(EMPTY_TAILS[0], 1), (EMPTY_TAILS[1], 1), (EMPTY_TAILS[0], 2)])
def test_empty_pages_are_an_end_with_a_warning_whatever_the_total(
    fault: str, generation: int, one_slice: Callable[..., Account], caplog: pytest.LogCaptureFixture
) -> None:
    account = one_slice(generation)
    site = account.site
    site.faults.inject(fault)
    assert not account.poll().failed
    assert ("poll", "complete_empty_tail") in [window[:2] for window in site.windows()]
    assert [record.levelname for record in caplog.records if "empty pages" in record.getMessage()] == ["WARNING"]
    assert not loaded(site)
    # What was not listed is found by the daily re-check.
    site.later(hours=25)
    assert account.poll().late == 9 - PAGE
    assert loaded(site)


def test_faults_of_the_token_endpoint_pass_too(one_slice: Callable[..., Account]) -> None:
    account = one_slice(2)
    site = account.site
    faults = ["429", "500", "502", "503", "405", "cut", "truncated-json", "html-200"]
    for fault in faults:
        site.faults.inject(fault, path=TOKEN_PATH, seconds=1)
    assert not account.poll().failed
    assert site.faults.happened == dict.fromkeys(faults, 1)
    assert loaded(site)


def test_faults_at_random_all_the_time(one_slice: Callable[..., Account]) -> None:
    account = one_slice(2, page_size=1)
    site = account.site
    site.faults.rate = 0.3
    site.faults.names = tuple(fault for fault in site.faults.names if fault != "405")  # is given two tries only
    assert not account.poll().failed
    assert sum(site.faults.happened.values()) > 2
    assert loaded(site)
