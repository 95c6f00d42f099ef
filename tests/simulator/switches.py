"""What is not known for certain about the vendor's API: each open question is a switch."""

from dataclasses import dataclass
from typing import Annotated, Literal

ResetHeader = Literal[
    "x-ratelimit-reset", "x-rate-limit-reset", "retry-after", "epoch-seconds", "epoch-milliseconds", "none"
]


@dataclass(frozen=True)
class Switches:
    """Defaults are the better-founded answers; each switch has its line for `--list`."""

    clock_skew_check: Annotated[bool, "API 1.0 refuses a request dated far from the server's clock"] = False
    clock_skew_seconds: Annotated[int, "how far is too far"] = 300
    server_time_offset: Annotated[float, "seconds the server's clock (its Date header) is ahead"] = 0.0

    rate_limit: Annotated[int, "calls per key in a rate window"] = 800
    rate_window_ms: Annotated[int, "length of the fixed rate window"] = 5_000
    unknown_key_rate_limit: Annotated[int, "calls per rate window of all unknown keys together"] = 5_000
    rate_limit_body: Annotated[Literal["empty", "fail"], "what a 429 carries"] = "empty"
    reset_header: Annotated[ResetHeader, "name or unit of the header with the end of the rate window"] = (
        "x-ratelimit-reset"
    )

    to_inclusive: Annotated[bool, "a row dated exactly `to` belongs to the listing"] = True
    token_with_other_dates: Annotated[
        Literal["token", "fail"], "a page token beside other dates: it wins, or the call fails"
    ] = "token"
    empty_page_with_next: Annotated[bool, "a listing ends in an empty page that still has a `next`"] = False
    empty_form: Annotated[Literal["object", "list"], 'data:[{"attachmentLogs":[]}] or data:[]'] = "object"
    page_size_form: Annotated[Literal["returned", "asked"], "what pagination.pageSize of an answer counts"] = "returned"
    max_page_size: Annotated[int, "more rows than this are never in a page"] = 500
    total_count_v1: Annotated[bool, "totalCount in API 1.0 as well"] = False

    v1_fail_first: Annotated[bool, "API 1.0 orders fail, meta, data; else as API 2.0"] = True
    v1_escape_slashes: Annotated[bool, "API 1.0 writes / as \\/"] = True
    v1_python_bodies: Annotated[bool, "API 1.0 also reads {'a': True}"] = True

    token_seconds: Annotated[int, "life of an access token of API 2.0"] = 1_799
    bad_client_form: Annotated[Literal["flat", "oauth"], "what a wrong client secret is answered"] = "flat"
