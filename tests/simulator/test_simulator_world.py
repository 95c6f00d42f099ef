"""Simulated data: the same for the same seed, never more in memory than a page needs, and true to life."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.simulator import Switches, World
from tests.simulator.asking import asking, rows
from tests.simulator.generated import GeneratedStock
from tests.simulator.people import PEOPLE, SHARED_ADDRESSES
from tests.simulator.rows import Query, epoch

DAY = datetime(2024, 11, 17, tzinfo=UTC)
LONG_AFTER = DAY + timedelta(days=300)


def query(start: datetime, end: datetime, as_of: datetime = LONG_AFTER, **more) -> Query:
    """The listing of [start, end) as it stood at `as_of`."""
    return Query(epoch(start), epoch(end) - 1, epoch(as_of), **more)


def listed(world: World, asked: Query, size: int = 500) -> list[dict]:
    found, position = [], world.beginning(asked)
    while position:
        listing = world.page(asked, position, size)
        found += listing.records
        position = listing.next
    return found


@pytest.fixture(scope="module")
def day() -> list[dict]:
    return listed(World(per_day=20_000), query(DAY, DAY + timedelta(days=1)))


def test_same_arguments_same_rows_in_any_cut():
    whole = listed(World(seed=3, per_day=5_000), query(DAY, DAY + timedelta(hours=12)))
    world, parts = World(seed=3, per_day=5_000), []
    for minutes in range(0, 720, 45):
        start = DAY + timedelta(minutes=minutes)
        parts += listed(world, query(start, start + timedelta(minutes=45)), size=7)
    assert parts == whole
    assert whole != listed(World(seed=4, per_day=5_000), query(DAY, DAY + timedelta(hours=12)))


def test_every_day_has_as_many_rows_as_asked_and_they_are_sorted(day):
    assert len(day) == 20_000
    assert day == sorted(day, key=lambda row: row["date"])
    newest_first = listed(World(per_day=20_000), query(DAY, DAY + timedelta(days=1), oldest_first=False))
    assert newest_first == day[::-1]


def test_nothing_is_outside_the_bounds_of_a_world():
    start, end = DAY + timedelta(hours=8, minutes=7), DAY + timedelta(hours=9, minutes=13)
    world = World(per_day=20_000, start=start, end=end)
    asked = query(DAY, DAY + timedelta(days=1))
    found = listed(world, asked)
    assert found[0]["date"] >= "2024-11-17T08:07:00" and found[-1]["date"] < "2024-11-17T09:13:00"
    assert world.count(asked) == len(found)
    assert listed(world, query(DAY + timedelta(days=2), DAY + timedelta(days=3))) == []


@pytest.mark.parametrize("minutes", [3, 60, 600, 1_440, 30_000])
def test_totals_are_exact_also_close_to_now(minutes):
    world, end = World(per_day=3_000), DAY + timedelta(hours=15, minutes=20, seconds=5)
    asked = query(end - timedelta(minutes=minutes), end, as_of=end)
    assert world.count(asked) == len(listed(world, asked))
    assert world.count(query(DAY, end, route="internal")) == len(listed(world, query(DAY, end, route="internal")))


def test_ten_million_rows_a_day_are_not_made_in_advance():
    world = World(per_day=10_000_000, clock=lambda: LONG_AFTER)
    assert isinstance(world.stock, GeneratedStock)
    with asking(2, world) as client:
        asked = {"from": "2024-09-01T00:00:00Z", "to": "2024-11-01T00:00:00Z"}
        page = client.logs(size=500, **asked).json()
        token = page["meta"]["pagination"]["next"]
        assert len(rows(page)) == len(rows(client.logs(token, 500, **asked))) == 500
        assert 610_000_000 <= page["meta"]["pagination"]["totalCount"] <= 610_001_000
        assert world.stock.built < 40
    world.count(query(DAY, LONG_AFTER, result="malicious"))
    assert world.stock.built < 40


def test_late_rows_appear_minutes_to_hours_after_their_date():
    world, noon = World(per_day=20_000), DAY + timedelta(hours=12)
    window = (noon - timedelta(hours=2), noon)
    sizes = [world.count(query(*window, as_of=noon + timedelta(minutes=m))) for m in (0, 10, 60, 600)]
    assert sizes == sorted(sizes) and len(set(sizes)) == 4
    assert sizes[0] > 0.95 * sizes[3]
    assert listed(world, query(noon, noon + timedelta(days=1), as_of=noon - timedelta(minutes=1))) == []


def test_verdicts_and_actions_change_later():
    world, noon = World(per_day=20_000), DAY + timedelta(hours=12)
    window = (noon - timedelta(hours=3), noon)

    def seen(minutes: int) -> Counter:
        found = listed(world, query(*window, as_of=noon + timedelta(minutes=minutes)))
        return Counter(v for row in found for v in (row.get("result"), row.get("actionTriggered")))

    early, late = seen(0), seen(600)
    assert late["unknown"] < early["unknown"] and late["malicious"] > early["malicious"]
    assert late["user release, none"] > early["user release, none"]


def test_data_is_true_to_life(day):
    verdicts = Counter(str(row.get("result")) for row in day)
    assert 0.75 < verdicts["safe"] / len(day) < 0.87
    assert {"malicious", "unsafe", "unknown", "timeout", "error", "clean", "suspicious macro", "None"} <= set(verdicts)
    hashes = Counter(row["fileHash"] for row in day if row.get("fileHash"))
    assert hashes.most_common(1)[0][1] > 500 and len(hashes) > 3_000
    mails = Counter(row["messageId"] for row in day if row.get("messageId"))
    assert mails.most_common(1)[0][1] >= 15
    assert {row["route"] for row in day} == {"inbound", "outbound", "internal", "external"}


def test_two_attachments_of_one_mail_share_message_id_and_date(day):
    mails: dict[str, set] = {}
    for row in day:
        if row.get("messageId") and not str(row.get("actionTriggered")).startswith("user release"):
            mails.setdefault(row["messageId"], set()).add((row["date"], row.get("fileHash", "").lower()))
    several = [parts for parts in mails.values() if len({sha for _, sha in parts}) > 1]
    assert len(several) > 500
    assert all(len({when for when, _ in parts}) == 1 for parts in several)


def test_odd_values_occur(day):
    assert any(row["senderAddress"] == "<>" for row in day)
    assert any(row.get("fileHash", "") != row.get("fileHash", "").lower() for row in day)
    for name in ("messageId", "fileHash", "subject", "definition", "result"):
        assert any(name not in row for row in day)
    assert any(row.get("subject", "") is None for row in day) and any(row.get("subject") == "" for row in day)
    assert any("actiontriggered" in row for row in day) and any("threatScore" in row for row in day)
    assert any(row["fileType"].endswith(".presentationml") for row in day)
    padded = re.compile(r"[A-Z].{49}\r\nTime taken: \d+ hrs, \d+ min, \d+ sec")
    assert sum(bool(padded.fullmatch(row["details"])) for row in day) > 0.99 * len(day)


def test_all_addresses_are_in_reserved_domains(day):
    reserved = re.compile(r".*(@|\.)(example\.com|example\.org|[\w-]+\.example|[\w-]+\.test)", re.IGNORECASE)
    story = [row for row in listed(demo_world(), demo_query()) if isinstance(row, dict)]
    for row in [*day, *story]:
        for name in ("senderAddress", "recipientAddress"):
            assert row[name] == "<>" or reserved.fullmatch(row[name]), row[name]


def test_company_is_a_few_hundred_people_with_addresses_of_their_own():
    addresses = [a for person in PEOPLE for a in (person.mail, *person.aliases)] + list(SHARED_ADDRESSES)
    assert len(PEOPLE) == 384
    assert len(set(addresses)) == len(addresses)
    assert all(address.isascii() and address == address.lower() for address in addresses)


def demo_world(anchor: datetime = DAY) -> World:
    return World.demo(anchor)


def demo_query(anchor: datetime = DAY, days: int = 6) -> Query:
    return query(anchor - timedelta(days=days), anchor)


def test_demo_tells_the_same_story_for_the_same_anchor_within_six_days():
    story = listed(demo_world(), demo_query())
    assert story == listed(demo_world(), demo_query())
    assert len(story) == demo_world().count(query(DAY - timedelta(days=900), LONG_AFTER))
    assert 300 < len(story) < 3_000
    assert listed(demo_world(), query(DAY, LONG_AFTER)) == []


def test_demo_has_a_campaign_an_exposure_hostile_names_and_rejects():
    story = listed(demo_world(), demo_query())
    scans = [row for row in story if isinstance(row, dict)]
    campaign = [row for row in scans if row["fileName"] == "Invoice_88213.html"]
    caught = [row for row in campaign if row["result"] == "malicious"]
    assert len({row["fileHash"] for row in campaign}) == 1
    assert len({row["recipientAddress"] for row in caught}) >= 25
    assert sum(row["actionTriggered"].startswith("user release") for row in caught) == 4
    assert {"malicious", "unsafe", "unknown", "timeout", "error", "suspicious macro", "safe"} == {
        row["result"] for row in scans
    }
    prices = [row["result"] for row in scans if row["fileName"] == "Price list spring.xlsx"]
    assert prices == ["safe"] * 8 + ["malicious"] * 2
    names = "".join(str(row["fileName"]) for row in scans)
    assert all(sign in names for sign in ("\x1b[", "<img", "=cmd|", "\u202e"))
    assert len(scans) < len(story)


def test_rows_cross_http_unchanged_in_both_generations():
    start, end = DAY + timedelta(hours=9), DAY + timedelta(hours=10)
    expected = listed(World(per_day=20_000), query(start, end))
    for generation in (1, 2):
        world = World(per_day=20_000, clock=lambda: LONG_AFTER)
        with asking(generation, world, switches=Switches(to_inclusive=False)) as client:
            asked = {"from": "2024-11-17T09:00:00+0000", "to": "2024-11-17T10:00:00+0000"}
            assert [row for page in client.pages(size=500, **asked) for row in rows(page)] == expected
