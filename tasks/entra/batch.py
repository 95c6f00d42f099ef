"""Several requests in one (`$batch`): each has an answer of its own and may fail alone."""

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any, Literal

import httpx

from tasks.entra.failure import STATUSES
from tasks.entra.response import Page, Record, read_page
from tasks.http.failure import Failure, Retry
from tasks.http.retry import requested_wait

Absent = Literal["gone", "forbidden"]


def batch_body(paths: Sequence[str], done: Container[str]) -> dict[str, Any]:
    """The body of a batch, without the paths that are done, so that a retry requests only what failed."""
    remaining = [(place, path) for place, path in enumerate(paths) if path not in done]
    return {"requests": [{"id": str(place), "method": "GET", "url": path} for place, path in remaining]}


def sort_answers(paths: Sequence[str], answers: object, done: dict[str, Page | Absent]) -> bool | Failure:
    """Add the successful answers of a batch to `done`. Returns True, or the first failure, throttling before others."""
    by_id = (
        {str(answer.get("id")): answer for answer in answers if isinstance(answer, dict)}
        if isinstance(answers, list)
        else {}
    )
    failures: list[Failure] = []
    for place, path in enumerate(paths):
        if path in done:
            continue
        answer = by_id.get(str(place))
        result = _read_answer(answer) if answer else STATUSES.not_understood("an answer is missing in a batch")
        if isinstance(result, Failure):
            failures.append(result)
        else:
            done[path] = result
    failures.sort(key=lambda failure: (failure.retry is not Retry.THROTTLED, -(failure.wait or 0)))
    return failures[0] if failures else True


def _read_answer(answer: Record) -> Page | Absent | Failure:
    status, headers = answer.get("status"), answer.get("headers")
    if not isinstance(status, int):
        return STATUSES.not_understood("an answer without a status in a batch")
    if status == httpx.codes.NOT_FOUND:
        return "gone"
    if status == httpx.codes.FORBIDDEN:
        return "forbidden"
    texts = {str(name): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}
    usable = {
        name: value for name, value in texts.items() if name.lower() not in ("content-length", "content-encoding")
    }
    response = httpx.Response(status, headers=usable, json=answer.get("body"))
    page = read_page(response)
    return replace(page, wait=requested_wait(response)) if isinstance(page, Failure) else page
