"""What people and their automations rely on changes by intention only."""

from pathlib import Path

from tests.interface import interface

GOLDEN = Path(__file__).with_name("interface.txt")


def test_nothing_that_people_rely_on_has_changed() -> None:
    """After an intended change: `python -m tests.interface > tests/interface.txt`."""
    assert interface().splitlines() == GOLDEN.read_text(encoding="utf-8").splitlines()
