"""Each printed page against its golden file; and the parts of a group's description, response and time span."""

from datetime import timedelta

import pytest

from flows.cli.views.groups import Described, described, response, response_lines, span
from tests.flows.cli.views import FIRST, GOLDEN, NARROW, ORDINARY, PAGES, WIDE, ZONE, page


@pytest.mark.parametrize("name", PAGES)
def test_page_is_as_its_golden_file(name: str) -> None:
    printed = page(name)
    assert printed == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8"), "python -m tests.flows.cli.views"
    narrow, wide = printed.split("=" * WIDE)
    assert max(len(line) for line in narrow.splitlines()) <= NARROW
    assert max(len(line) for line in wide.splitlines()) <= WIDE


@pytest.mark.parametrize(
    ("description", "parts"),
    [
        ("Bad · application/x-zip · a.zip", Described("Bad", "zip", "a.zip")),
        ("Bad · application/octet-stream", Described("Bad", "binary", "")),
        ("Bad · a · b.doc", Described("Bad", "a", "b.doc")),
        ("Bad · report.pdf", Described("Bad", "", "report.pdf")),
        ("Bad", Described("Bad", "", "")),
    ],
)
def test_description_is_split_into_its_parts(description: str, parts: Described) -> None:
    assert described({"sub_classification": "Bad", "description": description}) == parts


@pytest.mark.parametrize(
    ("worst", "released", "parts"),
    [
        ("no_action", 0, ["no action"]),
        ("released", 1_234, ["released"]),
        ("released", 2, ["released", "2 of 1,234"]),
        ("no_action", 2, ["no action", "2 released"]),
    ],
)
def test_response_has_the_worst_disposition_and_the_number_released(
    worst: str, released: int, parts: list[str]
) -> None:
    group = ORDINARY | {"worst_disposition": worst, "released_count": released}
    assert response_lines(group).plain.split("\n") == parts
    assert response(group).plain.replace(" ·", "").split() == " ".join(parts).split()


@pytest.mark.parametrize(
    ("later", "text"),
    [
        (timedelta(seconds=30), "2025-03-01 10:05"),
        (timedelta(hours=1), "2025-03-01 10:05 → 11:05"),
        (timedelta(days=1), "2025-03-01 10:05 → 03-02 10:05"),
        (timedelta(days=365), "2025-03-01 10:05 → 2026-03-01 10:05"),
    ],
)
def test_span_does_not_repeat_what_both_times_have_in_common(later: timedelta, text: str) -> None:
    assert span(ORDINARY | {"last_detected_at": FIRST + later}, ZONE).plain == text
