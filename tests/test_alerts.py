"""Identity of a scan: its formula, written again with hashlib."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tasks.alerts import MOMENT, Distinct, fingerprint, scan_id
from tests.examples import examples

CONNECTOR = "1" * 32
FIELDS = ("message_id", "sender", "recipient", "file_name", "file_hash")
LOWERED = {"sender", "recipient", "file_hash"}
DISTINCT = {*LOWERED, "date"}
# The characters that Unicode calls white space; Python's own `strip` also takes four control characters for blanks.
BLANKS = "".join(
    map(chr, [*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000])
)
WHEN = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE = dict.fromkeys(FIELDS, "x") | {"date": WHEN}

# Unassigned characters are left out: later versions of Unicode may give them a lower case.
letters = st.characters(codec="utf-8", exclude_categories=["Cn"])
text = (
    st.none() | st.text(letters, max_size=12) | st.sampled_from(["<>", "Ann@Contoso.EXAMPLE", " İx ", "ΟΔΟΣ", "😀.pdf"])
)
dates = st.datetimes(datetime(2003, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
readings = st.fixed_dictionaries(dict.fromkeys(FIELDS, text) | {"date": dates})


def ids(rows: list[dict[str, Any]], connector: str = CONNECTOR) -> list[str]:
    frame = pl.DataFrame(rows, dict.fromkeys(FIELDS, pl.String) | {"date": MOMENT})
    columns = {name: Distinct(column) if name in DISTINCT else column for name, column in frame.to_dict().items()}
    return scan_id(connector, **columns).to_list()


def by_hand(row: dict[str, Any], connector: str = CONNECTOR) -> str:
    parts = [connector]
    for name in FIELDS:
        part = (row[name] or "").strip(BLANKS)
        parts.append(part.lower() if name in LOWERED else part)
    parts.append(str(int(row["date"].timestamp())))
    encoded = [part.encode() for part in parts]
    return sha256(b"".join(b"%d:%s" % (len(part), part) for part in encoded)).hexdigest()[:32]


@examples(50)
@given(st.lists(readings, min_size=1, max_size=5))
def test_identity_equals_its_formula(rows: list[dict[str, Any]]) -> None:
    assert ids(rows) == [by_hand(row) for row in rows]


def test_identity_of_a_known_record_is_unchanged() -> None:
    assert ids([ONE]) == ["45ac88906a1c0833a0a312692eaacf2f"]


@given(st.sampled_from(FIELDS))
def test_null_missing_and_empty_are_one(name: str) -> None:
    assert len({*ids([ONE | {name: value} for value in (None, "", " ", "\t\r\n")])}) == 1


def test_blanks_around_and_the_case_of_addresses_and_hash_do_not_count() -> None:
    for name in FIELDS:
        plain, blanks, upper = ids([ONE | {name: value} for value in ("ab c", " ab c\t", "AB C")])
        assert plain == blanks
        assert (plain == upper) == (name in LOWERED)


def test_every_field_counts_and_in_its_own_place() -> None:
    rows = [ONE, *(ONE | {name: "y"} for name in FIELDS), ONE | {"date": WHEN.replace(second=1)}]
    assert len(set(ids(rows))) == len(rows)
    assert ids([ONE]) != ids([ONE], connector="2" * 32)


def test_another_date_is_another_scan_to_the_second() -> None:
    same, fraction, later = ids(
        [ONE | {"date": WHEN.replace(second=s, microsecond=u)} for s, u in ((0, 0), (0, 9), (1, 0))]
    )
    assert same == fraction
    assert same != later


def test_lengths_keep_neighbours_apart() -> None:
    pairs = [("ab", "c"), ("a", "bc"), ("1:a", ""), ("", "1:a"), ("ä", "b"), ("a", "äb")]
    found = ids([ONE | {"message_id": one, "sender": other} for one, other in pairs])
    assert len(set(found)) == len(pairs)


def test_length_is_counted_in_bytes() -> None:
    frame = pl.DataFrame({"part": ["ä"]})
    assert frame.select(fingerprint([pl.col("part")])).item() == sha256("2:ä".encode()).hexdigest()[:32]
