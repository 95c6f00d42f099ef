"""get-logs: from the body of a request to a page of records."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tests.simulator.accounts import Account
from tests.simulator.answers import Answer, Envelopes
from tests.simulator.faults import Fault
from tests.simulator.rows import Query, date_text, epoch, parse_date
from tests.simulator.tokens import ENDLESS, PageToken, decode_token, encode_token
from tests.simulator.world import Listing, World

_DEFAULT_PAGE_SIZE = 100  # the vendor's is not documented
_FORTY_DAYS = 40 * 86_400
_EMPTY = Listing([], None, None)
_EMPTIES = {Fault.ENDLESS_PAGES: ENDLESS, Fault.EMPTY_PAGES: 3}


@dataclass(frozen=True)
class LogsRequest:
    """The request of a client, as far as it is valid."""

    asked: Mapping[str, Any]
    size: int
    token: str

    @classmethod
    def of(cls, body: Mapping[str, Any], max_page_size: int) -> "LogsRequest":
        """Unknown keys are ignored and missing ones have defaults, as the vendor does."""
        data = body.get("data")
        asked = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
        meta = body.get("meta")
        pagination = meta.get("pagination") if isinstance(meta, dict) else None
        pagination = pagination if isinstance(pagination, dict) else {}
        size, token = pagination.get("pageSize"), pagination.get("pageToken")
        size = size if isinstance(size, int) and size > 0 else _DEFAULT_PAGE_SIZE
        return cls(asked, min(size, max_page_size), token if isinstance(token, str) else "")

    def unreadable_date(self) -> str | None:
        """The field whose date has an unknown format."""
        given = (field for field in ("from", "to") if field in self.asked)
        return next((field for field in given if parse_date(self.asked[field]) is None), None)


class LogsEndpoint:
    """Answers get-logs for one API generation and one account's world."""

    def __init__(self, envelopes: Envelopes, account: Account, world: World) -> None:
        self._envelopes, self._account, self._world = envelopes, account, world
        self._switches = envelopes.switches

    def answer(self, body: Mapping[str, Any], fault: Fault | None = None) -> Answer:
        request = LogsRequest.of(body, self._switches.max_page_size)
        wrong = request.unreadable_date()
        if wrong:  # the code for it is not public: named like the vendor's other ones
            return self._envelopes.failed(200, "err_validation_invalid_date", "Date is not valid", wrong)
        token = self._token(request)
        if token is None or fault is Fault.TOKEN_REFUSED:
            return refused_page_token(self._envelopes)
        listing = self._listing(token, request.size)
        following = self._following(token, listing, fault)
        pagination = self._pagination(token, listing, following, request.size)
        if fault is Fault.REPEATED_TOKEN:
            pagination["next"] = request.token
        if fault is Fault.TOTAL_TOO_LARGE:
            pagination["totalCount"] = (token.total or 0) + 1_000
        records = list(map(_forty_days_earlier, listing.records)) if fault is Fault.DATES_IGNORED else listing.records
        return self._envelopes.good(self._data(records), pagination)

    def _token(self, request: LogsRequest) -> PageToken | None:
        """The token sent, or one for a listing that begins; None when it cannot be accepted."""
        if not request.token:
            query = self._query(request)
            position = self._world.beginning(query)
            empties = int(position is None and self._switches.empty_page_with_next)
            return PageToken(self._account.code, query, self._world.count(query), position, empties)
        token = decode_token(request.token)
        if token is None or token.account != self._account.code:
            return None
        strict = self._switches.token_with_other_dates != "token"
        return None if strict and self._differs(request, token.query) else token

    def _query(self, request: LogsRequest) -> Query:
        now = epoch(self._world.clock())
        midnight = now - now % 86_400
        first, last = (parse_date(request.asked.get(field)) for field in ("from", "to"))
        last = now if last is None else last if self._switches.to_inclusive else last - 1
        return Query(
            first=midnight if first is None else first,
            last=last,
            as_of=now,
            oldest_first=request.asked.get("oldestFirst") is True,
            route=str(request.asked.get("route", "all")).lower(),
            result=str(request.asked.get("result", "all")).lower(),
        )

    def _differs(self, request: LogsRequest, query: Query) -> bool:
        """Whether the data beside a token differs from it; missing fields are ignored."""
        asked = self._query(request)
        names = {
            "from": "first",
            "to": "last",
            "oldestFirst": "oldest_first",
            "route": "route",
            "result": "result",
        }
        return any(getattr(asked, name) != getattr(query, name) for key, name in names.items() if key in request.asked)

    def _listing(self, token: PageToken, size: int) -> Listing:
        if token.empties or token.position is None:
            return _EMPTY
        return self._world.page(token.query, token.position, size)

    def _following(self, token: PageToken, listing: Listing, fault: Fault | None) -> PageToken | None:
        """What `next` stands for; None: no more pages."""
        if token.empties:
            return msgspec.structs.replace(token, empties=token.empties - 1)
        following = msgspec.structs.replace(token, position=listing.next)
        if fault in _EMPTIES:
            return msgspec.structs.replace(following, empties=_EMPTIES[fault])
        if listing.next:
            return following
        if token.position and self._switches.empty_page_with_next:
            return msgspec.structs.replace(following, empties=1)
        return None

    def _pagination(self, token: PageToken, listing: Listing, following: PageToken | None, size: int) -> dict[str, Any]:
        returned = self._switches.page_size_form == "returned"
        pagination: dict[str, Any] = {"pageSize": len(listing.records) if returned else size}
        counted = self._envelopes.generation == 2 or self._switches.total_count_v1
        if counted and token.total is not None:
            pagination["totalCount"] = token.total
        if following:
            pagination["next"] = encode_token(following)
        if listing.previous:
            pagination["previous"] = encode_token(msgspec.structs.replace(token, position=listing.previous))
        return pagination

    def _data(self, records: list[Any]) -> list[Any]:
        if not records and self._switches.empty_form == "list":
            return []
        return [{"attachmentLogs": records}]


def refused_page_token(envelopes: Envelopes) -> Answer:
    """The code for this stream is not public: this is that of the vendor's SIEM stream."""
    return envelopes.failed(200, "err_audit_siem_invalid_token", "The page token is not valid")


def _forty_days_earlier(record: Any) -> Any:
    when = parse_date(record.get("date")) if isinstance(record, dict) else None
    return record if when is None else record | {"date": date_text(when - _FORTY_DAYS)}
