"""The simulated service: the order in which a request is charged, checked and answered."""

from collections import deque
from dataclasses import replace
from typing import Any

from tests.simulator.accounts import Account
from tests.simulator.answers import Answer, Envelopes, json_answer
from tests.simulator.credentials import SignatureCheck, TokenEndpoint
from tests.simulator.fault_answers import altered, answer_instead, forbidden
from tests.simulator.faults import Call, Fault, Faults, Plan
from tests.simulator.incoming import (
    DISCOVERY_PATH,
    LOGS_PATH,
    TOKEN_PATH,
    Incoming,
    ReceivedRequest,
)
from tests.simulator.limits import UNKNOWN_KEY, Charge, RateLimiter, rate_headers
from tests.simulator.logs import LogsEndpoint
from tests.simulator.people import DOMAIN
from tests.simulator.switches import Switches
from tests.simulator.world import World

_REMEMBERED_REQUESTS = 10_000


class Simulator:
    """Worlds behind accounts, with switches and faults; `requests` are those received, the newest last."""

    def __init__(
        self,
        world: World,
        switches: Switches | None = None,
        faults: Faults | None = None,
        accounts: tuple[Account, ...] = (Account.numbered(1), Account.numbered(2)),
    ) -> None:
        self.world = world
        self.switches = switches or Switches()
        self.faults = faults or Faults()
        self.accounts = accounts
        self.requests: deque[ReceivedRequest] = deque(maxlen=_REMEMBERED_REQUESTS)
        self._limiter = RateLimiter(self.switches)
        self._signatures = SignatureCheck(accounts, self.switches)
        self._tokens = TokenEndpoint(accounts, self.switches)

    @property
    def access_tokens(self) -> set[str]:
        """The tokens that were issued in the last hour."""
        return self._tokens.issued

    def answer(self, incoming: Incoming) -> Answer:
        """Rate limit, planned faults, keys, permission, body: in this order."""
        charge = self._limiter.charge(self._rate_key(incoming))
        envelopes = Envelopes(incoming.generation, self.switches)
        call = Call(incoming.path, incoming.generation, incoming.has_page_token)
        plan = None if charge.exceeded else self.faults.take(call)
        if plan and plan.fault is Fault.S429:
            wait = 0.5 if plan.seconds is None else plan.seconds
            charge = replace(charge, remaining=0, reset_ms=int(wait * 1000), exceeded=True)
        if charge.exceeded:
            answer, account = self._too_many(envelopes), None
        else:
            answer, account = self._checked(incoming, envelopes, plan)
        if plan:
            answer = altered(answer, plan.fault, plan.seconds)
        return self._finished(incoming, answer, charge, account)

    def refuse(self, incoming: Incoming, status: int) -> Answer:
        """404 and 405 for what is not served; these calls are charged and recorded too."""
        charge = self._limiter.charge(self._rate_key(incoming))
        headers = {"allow": "POST"} if status == 405 else {}
        return self._finished(incoming, Answer(status, headers=headers), charge, None)

    def _checked(self, incoming: Incoming, envelopes: Envelopes, plan: Plan | None) -> tuple[Answer, Account | None]:
        refused = answer_instead(plan.fault, envelopes) if plan else None
        if refused:
            return refused, None
        if plan and plan.fault is Fault.TOKEN_EXPIRED:
            return self._tokens.revoke(incoming.headers), None
        if incoming.path == TOKEN_PATH:
            return self._tokens.issue(incoming.headers, incoming.raw), None
        if incoming.path == DISCOVERY_PATH:
            return self._discovery(incoming, envelopes), None
        desk = self._signatures if incoming.generation == 1 else self._tokens
        account = desk.admit(incoming)
        if isinstance(account, Answer):
            return account, None
        return self._permitted(incoming, envelopes, account, plan.fault if plan else None), account

    def _permitted(self, incoming: Incoming, envelopes: Envelopes, account: Account, fault: Fault | None) -> Answer:
        logs = incoming.path == LOGS_PATH
        if not (account.may_read_logs if logs else account.may_read_account):
            return forbidden(envelopes)
        if incoming.body is None:
            return _malformed(envelopes)
        if not logs:
            return envelopes.good([account.details()])
        return LogsEndpoint(envelopes, account, account.world or self.world).answer(incoming.body, fault)

    def _discovery(self, incoming: Incoming, envelopes: Envelopes) -> Answer:
        """Where an address lives: always here. An unknown address has no `region`."""
        data: Any = (incoming.body or {}).get("data")
        first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
        address = str(first.get("emailAddress", ""))
        found: dict[str, Any] = {"emailAddress": address, "authenticate": []}
        if address.lower().endswith(f"@{DOMAIN}"):
            found["authenticate"] = ["Basic-Cloud", "Basic-AD"]
            found["emailToken"] = "simulated-email-token"
            found["region"] = {"code": "loopback", "api": incoming.base_url}
        return envelopes.good([found])

    def _rate_key(self, incoming: Incoming) -> str:
        if incoming.path == TOKEN_PATH:
            return UNKNOWN_KEY
        return (self._signatures if incoming.generation == 1 else self._tokens).rate_key(incoming)

    def _too_many(self, envelopes: Envelopes) -> Answer:
        return Answer(429) if self.switches.rate_limit_body == "empty" else envelopes.bare(429)

    def _finished(self, incoming: Incoming, answer: Answer, charge: Charge, account: Account | None) -> Answer:
        code = account.code if account else None
        asked = ReceivedRequest(incoming.path, incoming.body_to_record, answer.status, incoming.generation, code)
        self.requests.append(asked)
        return replace(answer, headers=answer.headers | rate_headers(charge, self.switches))


def _malformed(envelopes: Envelopes) -> Answer:
    """API 1.0 may answer with an empty body; for 2.0 this is the shape one connector reads."""
    if envelopes.generation == 1:
        return Answer(400)
    return json_answer(400, {"error": {"message": "The request body is not valid JSON"}})
