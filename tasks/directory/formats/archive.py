"""Files, folders and zips in any mix → files in memory. Nothing is ever unpacked to the disk."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from tasks.errors import ExportRefused
from tasks.sanitize import plain

DONE, REFUSED = "done", "refused"
"""folders beside the exports that hold what was read already"""
MAX_BYTES = 1 << 30
"""of one file, and of all members of one zip together: a directory of a million people stays below"""
MAX_MEMBERS = 1000
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_TOO_LARGE = "the zip holds more than any export does. Unpack it and import the exports only."
_ENCRYPTED = 0x1  # bit of a member's flags
_DAMAGE = (BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, IndexError, NotImplementedError)
"""what zipfile raises for damaged files; UnicodeDecodeError of a name is a ValueError"""


def is_zip(content: bytes) -> bool:
    """Whether the bytes begin as a zip does, an empty one included."""
    return content.startswith(_ZIP)


def expand(paths: Iterable[Path]) -> Iterator[tuple[str, bytes | ExportRefused]]:
    """Name and bytes of every file in these places, sorted within a folder, or why it cannot be read.

    Names tell files apart: `folder/file`, and members of a zip as `zip/member`. Hidden files, links in a folder and
    what was put away are passed over. A zip that cannot be unpacked comes as it is: `read_export` says why. Raises
    ExportRefused for a path that does not exist, before anything is given out.
    """
    for name, file in [each for path in map(Path, paths) for each in _files(path.resolve().name, path)]:
        try:
            content = _read(name, file)
        except ExportRefused as refusal:
            yield name, refusal
            continue
        try:
            members = unzip(name, content) if is_zip(content) else None
        except ExportRefused:
            members = None
        yield from members or [(name, content)]


def refuse_missing(path: Path) -> None:
    """Raises ExportRefused for a path that does not exist."""
    if not path.exists():
        raise ExportRefused(f"{plain(str(path))} does not exist. Correct the path and try again.")


def _files(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    refuse_missing(path)
    try:
        inside = sorted(path.iterdir()) if path.is_dir() else None
    except OSError:
        inside = None
    if inside is None:
        yield name, path
        return
    for each in inside:
        hidden = each.name.startswith(".") or (each.is_dir() and each.name in (DONE, REFUSED))
        if not hidden and not each.is_symlink():
            yield from _files(f"{name}/{each.name}", each)


def _read(name: str, path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ExportRefused(f"{plain(name)} is no file that can be read, or a folder that cannot be listed.")
        if path.stat().st_size > MAX_BYTES:
            raise ExportRefused(f"{plain(name)} is larger than any export. Take it away.")
        return path.read_bytes()
    except OSError as cause:
        raise ExportRefused(f"{plain(name)} cannot be read: {cause.strerror}. Check its permissions.") from None


def unzip(name: str, content: bytes, depth: int = 1) -> list[tuple[str, bytes]]:
    """Name and bytes of the members, those of a zip inside included, one level deep.

    Raises ExportRefused for what is damaged, encrypted, too large or packed too deep, and for an Excel workbook.
    """
    try:
        with ZipFile(BytesIO(content)) as archive:
            members = [each for each in archive.infolist() if not _passed_over(each)]
            _check(name, members)
            files = [(f"{name}/{PurePosixPath(each.filename)}", _member(name, archive, each)) for each in members]
    except _DAMAGE:
        raise ExportRefused(f"{plain(name)}: the zip is damaged. Download it again.") from None
    if not files:
        raise ExportRefused(f"{plain(name)}: the zip is empty. Export it again.")
    found: list[tuple[str, bytes]] = []
    for each in files:
        found += _inner(*each, depth)
        if sum(len(inner) for _, inner in found) > MAX_BYTES:
            raise ExportRefused(f"{plain(name)}: {_TOO_LARGE}")
    return found


def _inner(name: str, content: bytes, depth: int) -> list[tuple[str, bytes]]:
    if not is_zip(content):
        return [(name, content)]
    if not depth:
        raise ExportRefused(f"{plain(name)}: a zip in a zip in a zip is not opened. Unpack it first.")
    return unzip(name, content, depth - 1)


def _passed_over(member: ZipInfo) -> bool:
    """Folders, and what macOS adds beside the files."""
    parts = PurePosixPath(member.filename).parts
    return member.is_dir() or not parts or parts[0] == "__MACOSX" or parts[-1].startswith(".")


def _check(name: str, members: list[ZipInfo]) -> None:
    names = {each.filename for each in members}
    if "[Content_Types].xml" in names:
        raise ExportRefused(
            f"{plain(name)} is an Excel workbook. Save it as CSV UTF-8, or better import the export itself."
        )
    if any(each.flag_bits & _ENCRYPTED for each in members):
        raise ExportRefused(f"{plain(name)}: the zip needs a password. Unpack it first.")
    if any(each.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for each in members):
        raise ExportRefused(f"{plain(name)}: the zip is packed in an unusual way. Unpack it first.")
    if len(members) > MAX_MEMBERS or sum(each.file_size for each in members) > MAX_BYTES:
        raise ExportRefused(f"{plain(name)}: {_TOO_LARGE}")


def _member(name: str, archive: ZipFile, member: ZipInfo) -> bytes:
    """A member never gives more than the size it states, which `_check` has added up."""
    with archive.open(member) as stream:
        content = stream.read(member.file_size + 1)
    if len(content) > member.file_size:
        raise ExportRefused(f"{plain(name)}: a member of the zip is larger than it says. Download it again.")
    return content
