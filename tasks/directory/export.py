"""One export of a source, and the outcome of its import."""

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import polars as pl

from tasks.directory.model import SNAPSHOT_FRAMES, Parsed


@dataclass
class Export:
    """The objects of one source in a file or pull; a zip or a mixed file has several."""

    file_name: str
    digest: str
    """SHA-256 of the content, by which an unchanged file is recognised"""
    parsed: Parsed
    counts: dict[str, int] = field(init=False)
    """people, groups, devices, addresses, rejected"""
    has_members: bool = field(init=False)

    def __post_init__(self) -> None:
        parsed = self.parsed
        self.has_members = not parsed.members.is_empty()
        groups = parsed.objects.filter(pl.col("kind") == "group").height
        self.counts = {
            "people": parsed.objects.height - groups,
            "groups": groups,
            "devices": parsed.devices.height,
            "addresses": parsed.addresses.height,
            "rejected": parsed.rejects.height,
        }

    def drop_rows(self) -> None:
        """Free the memory of its rows once they are cached on disk: callers hold the export until the end."""
        self.parsed = replace(self.parsed, **{name: getattr(self.parsed, name).clear() for name in SNAPSHOT_FRAMES})


class ImportOutcome(NamedTuple):
    """A row of `directory_imports` unless unchanged."""

    export: Export
    state: Literal["imported", "unchanged", "refused"]
    reason: str | None = None
    """why it was refused, or warnings about its mail groups"""

    def with_member_warnings(self, warnings: tuple[str, ...]) -> "ImportOutcome":
        """With these warnings if it was imported and has members of mail groups."""
        if self.state != "imported" or not self.export.has_members:
            return self
        return self._replace(reason=" ".join(warnings) or None)
