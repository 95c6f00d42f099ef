"""Faults of the simulator: planned one by one, or at random with a seed."""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tasks.errors import SettingsError
from tests.simulator.incoming import LOGS_PATH, TOKEN_PATH


class Fault(StrEnum):
    """Every fault by name, with a line about what the client receives."""

    doc: str

    def __new__(cls, name: str, doc: str) -> "Fault":
        member = str.__new__(cls, name)
        member._value_ = name
        member.doc = doc
        return member

    S429 = "429", "quota exceeded: the call is not run, the wait is in the headers"
    S500 = "500", "platform error in the vendor's envelope"
    S502 = "502", "bad gateway with an HTML page"
    S503 = "503", "service unavailable, empty body"
    S405 = "405", "method not allowed, although it was POST (seen at random)"
    S418 = "418", "API 1.0: the keys have expired"
    S403 = "403", "the keys may not read attachment-protection logs"
    WRONG_REGION = "wrong-region", "API 1.0: 403, the account lives on another regional host"
    DEVELOPER_KEY = (
        "developer-key",
        "API 1.0: 200 with err_developer_key although the application id is right",
    )
    TOKEN_EXPIRED = "token-expired", "API 2.0: the access token stops being valid now"
    TOKEN_UNVERIFIED = "token-unverified", "API 2.0: 401 token_verification_failed for a good access token"
    CUT = "cut", "the connection ends in the middle of the body"
    TRUNCATED_JSON = "truncated-json", "a complete answer whose JSON stops half-way"
    HTML_200 = "html-200", "200 with an HTML page, as proxies and portals send"
    EMPTY_200 = "empty-200", "200 with no body"
    FAIL_200 = "fail-200", "200 whose fail[] is filled and whose data is empty"
    TOKEN_REFUSED = "token-refused", "200 whose fail[] refuses the page token"
    REPEATED_TOKEN = "repeated-token", "`next` is the page token that was just used"
    ENDLESS_PAGES = "endless-pages", "after this page only empty pages, each with a fresh `next`, for ever"
    EMPTY_PAGES = "empty-pages", "after this page three empty pages with fresh tokens, then the rest"
    TOTAL_TOO_LARGE = "total-too-large", "totalCount is 1,000 larger than the number of rows"
    DATES_IGNORED = "dates-ignored", "the rows are from forty days before the requested time"
    SLOW = "slow", "the answer takes some seconds"

    @property
    def generation(self) -> int | None:
        """The only API generation that has this fault; None: both."""
        if self in (Fault.S418, Fault.WRONG_REGION, Fault.DEVELOPER_KEY):
            return 1
        return 2 if self in (Fault.TOKEN_EXPIRED, Fault.TOKEN_UNVERIFIED) else None

    @property
    def needs_page_token(self) -> bool:
        return self in (Fault.TOKEN_REFUSED, Fault.REPEATED_TOKEN)

    @property
    def of_listings(self) -> bool:
        """Changes a page of rows, so it can only happen to get-logs."""
        return self.needs_page_token or self in (
            Fault.ENDLESS_PAGES, Fault.EMPTY_PAGES, Fault.TOTAL_TOO_LARGE, Fault.DATES_IGNORED,
        )  # fmt: skip


PASSING = (
    Fault.S429, Fault.S500, Fault.S502, Fault.S503, Fault.S405, Fault.DEVELOPER_KEY, Fault.TOKEN_EXPIRED,
    Fault.TOKEN_UNVERIFIED, Fault.CUT,
)  # fmt: skip
"""Faults that end when the client retries: the random faults unless others are named."""


@dataclass(frozen=True)
class Call:
    """What decides whether a fault can happen to a call."""

    path: str
    generation: int
    has_page_token: bool


@dataclass
class Plan:
    """A fault to come: for `times` calls (None: all) to `path` (None: any), after `after` calls without it."""

    fault: Fault
    times: int | None = 1
    after: int = 0
    path: str | None = LOGS_PATH
    seconds: float | None = None  # delay of a slow answer, or the wait that a 429 demands

    def hits(self, call: Call) -> bool:
        """Whether this plan applies now; counts the calls before it."""
        if self.path not in (None, call.path) or self.times == 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        return _possible(self.fault, call)


class Faults:
    """Planned faults first, in the order of their planning, one per call; then random ones at `rate`."""

    def __init__(self, rate: float = 0.0, seed: int = 0, names: Iterable[str] = PASSING) -> None:
        if not 0 <= rate <= 1:
            raise SettingsError(f"A fault rate lies between 0 and 1; got {rate}.")
        self.rate = rate
        self.names = tuple(map(fault_named, names))
        self.happened: Counter[str] = Counter()
        self._random = Random(seed)  # noqa: S311 - reproducible faults, not secrets
        self._plans: list[Plan] = []
        self._lock = threading.Lock()

    def inject(
        self,
        name: str,
        times: int | None = 1,
        after: int = 0,
        path: str | None = LOGS_PATH,
        seconds: float | None = None,
    ) -> None:
        """Plan a fault (see Plan). Raises SettingsError for an unknown name."""
        with self._lock:
            self._plans.append(Plan(fault_named(name), times, after, path, seconds))

    def clear(self) -> None:
        with self._lock:
            self._plans.clear()
            self.rate = 0.0

    def take(self, call: Call) -> Plan | None:
        """The fault that happens to this call."""
        with self._lock:
            hits = [plan for plan in self._plans if plan.hits(call)]
            plan = hits[0] if hits else self._by_chance(call)
            if plan:
                self.happened[plan.fault] += 1
                plan.times = None if plan.times is None else plan.times - 1
            return plan

    def _by_chance(self, call: Call) -> Plan | None:
        if not self.rate or self._random.random() >= self.rate:
            return None
        possible = [fault for fault in self.names if _possible(fault, call)]
        return Plan(possible[int(self._random.random() * len(possible))]) if possible else None


def fault_named(name: str) -> Fault:
    for fault in Fault:
        if fault == name:
            return fault
    raise SettingsError(f"There is no fault called {name!r}. Known: {', '.join(Fault)}.")


def _possible(fault: Fault, call: Call) -> bool:
    if fault.generation not in (None, call.generation):
        return False
    if fault.of_listings and call.path != LOGS_PATH:
        return False
    if fault.generation == 2 and call.path == TOKEN_PATH:  # there is no access token yet
        return False
    return call.has_page_token or not fault.needs_page_token
