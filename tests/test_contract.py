"""What analysts rely on in the file they open: relations and columns by name, lists of bounded length beside counts."""

from pathlib import Path

import pytest

from tasks.store.store import Store
from tests.scans import begun, load, scan

CONTRACT = Path(__file__).with_name("contract.txt").read_text(encoding="utf-8").splitlines()[1:]
MANY, LISTED = 60, 50


@pytest.fixture
def published(tmp_path: Path) -> Store:
    """One file to many people, in mails that differ in all but that."""
    store = begun(tmp_path)
    mails = [
        scan(
            recipient=f"user{number}@contoso.example",
            sender=f"eve@evil{number}.example",
            message_id=f"<{number}@evil.example>",
            subject=f"Invoice {number}",
            file_name=f"invoice-{number}.pdf",
        )
        for number in range(MANY)
    ]
    load(store, [mails])
    store.publish()
    return store


def test_contract_columns_exist(published: Store) -> None:
    with published.reader() as reader:
        there = set(reader.rows("SELECT table_name, column_name FROM information_schema.columns"))
    promised = [
        (name, column) for name, _, columns in (line.partition(": ") for line in CONTRACT) for column in columns.split()
    ]
    assert [each for each in promised if each not in there] == []


def test_lists_are_limited_to_50_and_counts_are_not(published: Store) -> None:
    with published.reader() as reader:
        lists = reader.rows("SELECT recipients, senders, sender_domains, subjects, file_names FROM alert_groups")
        counts = reader.rows("SELECT alert_count, recipient_count FROM alert_groups")
        indicators = reader.rows(
            "SELECT i.kind, count(*) FROM alert_groups, unnest(key_indicators) AS t(i) GROUP BY ALL"
        )
    assert [[len(each) for each in row] for row in lists] == [[LISTED] * 5]
    assert counts == [(MANY, MANY)]
    assert max(count for _, count in indicators) == 5
