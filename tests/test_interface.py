"""What people and their automations rely on changes only intentionally."""

from pathlib import Path

from tests.interface import interface

GOLDEN = Path(__file__).with_name("interface.txt")


def test_public_interface_is_unchanged() -> None:
    """After an intended change: `python -m tests.interface > tests/interface.txt`."""
    assert interface().splitlines() == GOLDEN.read_text(encoding="utf-8").splitlines()
