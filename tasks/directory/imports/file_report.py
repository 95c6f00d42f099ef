"""What an import did, file by file: for the terminal, `--json`, the run's page and its result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from tasks.directory.export import ImportOutcome
from tasks.directory.formats.row_numbers import reject_reasons
from tasks.directory.sources.read_files import RefusedFile
from tasks.formatting import format_count
from tasks.sanitize import plain


class FileReport(TypedDict):
    """One file; a zip member counts as a file, a file with several kinds of objects is one file."""

    file: str
    family: str | None
    state: Literal["imported", "unchanged", "refused"]
    people: int
    """mailboxes, rooms and contacts included"""
    groups: int
    devices: int
    addresses: int
    rejected: int
    reasons: list[str]
    """why rows were rejected and where they are, never their content"""
    warnings: list[str]
    refusal: str | None


@dataclass(frozen=True)
class ImportReport:
    files: list[FileReport]
    error: str | None = None
    """why the import failed as a whole, or that files were refused; None if it succeeded"""

    @property
    def summary(self) -> str:
        imported = [file for file in self.files if file["state"] == "imported"]
        people, devices = sum(file["people"] for file in imported), sum(file["devices"] for file in imported)
        groups = sum(file["groups"] for file in imported)
        counted = [
            format_count(people, "person"),
            *([format_count(groups, "group")] if groups else []),
            format_count(devices, "device"),
        ]
        total = format_count(len(self.files), "file")
        return f"{len(imported)} of {total} imported: {', '.join(counted)}."


def report_of(outcomes: Sequence[ImportOutcome], refused: Sequence[RefusedFile]) -> ImportReport:
    """`refused`: the files that could not be read."""
    parts: dict[str, list[ImportOutcome]] = {}
    for outcome in outcomes:
        parts.setdefault(outcome.export.file_name, []).append(outcome)
    files = [_file_report(name, outcomes) for name, outcomes in parts.items()]
    files += [_unreadable_file_report(file) for file in refused]
    return ImportReport(files, _refusal_error(files))


def _refusal_error(files: Sequence[FileReport]) -> str | None:
    refused = [(file["file"], file["refusal"]) for file in files if file["refusal"]]
    if not refused:
        return None
    name, reason = plain(refused[0][0]), refused[0][1]
    prefix = "" if reason.startswith(name) else f"{name}: "
    return f"{len(refused)} of {format_count(len(files), 'file')} refused. {prefix}{reason}"


def _unreadable_file_report(file: RefusedFile) -> FileReport:
    return {
        "file": file.file_name, "family": None, "state": "refused",
        "people": 0, "groups": 0, "devices": 0, "addresses": 0, "rejected": 0,
        "reasons": [], "warnings": [], "refusal": file.reason,
    }  # fmt: skip


def _file_report(name: str, parts: Sequence[ImportOutcome]) -> FileReport:
    states = {part.state for part in parts}
    state: Literal["imported", "unchanged", "refused"]
    state = "refused" if "refused" in states else "imported" if "imported" in states else "unchanged"
    notes = [part.reason for part in parts if part.state == state and part.reason]
    warnings = [text for part in parts for text in part.export.parsed.warnings]
    counts = [part.export.counts for part in parts]
    return {
        "file": name,
        "family": ", ".join(dict.fromkeys(part.export.parsed.family for part in parts)),
        "state": state,
        "people": sum(count["people"] for count in counts),
        "groups": sum(count["groups"] for count in counts),
        "devices": sum(count["devices"] for count in counts),
        "addresses": sum(count["addresses"] for count in counts),
        "rejected": sum(count["rejected"] for count in counts),
        "reasons": [text for part in parts for text in reject_reasons(part.export.parsed)],
        "warnings": list(dict.fromkeys(warnings + ([] if state == "refused" else notes))),
        "refusal": notes[0] if state == "refused" else None,
    }
