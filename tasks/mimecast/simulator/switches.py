"""What nobody outside the vendor knows for certain about the API: each open question is a switch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Switches:
    """Defaults are the better-founded answers."""

    clock_skew_check: bool = False  # 1.0 refuses an x-mc-date more than clock_skew_seconds away
    clock_skew_seconds: int = 300
    server_time_offset: float = 0.0  # the server's own clock, seconds ahead; its Date header tells

    rate_limit: int = 800  # calls per key …
    rate_window_ms: int = 5_000  # … in a fixed window
    unknown_key_rate_limit: int = 5_000
    rate_limit_body: Literal["empty", "fail"] = "empty"  # what a 429 carries
    reset_header: Literal[
        "x-ratelimit-reset",
        "x-rate-limit-reset",
        "retry-after",
        "epoch-seconds",
        "epoch-milliseconds",
        "none",
    ] = "x-ratelimit-reset"  # the first two in milliseconds, as recorded

    to_inclusive: bool = True
    token_with_other_dates: Literal["token", "fail"] = "token"  # which wins  # noqa: S105 - a page token
    empty_page_with_next: bool = False  # a listing ends in an empty page that still has a `next`
    empty_form: Literal["object", "list"] = "object"  # data:[{"attachmentLogs":[]}] or data:[]
    page_size_form: Literal["returned", "asked"] = "returned"  # meaning of pagination.pageSize in an answer
    max_page_size: int = 500
    total_count_v1: bool = False  # totalCount in 1.0 as well

    v1_fail_first: bool = True  # 1.0 answers fail, meta, data; else meta, data, fail as in 2.0
    v1_escape_slashes: bool = True
    v1_python_bodies: bool = True  # 1.0 also takes {'a': True}; 2.0 never does

    token_seconds: int = 1_799  # life of a 2.0 access token
    bad_client_form: Literal["flat", "oauth"] = "flat"  # body for a wrong client secret
