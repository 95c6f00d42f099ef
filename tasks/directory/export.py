"""One export of a source, and what became of it."""

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from tasks.directory.model import SNAPSHOT_FRAMES, Parsed


@dataclass
class Export:
    """One part of a file or pull: a zip or a mixed file has several."""

    file_name: str
    digest: str
    """SHA-256 of the content: the same file again changes nothing"""
    parsed: Parsed
    counts: dict[str, int] = field(init=False)
    """people, devices, addresses, rejected"""
    has_members: bool = field(init=False)

    def __post_init__(self) -> None:
        parsed = self.parsed
        self.has_members = not parsed.members.is_empty()
        self.counts = {
            "people": parsed.objects.height,
            "devices": parsed.devices.height,
            "addresses": parsed.addresses.height,
            "rejected": parsed.rejects.height,
        }

    def drop_rows(self) -> None:
        """Give up its rows, which are on the shelf: whoever called, and the flow's engine, keeps it to the end."""
        self.parsed = replace(self.parsed, **{name: getattr(self.parsed, name).clear() for name in SNAPSHOT_FRAMES})


class ImportOutcome(NamedTuple):
    """What became of it; a row of `directory_imports` unless it was unchanged."""

    export: Export
    state: Literal["imported", "unchanged", "refused"]
    reason: str | None = None
    """why it was refused, or what was found out about its mail groups"""

    def with_member_warnings(self, warnings: tuple[str, ...]) -> "ImportOutcome":
        """With what was found out about mail groups, where it brings members of any."""
        if self.state != "imported" or not self.export.has_members:
            return self
        return self._replace(reason=" ".join(warnings) or None)
